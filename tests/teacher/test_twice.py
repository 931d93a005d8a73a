"""Answers that cannot be read are asked for once more."""

import dataclasses

from goodgrain.teacher import Answer, ChatRequest, Failure
from goodgrain.teacher.twice import ask_twice, words_of


class Script:
    """Answers in an order written down, and remembers what it was asked."""

    def __init__(self, *rounds):
        self.rounds, self.asked = list(rounds), []

    def ask(self, requests, on_answer=None):
        """The next round's answers."""
        self.asked.append(list(requests))
        return list(self.rounds.pop(0))


def number(place, answer):
    """What the tests ask for: the position and a number."""
    return place, answer.text


def not_a_number(reading):
    return None if reading[1].isdigit() else f"{reading[1]!r} is no number."


QUESTIONS = [
    dataclasses.replace(ChatRequest.of("user", f"Question {place}", max_tokens=8), seed=seed)
    for place, seed in enumerate([None, 3, 4, 5])
]


def test_by_hand():
    first = [Answer("7"), Answer("seven"), Failure("no answer"), Answer("eig", finish_reason="length")]
    teacher = Script(first, [Answer("70"), Answer("?", finish_reason="length")])
    replies = ask_twice(teacher, QUESTIONS, number, not_a_number, "Again: {problem}", seed_step=2)
    assert replies.readings == [(0, "7"), (1, "70"), None, (3, "?")]
    assert [words_of(answer) for answer in replies.answers] == ["7", "70", "no answer", "?"]
    assert (replies.malformed_at_first, replies.malformed, replies.truncated) == (2, 1, 2)
    assert teacher.asked[0] == QUESTIONS
    again = [(one.messages[0].content, one.seed, one.max_tokens) for one in teacher.asked[1]]
    assert again == [
        ("Question 1\n\nAgain: 'seven' is no number.", 5, 8),
        ("Question 3\n\nAgain: 'eig' is no number.", 7, 32),
    ]


def test_a_second_try_without_an_answer_has_no_reading():
    teacher = Script([Answer("one")], [Failure("gone")])
    replies = ask_twice(teacher, QUESTIONS[:1], number, not_a_number, "{problem}")
    assert (replies.readings, replies.malformed_at_first, replies.malformed) == ([None], 1, 0)
    assert teacher.asked[1][0].seed == 1, "a request without a seed gets one, so that the answer can differ"


def test_nobody_is_asked_twice_without_need():
    teacher = Script([Answer(str(place)) for place in range(4)])
    replies = ask_twice(teacher, QUESTIONS, number, not_a_number, "{problem}")
    assert len(teacher.asked) == 1
    assert (replies.malformed_at_first, replies.malformed, replies.truncated) == (0, 0, 0)
