"""Have each cluster ranked in one prompt: FP-Instruction's question to a teacher (Algorithm 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import check_count, lookup
from goodgrain.errors import InputError
from goodgrain.teacher.messages import Answer, ChatRequest, OnAnswer, Requests, Teacher
from goodgrain.teacher.prompts import AGAIN, RankingPrompt, Row, shown_order
from goodgrain.teacher.ranking import Ranking, combine_rankings, parse_ranking
from goodgrain.teacher.twice import ask_twice, words_of

State = Literal["ranked", "dropped", "medoid", "skipped", "failed"]
_POLICIES = {"skip": "skipped", "medoid": "medoid"}
_LIKELY_TOKENS = 6  # of an answer, for each row


@dataclass(frozen=True)
class ClusterRanking:
    """What became of one cluster.

    Args:
        winner: the position in the cluster of the row to keep; None for none.
        ranking: over the cluster's rows; malformed where no answer could be read.
        state: "ranked", "dropped" (the teacher left out all rows), "medoid" or "skipped" (no answer could be read:
            the policy decided), or "failed" (no answer at all; to be asked again).
        words: what the teacher said, one per time asked.
        shown: for each of these the row at each place shown.
    """

    winner: int | None
    ranking: Ranking
    state: State
    words: tuple[str, ...] = ()
    shown: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class ClusterRankings:
    """What became of all clusters.

    Args:
        clusters: in the order given.
        winning_places: how often the best row was shown in each place, over all answers about two rows or more.
        expected_places: how often it would have been without position bias.
        malformed_at_first: answers that could not be read and were asked for again.
        malformed: answers that could not be read then either.
        truncated: answers that the server cut, among both.
    """

    clusters: tuple[ClusterRanking, ...]
    winning_places: NDArray[np.int64]
    expected_places: NDArray[np.float64]
    malformed_at_first: int
    malformed: int
    truncated: int


@dataclass(frozen=True)
class _Question:
    cluster: int
    shown: tuple[int, ...]
    turn: int


@dataclass(frozen=True)
class _Form:
    """How questions become requests."""

    prompt: RankingPrompt
    seed: int
    max_tokens: int
    temperature: float | None

    def request(self, rows: Sequence[Row], question: _Question) -> ChatRequest:
        messages = self.prompt.messages([rows[position] for position in question.shown])
        likely = min(self.max_tokens, _LIKELY_TOKENS * len(rows))
        return ChatRequest(messages, self.max_tokens, self.temperature, self.seed + question.turn, likely)


def rank_clusters(
    clusters: Sequence[Sequence[Row]],
    teacher: Teacher,
    prompt: RankingPrompt | None = None,
    *,
    permutations: int = 1,
    seed: int = 0,
    malformed: Literal["skip", "medoid"] = "skip",
    medoids: Sequence[int] | None = None,
    max_tokens: int = 512,
    temperature: float | None = 0.0,
    on_answer: OnAnswer | None = None,
) -> ClusterRankings:
    """Rank the rows of each cluster, and say which to keep (section 6.3.2, Algorithm 5).

    Rows are shown in a seeded shuffle against position bias. With several permutations the rankings are combined by
    Borda count. An answer that cannot be read is asked for once more, with another seed and a note that says why.

    Args:
        clusters: for each its (request, response) rows, at least one.
        teacher: such as a Client.
        prompt: None for the text's: factuality and clarity.
        permutations: how often each cluster of two rows or more is asked about.
        seed: of the shuffles, and of the server's sampling.
        malformed: what to do with a cluster without a readable answer: keep no row, or its medoid.
        medoids: for each cluster the position of its medoid.
        max_tokens: of an answer, reasoning included.
        temperature: of the server's sampling; None leaves it to the server.
        on_answer: gets a running number and each answer as it comes.

    Returns:
        ClusterRankings.

    Raises:
        InputError: an empty cluster, rows that are no pairs, or medoids that are missing or out of range.
        CostCapReached, TeacherUnavailable, DiskFull: from the teacher.

    Example:
        >>> class First:
        ...     def ask(self, requests, on_answer=None):
        ...         return [Answer("[1] > [2]") for _ in requests]
        >>> found = rank_clusters([[("2 + 2?", "4"), ("2 + 2?", "5")]], First())
        >>> found.clusters[0].state, found.winning_places
        ('ranked', array([1, 0]))
    """
    fallback = lookup("policy for malformed answers", _POLICIES, malformed)
    sizes = _sizes(clusters)
    _check_medoids(sizes, medoids, needed=fallback == "medoid")
    form = _Form(prompt or RankingPrompt(), seed, max_tokens, temperature)
    questions = _questions(clusters, permutations, seed)

    def read(place: int, answer: Answer) -> Ranking:
        shown = questions[place].shown
        return parse_ranking(answer.text, len(shown), truncated=answer.truncated).renamed(shown)

    requests = _requests(clusters, questions, form)
    replies = ask_twice(teacher, requests, read, _problem, AGAIN, seed_step=permutations, on_answer=on_answer)
    rooms: list[list[int]] = [[] for _ in clusters]
    for place, question in enumerate(questions):
        rooms[question.cluster].append(place)
    results = tuple(
        _cluster(
            sizes[number],
            [replies.readings[place] for place in places],
            tuple(words_of(replies.answers[place]) for place in places),
            tuple(questions[place].shown for place in places),
            fallback,
            None if medoids is None else int(medoids[number]),
        )
        for number, places in enumerate(rooms)
    )
    won, expected = _places(questions, replies.readings, max(sizes, default=0))
    return ClusterRankings(results, won, expected, replies.malformed_at_first, replies.malformed, replies.truncated)


def ranking_requests(
    clusters: Sequence[Sequence[Row]],
    prompt: RankingPrompt | None = None,
    *,
    permutations: int = 1,
    seed: int = 0,
    max_tokens: int = 512,
    temperature: float | None = 0.0,
) -> Requests:
    """What `rank_clusters` with the same arguments will ask at first, for a dry run; retries come on top.

    Args:
        clusters: for each its (request, response) rows, at least one.
        prompt: None for the text's.
        permutations: how often each cluster of two rows or more is asked about.
        seed: of the shuffles.
        max_tokens: of an answer.
        temperature: of the server's sampling.

    Raises:
        InputError: an empty cluster, or rows that are no pairs.

    Example:
        >>> len(ranking_requests([[("a", "b"), ("c", "d")], [("e", "f")]], permutations=3))
        4
    """
    _sizes(clusters)
    form = _Form(prompt or RankingPrompt(), seed, max_tokens, temperature)
    questions = _questions(clusters, permutations, seed)
    return _requests(clusters, questions, form)


def _requests(clusters: Sequence[Sequence[Row]], questions: Sequence[_Question], form: _Form) -> Requests:
    return Requests(len(questions), lambda place: form.request(clusters[questions[place].cluster], questions[place]))


def _questions(clusters: Sequence[Sequence[Row]], permutations: int, seed: int) -> list[_Question]:
    check_count("permutations", permutations)
    questions = []
    for number, rows in enumerate(clusters):
        key = repr(list(rows))
        for turn in range(permutations if len(rows) > 1 else 1):
            shown = shown_order(len(rows), seed=seed, key=key, permutation=turn)
            questions.append(_Question(number, shown, turn))
    return questions


def _sizes(clusters: Sequence[Sequence[Row]]) -> list[int]:
    sizes = [len(rows) for rows in clusters]
    if 0 in sizes:
        raise InputError(f"cluster {sizes.index(0)} is empty. Leave it out.")
    return sizes


def _check_medoids(sizes: Sequence[int], medoids: Sequence[int] | None, *, needed: bool) -> None:
    if medoids is None and not needed:
        return
    if medoids is None or len(medoids) != len(sizes):
        came = "none came" if medoids is None else f"{len(medoids)} came"
        raise InputError(f"there should be one medoid for each of the {len(sizes)} clusters; {came}.")
    for number, (medoid, size) in enumerate(zip(medoids, sizes, strict=True)):
        if not 0 <= medoid < size:
            raise InputError(f"the medoid of cluster {number} should be 0..{size - 1}; {medoid} came.")


def _problem(reading: Ranking) -> str | None:
    return " ".join(reading.problems) if reading.malformed else None


def _cluster(
    size: int,
    readings: Sequence[Ranking | None],
    words: tuple[str, ...],
    shown: tuple[tuple[int, ...], ...],
    fallback: str,
    medoid: int | None,
) -> ClusterRanking:
    read = [reading for reading in readings if reading is not None]
    if not read:
        return ClusterRanking(None, Ranking(problems=words), "failed", words, shown)
    ranking = combine_rankings(read, size) if len(readings) > 1 else read[0]
    if not ranking.malformed:
        winner = ranking.order[0] if ranking.order else None
        return ClusterRanking(winner, ranking, "dropped" if winner is None else "ranked", words, shown)
    if len(read) < len(readings):  # another answer may still come
        return ClusterRanking(None, ranking, "failed", words, shown)
    if fallback == "medoid":
        return ClusterRanking(medoid, ranking, "medoid", words, shown)
    return ClusterRanking(None, ranking, "skipped", words, shown)


def _places(
    questions: Sequence[_Question], readings: Sequence[Ranking | None], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At which places shown the best rows stood, and where they would have stood if places did not matter."""
    won, expected = np.zeros(most, dtype=np.int64), np.zeros(most)
    for question, reading in zip(questions, readings, strict=True):
        if reading is not None and reading.order and len(question.shown) > 1:
            won[question.shown.index(reading.order[0])] += 1
            expected[: len(question.shown)] += 1 / len(question.shown)
    return won, expected
