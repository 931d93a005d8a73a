"""Selections by distance: cover the data, stay close to one example, or match the mean.

Distances are Euclidean. Picks are those of a plain float64 computation, bit for bit, but most of the work is float32
matrix products: a bound on their rounding error says which few rows could matter, and only those are computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, budget_count, check_count, check_embeddings, check_positions
from goodgrain.errors import InputError
from goodgrain.select.nearest import (
    CenteredCopy,
    NearestCenter,
    blocks,
    largest_entry,
    scaled,
    squared_lengths,
    unit_scale,
)
from goodgrain.select.ranking import Ranked
from goodgrain.select.selection import Rules, Selection, check_rules, pick_greedily

POOL = 1024  # the farthest candidates: nobody else can be picked before one of them


def k_center(
    embeddings: ArrayLike,
    budget: int | float,
    *,
    labeled: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
    seed: int = 0,
) -> Selection:
    """Pick, one by one, the example farthest from everything picked so far.

    Greedy 2-approximation of the k-center problem (Gonzalez 1985; "CoreSet", Sener & Savarese 2018; MaxCover in
    chapter 6). Ties go to the lower position. Time O(k n d), memory O(n) beside one float32 copy of the embeddings:
    distances to the nearest center are kept, never a matrix.

    Args:
        embeddings: (n, d), one row per example.
        budget: how many to pick; a float is a share of n.
        labeled: positions whose rows count as centers from the start and are never returned.
            Without them and without `must_keep`, the first pick is drawn with `seed`.
        labels: (n,) classes that take turns; the centers of all classes count.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.
        seed: of the first pick.

    Returns:
        Selection in the order picked; `gains[i]` is the distance of pick i to its nearest center at that time,
        infinite where there was none.

    Raises:
        InputError: embeddings are not a finite (n, d) array, or the budget exceeds what is left to pick.

    Example:
        >>> k_center([[0.0], [1.0], [10.0]], 2, labeled=[0]).positions
        array([2, 1])
    """
    x = check_embeddings(embeddings)
    centers = check_positions(labeled, n=len(x), name="labeled")
    dropped = _check_labeled(budget, centers, must_keep, must_drop, n=len(x))
    given = check_rules(budget, n=len(x), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=dropped)
    rules = given.renumbered()
    copy = CenteredCopy(x, None if rules is given else given.rows, x[centers], borrow=True)
    return given.original(pick_greedily(_KCenter(copy, x[centers], rules, np.random.default_rng(seed)), rules))


def min_cover(
    embeddings: ArrayLike,
    budget: int | float,
    *,
    start: int | None = None,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
    seed: int = 0,
) -> Selection:
    """Pick one example and its nearest neighbours: the least diverse subset there is (MinCover, chapter 6).

    A baseline that shows what diversity is worth. Ties go to the lower position. Time O(n d + n log n).

    Args:
        embeddings: (n, d), one row per example.
        budget: how many to pick; a float is a share of n.
        start: the position to stay close to; drawn with `seed` where it is None. It comes first,
            with labels the first of its class.
        labels: (n,) classes that take turns, each with its nearest to `start`.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked before `start`, in this order.
        must_drop: positions that are treated as if they were not there.
        seed: of the start.

    Returns:
        Selection in the order picked; `gains[i]` is minus the distance of pick i to the start.

    Raises:
        InputError: embeddings are not a finite (n, d) array, a start that is dropped or no position, or a budget
            that cannot be met.

    Example:
        >>> min_cover([[0.0], [1.0], [10.0], [4.0]], 3, start=1).positions
        array([1, 0, 3])
    """
    x = check_embeddings(embeddings)
    given = check_rules(budget, n=len(x), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    if start is None:
        first = int(np.random.default_rng(seed).integers(rules.n))
    elif check_count("start", start, least=0, most=len(x) - 1) in given.rows:
        first = int(np.searchsorted(given.rows, start))
    else:
        raise InputError(f"start={start} is in must_drop. Start from an example that may be picked.")
    rows, scale = given.rows, unit_scale(largest_entry(x))
    distances = np.empty(rules.n)
    for block in blocks(rules.n, x.shape[1]):
        distances[block] = squared_lengths(scaled(x[rows[block]], scale) - scaled(x[rows[first]], scale))
    distances = np.sqrt(distances) / scale
    order = np.lexsort((distances, np.arange(rules.n) != first))
    return given.original(pick_greedily(Ranked(order, 0.0 - distances, rules.groups), rules))


def herding(
    embeddings: ArrayLike,
    budget: int | float,
    *,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
) -> Selection:
    """Pick, one by one, the example that brings the mean of the picks closest to the mean of all.

    Herding in its target-minus-running-mean form (Welling 2009; as in iCaRL, Rebuffi et al. 2017): step t takes the
    candidate x with the least ||t mu - (sum of the picks) - x||, so that the norm of x counts; the dot-product form
    for features of unit length leaves it out. Each example is picked at most once; of equal rows, the lower position
    comes first. Time O(k n d), memory O(n) beside one float32 copy of the embeddings.

    Args:
        embeddings: (n, d), one row per example.
        budget: how many to pick; a float is a share of n.
        labels: (n,) classes that take turns; the mean to be matched remains that of all examples.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there, in the mean too.

    Returns:
        Selection in the order picked; `gains[i]` is minus the distance of the mean of picks 0..i to the mean of all.

    Raises:
        InputError: embeddings are not a finite (n, d) array, or a budget that cannot be met.

    Example:
        >>> herding([[0.0], [1.0], [3.0], [8.0]], 3).positions
        array([2, 1, 3])
    """
    x = check_embeddings(embeddings)
    given = check_rules(budget, n=len(x), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    copy = CenteredCopy(x, None if rules is given else given.rows, x[:0])
    return given.original(pick_greedily(_Herding(copy, rules), rules))


def _check_labeled(
    budget: int | float, labeled: Positions, must_keep: ArrayLike | None, must_drop: ArrayLike | None, *, n: int
) -> Positions:
    """The positions that cannot be picked: those dropped and those that are centers already."""
    dropped = check_positions(must_drop, n=n, name="must_drop")
    for name, others in (("must_keep", check_positions(must_keep, n=n, name="must_keep")), ("must_drop", dropped)):
        both = np.intersect1d(labeled, others)
        if len(both):
            raise InputError(f"position {both[0]} is in labeled and in {name}. Take it out of one.")
    count, left = budget_count(budget, n=n), n - len(labeled) - len(dropped)
    if len(labeled) and count > left:
        gone = f"n={n}, labeled={len(labeled)}" + (f", must_drop={len(dropped)}" if len(dropped) else "")
        hint = f"Ask for at most {left}." if left else "Give more embeddings, or fewer labeled."
        raise InputError(f"budget={count} is more than the {left} examples left to pick ({gone}). {hint}")
    return np.concatenate([labeled, dropped])


class _KCenter:
    """Farthest first, in rounds.

    Distances to the nearest center only fall, so the farthest POOL candidates stay ahead of all others until the
    best of them falls to where the others begin. Within a round only the pool is kept up to date; the centers of
    the round reach all rows together, in one matrix product.
    """

    def __init__(self, copy: CenteredCopy, centers: Floats, rules: Rules, rng: np.random.Generator) -> None:
        self.copy = copy
        self.rng = rng
        self.nearest = NearestCenter(copy)  # -1 once taken
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        self.pools: dict[int, _Pool] = {}
        self.watched = rules.kept  # rows that are up to date: must-keep at first, then all pools
        self.watched_copy = copy.y[self.watched]
        self.waiting: list[int] = []  # centers that only the watched rows know
        self.no_center = len(centers) == 0
        if len(centers):
            distinct = np.unique(centers, axis=0)  # equal centers would tie in every row
            self.nearest.reach(distinct, np.arange(len(copy)), copy.y)

    def best(self, group: int) -> int | None:
        if self.no_center:
            return int(self.rng.choice(self.members[group]))
        position = self._ahead(group)
        if position is None:
            self._next_round()
            position = self._ahead(group)
        return position if position is not None and self.nearest.squared[position] >= 0.0 else None

    def take(self, position: int) -> float:
        squared = float(self.nearest.squared[position])
        if squared > 0.0:  # else it equals a center, and no distance can fall
            self.waiting.append(position)
            self.nearest.reach(self.copy.read(np.array([position])), self.watched, self.watched_copy)
        self.nearest.squared[position] = -1.0
        self.no_center = False
        return math.sqrt(squared) / self.copy.scale

    def _ahead(self, group: int) -> int | None:
        """The best of the group's pool, while nobody outside can be better."""
        if group not in self.pools:
            return None
        pool = self.pools[group]
        squared = self.nearest.squared[pool.rows]
        first = int(squared.argmax())
        position, value = int(pool.rows[first]), squared[first]
        return position if (value, -position) >= (pool.limit, -pool.last) else None

    def _next_round(self) -> None:
        centers = self.copy.read(np.array(self.waiting, dtype=np.int64))
        self.nearest.reach(centers, np.arange(len(self.copy)), self.copy.y)
        self.waiting.clear()
        size = max(8, POOL // len(self.members))
        self.pools = {group: _Pool.of(self.nearest.squared, rows, size) for group, rows in self.members.items()}
        self.watched = np.concatenate([pool.rows for pool in self.pools.values()])
        self.watched_copy = self.copy.y[self.watched]


@dataclass(frozen=True)
class _Pool:
    """The farthest members of a group: all others are at most `limit` away, and those at `limit` stand after `last`."""

    rows: Positions
    limit: float
    last: int

    @classmethod
    def of(cls, squared: NDArray[np.float64], members: Positions, size: int) -> _Pool:
        """The `size` farthest, of equals the lower positions, in ascending order."""
        if len(members) <= size:
            return cls(members, -math.inf, 0)
        values = squared[members]
        limit = np.partition(values, len(values) - size)[len(values) - size]
        above = members[values > limit]
        tied = members[values == limit][: size - len(above)]
        return cls(np.sort(np.concatenate([above, tied])), float(limit), int(tied[-1]))


class _Herding:
    """With rows about their mean, the next pick is the x with the least ||(sum of the picks) + x||."""

    def __init__(self, copy: CenteredCopy, rules: Rules) -> None:
        self.copy = copy
        self.norms = np.sqrt(copy.squares)
        self.sum = np.zeros(copy.shape[1])
        self.picks = 0
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        self.open = np.ones(len(copy), dtype=bool)

    def best(self, group: int) -> int | None:
        rows = self.members[group][self.open[self.members[group]]]
        if len(rows) == 0:
            return None
        assert isinstance(self.copy.y, np.ndarray)
        products = (self.copy.y @ self.sum.astype(np.float32))[rows]
        cost = self.copy.squares[rows] / 2.0 + products  # half the squared norm, but for what all have in common
        length = math.sqrt(float(self.sum @ self.sum))
        error = self.copy.product_error(length, self.norms[rows])
        near = rows[cost - error <= (cost + error).min()]
        exact = squared_lengths(self.copy.centered(self.copy.read(near)) + self.sum)
        return int(near[exact.argmin()])

    def take(self, position: int) -> float:
        self.sum += self.copy.centered(self.copy.read(np.array([position])))[0]
        self.picks += 1
        self.open[position] = False
        return -math.sqrt(float(self.sum @ self.sum)) / self.picks / self.copy.scale
