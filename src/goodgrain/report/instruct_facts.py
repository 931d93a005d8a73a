"""What the report of an instruction selection shows: plain numbers, arrays and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import check_integers, check_numbers, check_positions, check_rows, check_scores
from goodgrain.errors import InputError
from goodgrain.report.html import Row


@dataclass(frozen=True)
class Cost:
    """What the teacher took, of all runs that share its answers.

    Args:
        calls: that were answered.
        input_tokens: of prompts.
        output_tokens: of answers.
        spent_usd: None where prices are not known.
        lost_usd: at most so much more, for calls that broke off.
        budget_usd: None for no cap.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    spent_usd: float | None = None
    lost_usd: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """How the teacher answered.

    Args:
        states: what became of the clusters, name -> how many.
        malformed_at_first: answers that could not be read and were asked for again.
        malformed: answers that could not be read then either.
        truncated: answers that the server cut.
        won: (p,) how often the winner was shown at each place; empty where nothing was shown.
        expected: (p,) how often it would have been without position bias.

    Raises:
        InputError: counts that are negative, or two arrays whose lengths differ.
    """

    states: Mapping[str, int]
    malformed_at_first: int
    malformed: int
    truncated: int
    won: NDArray[np.int64]
    expected: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check what a histogram would draw wrongly."""
        if len(self.won) or len(self.expected):
            check_rows("expected", len(self.expected), len(check_integers("won", self.won)))
            if min(np.min(self.won), check_scores(self.expected, name="expected").min()) < 0:
                raise InputError("won and expected should be counts: 0 or more.")


@dataclass(frozen=True)
class Other:
    """What another method would have kept.

    Args:
        name: the method.
        kept: rows.
        shared: of them, kept here too.
        hallucinated: share, where it is known.
        distance: mean distance of all rows to the nearest kept one, where there are embeddings.
    """

    name: str
    kept: int
    shared: int
    hallucinated: float | None = None
    distance: float | None = None


@dataclass(frozen=True, eq=False)
class InstructFacts:
    """What a selection found, of n rows.

    Args:
        name: of the data.
        method: in words.
        teacher: in words, a baseline named as such; "" for none.
        command: that makes the same run.
        settings: (name, value).
        kept: (n,) bool.
        rows: those that are listed: all, or whole clusters of them.
        words: cluster -> what the teacher said, of the rows that are listed.
        sizes: (k,) members of each cluster; empty where there are none.
        answers: of the teacher; None where none was asked about clusters.
        cost: None where nobody was paid.
        lengths: (n, 2) characters of request and response.
        points: (m, 2) a projection of embeddings; empty for none.
        point_rows: (m,) which rows the points are.
        point_texts: (m,) their requests.
        exact_copies: rows that repeat another one.
        near_copies: rows that are nearly another one.
        copies: (copy, original, similarity) of some pairs.
        hallucinated: share among all n rows, and among those kept; None where nothing is known or nothing is kept.
        ours: this method as one of those compared.
        others: those beside it.
        problems: (row of the file, reason) of rows that cannot be used; they are not among the n.

    Raises:
        InputError: arrays whose lengths differ, points that are no numbers, or shares outside 0..1.
    """

    name: str
    method: str
    teacher: str
    command: str
    settings: Sequence[tuple[str, str]]
    kept: NDArray[np.bool_]
    rows: Sequence[Row]
    words: Mapping[int, Sequence[str]]
    sizes: NDArray[np.int64]
    answers: Answers | None
    cost: Cost | None
    lengths: NDArray[np.int64]
    points: NDArray[np.float64]
    point_rows: NDArray[np.int64]
    point_texts: Sequence[str]
    exact_copies: int = 0
    near_copies: int = 0
    copies: Sequence[tuple[str, str, float]] = ()
    hallucinated: tuple[float, float] | None = None
    ours: Other | None = None
    others: Sequence[Other] = ()
    problems: Sequence[tuple[int, str]] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise show one row under another's verdict."""
        n = len(self.kept)
        check_rows("kept", n, None)
        check_numbers("lengths", self.lengths, dimensions=2, n=n)
        if len(self.points) or len(self.point_rows):
            m = len(check_numbers("points", self.points, dimensions=2))
            check_rows("point_rows", len(check_positions(self.point_rows, n=n, name="point_rows")), m)
            check_rows("point_texts", len(self.point_texts), m)
        if len(self.rows) > n:
            raise InputError(f"rows lists {len(self.rows)} rows, but there are {n}. List each at most once.")
        if self.hallucinated is not None and not all(0 <= share <= 1 for share in self.hallucinated):
            raise InputError(f"hallucinated should be two shares in 0..1; {self.hallucinated} came.")
