"""Selections by rank: an order that is fixed before the first pick."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_count, check_scores
from goodgrain.errors import InputError
from goodgrain.select.selection import Selection, check_rules, pick_greedily


def top_k(
    scores: ArrayLike,
    budget: int | float,
    *,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
) -> Selection:
    """Pick the highest scores; with labels, the highest of each class in turn.

    Ties go to the lower position. Time O(n log n).

    Args:
        scores: (n,) higher is picked first.
        budget: how many to pick; a float is a share of n.
        labels: (n,) classes that take turns, so that each gets an equal share while it lasts.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.

    Returns:
        Selection in the order picked; `gains[i]` is the score of pick i.

    Raises:
        InputError: scores are not a finite (n,) array, or a budget that cannot be met.

    Example:
        >>> top_k([0.1, 0.9, 0.5, 0.7], 3).positions
        array([1, 3, 2])
        >>> top_k([0.1, 0.9, 0.5, 0.7], 3, labels=[0, 1, 1, 1]).positions
        array([0, 1, 3])
    """
    s = check_scores(scores)
    given = check_rules(budget, n=len(s), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    s = s[given.rows]
    return given.original(pick_greedily(Ranked(np.argsort(-s, kind="stable"), s, rules.groups), rules))


def random(
    n: int,
    budget: int | float,
    *,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
    seed: int = 0,
) -> Selection:
    """Pick uniformly at random, without replacement (Uniform); with labels, from each class in turn.

    Args:
        n: how many examples there are.
        budget: how many to pick; a float is a share of n.
        labels: (n,) classes that take turns.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.
        seed: the same seed gives the same picks; a smaller budget is a prefix of a larger one.

    Returns:
        Selection in the order picked; `gains[i]` is the number in [0, 1) that was drawn for pick i, the highest
        numbers come first.

    Raises:
        InputError: n is no count, or a budget that cannot be met.

    Example:
        >>> random(5, 5).positions
        array([4, 0, 1, 2, 3])
    """
    count = check_count("n", n)
    given = check_rules(budget, n=count, labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    drawn = np.random.default_rng(seed).random(rules.n)
    return given.original(pick_greedily(Ranked(np.argsort(-drawn, kind="stable"), drawn, rules.groups), rules))


def ccs(
    scores: ArrayLike,
    budget: int | float,
    *,
    hard_share: float = 0.1,
    strata: int = 50,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
    seed: int = 0,
) -> Selection:
    """Drop the hardest, then pick equally often from each stratum of difficulty (CCS; Zheng et al. 2023).

    The hardest `hard_share` of the examples (rounded down; of equals, the later ones) is set aside. The span of the
    other scores is cut into `strata` of equal width, which take turns: a random example of the stratum with the
    fewest picks goes next, strata with equally many in random order, an empty one is passed over. Whatever the
    budget, the strata therefore get equal numbers and the rest is filled from those that have more, and one run
    serves every smaller budget by its prefix. Once the strata are empty, what was set aside follows, easiest first.

    With labels, classes take turns, and within a class its strata; a class whose strata are empty falls back on its
    own hardest examples. Examples in `must_keep` count as picks of their strata.

    Args:
        scores: (n,) difficulty, higher is harder; the method uses `goodgrain.scores.aum`.
        budget: how many to pick; a float is a share of n.
        hard_share: the share to set aside, in [0, 1); beta in the paper.
        strata: how many, 50 in the paper.
        labels: (n,) classes that take turns.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.
        seed: of the order within the strata.

    Returns:
        Selection in the order picked; `gains[i]` is the difficulty of pick i.

    Raises:
        InputError: scores are not a finite (n,) array, a share outside [0, 1), or a budget that cannot be met.

    Example:
        >>> ccs([0, 1, 2, 3, 10, 11, 99], 4, hard_share=0.15, strata=2).positions
        array([4, 3, 5, 2])
    """
    s = check_scores(scores)
    check_count("strata", strata)
    if not 0 <= hard_share < 1:
        raise InputError(f"hard_share should lie in [0, 1); {hard_share!r} came.")
    given = check_rules(budget, n=len(s), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    s = s[given.rows]
    hard = np.zeros(rules.n, dtype=bool)
    hard[np.argsort(s, kind="stable")[rules.n - int(hard_share * rules.n) :]] = True
    drawn, tie = np.random.default_rng(seed).random((2, rules.n))
    drawn[rules.kept] -= 1.0  # first in their strata, so that the others' turns come after theirs
    turn = np.zeros(rules.n, dtype=np.int64)
    turn[~hard] = _turns(_strata(s[~hard], strata), rules.groups[~hard], drawn[~hard])
    order = np.lexsort((tie, np.where(hard, s, turn), hard))
    return given.original(pick_greedily(Ranked(order, s, rules.groups), rules))


def _strata(scores: NDArray[np.float64], strata: int) -> Positions:
    """Which of the equally wide strata each score falls into, 0..strata-1."""
    low, high = scores.min(), scores.max()
    if low == high:
        return np.zeros(len(scores), dtype=np.int64)
    steps: Positions = ((scores - low) / (high - low) * strata).astype(np.int64)
    return np.minimum(steps, strata - 1)


def _turns(strata: Positions, groups: Positions, drawn: NDArray[np.float64]) -> Positions:
    """The rank of each example within its stratum of its group, by the number drawn for it."""
    order = np.lexsort((drawn, strata, groups))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(strata[order]) != 0) | (np.diff(groups[order]) != 0)
    starts = np.flatnonzero(first)
    turns = np.empty(len(order), dtype=np.int64)
    turns[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return turns


class Ranked:
    """Candidates in an order that picking does not change.

    Args:
        order: (n,) all positions, best first.
        gains: (n,) what each position is worth.
        groups: (n,) group of each position.
    """

    def __init__(self, order: Positions, gains: NDArray[np.float64], groups: Positions) -> None:
        self.gains: list[float] = gains.tolist()
        self.taken = [False] * len(order)
        worst_first = order[::-1]
        by_group = worst_first[np.argsort(groups[worst_first], kind="stable")]
        names, starts = np.unique(groups[by_group], return_index=True)
        parts = np.split(by_group, starts[1:])
        self.left: dict[int, list[int]] = {
            int(name): part.tolist() for name, part in zip(names, parts, strict=True)
        }  # the best is at the end, where it is cheap to remove

    def best(self, group: int) -> int | None:
        """The first in order that was not taken."""
        left = self.left[group]
        while left and self.taken[left[-1]]:
            left.pop()
        return left[-1] if left else None

    def take(self, position: int) -> float:
        """Mark a position as taken."""
        self.taken[position] = True
        return self.gains[position]
