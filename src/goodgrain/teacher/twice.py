"""Ask, read, and ask once more where an answer cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from goodgrain.teacher.messages import Answer, ChatRequest, Failure, Message, OnAnswer, Requests, Teacher

R = TypeVar("R")

_LONGER = 4  # a retry of an answer that was cut may be so many times as long


@dataclass(frozen=True)
class Replies(Generic[R]):
    """What came in the end, for each of n requests.

    Args:
        answers: the last one of each.
        readings: what it says; None where there is no answer.
        malformed_at_first: answers that could not be read and were asked for again.
        malformed: answers that could not be read then either.
        truncated: answers that the server cut, among both.
    """

    answers: list[Answer | Failure]
    readings: list[R | None]
    malformed_at_first: int
    malformed: int
    truncated: int


def ask_twice(
    teacher: Teacher,
    requests: Sequence[ChatRequest],
    read: Callable[[int, Answer], R],
    problem: Callable[[R], str | None],
    note: str,
    *,
    seed_step: int = 1,
    on_answer: OnAnswer | None = None,
) -> Replies[R]:
    """Ask all; what cannot be read is asked once more, with another seed, a note that says why, and room if it was cut.

    Args:
        teacher: such as a Client.
        requests: n questions; they may be made when they are asked for.
        read: what an answer to the request at a position says.
        problem: why that cannot be read; None where it can.
        note: added to the question when it is asked again; it may use {problem}.
        seed_step: added to the request's seed.
        on_answer: gets a running number and each answer as it comes.

    Example:
        >>> class Late:
        ...     def ask(self, requests, on_answer=None):
        ...         return [Answer("7" if "number" in request.messages[0].content else "?") for request in requests]
        >>> told = lambda text: None if text.isdigit() else "no digit"
        >>> question = ChatRequest.of("user", "3 + 4?")
        >>> ask_twice(Late(), [question], lambda _, answer: answer.text, told, "{problem}: write a number").readings
        ['7']
    """

    def reading(place: int, answer: Answer | Failure) -> R | None:
        return read(place, answer) if isinstance(answer, Answer) else None

    def wrong(one: R | None) -> str | None:
        return None if one is None else problem(one)

    answers = teacher.ask(requests, on_answer)
    readings = [reading(place, answer) for place, answer in enumerate(answers)]
    bad = [(place, why) for place, one in enumerate(readings) if (why := wrong(one)) is not None]
    cut = [_was_cut(answers[place]) for place, _ in bad]

    def again(number: int) -> ChatRequest:
        place, why = bad[number]
        return _again(requests[place], note.format(problem=why), seed_step, longer=cut[number])

    seconds = teacher.ask(Requests(len(bad), again), on_answer) if bad else []
    for (place, _), answer in zip(bad, seconds, strict=True):
        answers[place], readings[place] = answer, reading(place, answer)
    still_bad = sum(wrong(readings[place]) is not None for place, _ in bad)
    return Replies(answers, readings, len(bad), still_bad, sum(cut) + sum(map(_was_cut, seconds)))


def words_of(answer: Answer | Failure) -> str:
    """What was said, or why nothing was."""
    return answer.text if isinstance(answer, Answer) else answer.reason


def _was_cut(answer: Answer | Failure) -> bool:
    return isinstance(answer, Answer) and answer.truncated


def _again(request: ChatRequest, note: str, seed_step: int, *, longer: bool) -> ChatRequest:
    last = request.messages[-1]
    return replace(
        request,
        messages=(*request.messages[:-1], Message(last.role, f"{last.content}\n\n{note}")),
        seed=(request.seed or 0) + seed_step,
        max_tokens=request.max_tokens * (_LONGER if longer else 1),
    )
