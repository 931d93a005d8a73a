"""Selections by distance: cover the data, stay close to one example, or match the mean.

Distances are Euclidean. Picks are those of a plain float64 computation, bit for bit, but most of the work is float32
matrix products: a bound on their rounding error says which few rows could matter, and only those are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, budget_count, check_count, check_embeddings, check_positions
from goodgrain.errors import InputError
from goodgrain.select.ranking import Ranked
from goodgrain.select.selection import Rules, Selection, check_rules, pick_greedily

BLOCK = 1 << 20  # numbers in a temporary array, all of one block together
POOL = 1024  # the farthest candidates: nobody else can be picked before one of them

_ROUNDING = 2.0**-24  # of one float32 operation
_LEAST = float(np.finfo(np.float32).tiny)


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
    rows = x if rules is given else x[given.rows]
    return given.original(pick_greedily(_KCenter(rows, x[centers], rules, np.random.default_rng(seed)), rules))


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
    """Pick one example and its nearest neighbours: the least diverse subset there is (MinCover, chapter 5).

    A baseline that shows what diversity is worth. Ties go to the lower position. Time O(n d + n log n).

    Args:
        embeddings: (n, d), one row per example.
        budget: how many to pick; a float is a share of n.
        start: the position to stay close to; drawn with `seed` where it is None. It comes first.
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
    rows, scale = given.rows, _scale(x)
    distances = np.empty(rules.n)
    for block in _blocks(rules.n, x.shape[1]):
        distances[block] = _squared_lengths(_scaled(x[rows[block]], scale) - _scaled(x[rows[first]], scale))
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
    for features of unit length leaves it out. Each example is picked at most once. Ties go to the lower position.
    Time O(k n d), memory O(n) beside one float32 copy of the embeddings.

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
    return given.original(pick_greedily(_Herding(x if rules is given else x[given.rows], rules), rules))


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


class _Copy:
    """A float32 copy of the rows, about their mean and scaled to at most about 1, with what bounds its error."""

    def __init__(self, x: Floats, scale: float) -> None:
        self.x, self.scale = x, scale
        self.mean = np.zeros(x.shape[1])
        for block in _blocks(*x.shape):
            self.mean += _scaled(x[block], scale).sum(axis=0)
        self.mean /= len(x)
        self.y = np.empty(x.shape, dtype=np.float32)
        self.squares = np.empty(len(x))
        for block in _blocks(*x.shape):
            self.y[block], self.squares[block] = self.of(x[block])
        self.norms = np.sqrt(self.squares)

    def of(self, rows: Floats) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Other rows, treated alike, and their squared lengths."""
        centered = _scaled(rows, self.scale) - self.mean
        return centered.astype(np.float32), _squared_lengths(centered)

    def error(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bound on the error of a squared length or distance that was computed from products of the copy.

        Twice the sum of d roundings in each product and a few before and after, relative to `lengths` squared: the
        largest that the result could have been.
        """
        d = self.x.shape[1]
        return _ROUNDING * (d + 16) * lengths**2 + d * _LEAST


class _KCenter:
    """Farthest first, in rounds.

    Distances to the nearest center only fall, so the farthest POOL candidates stay ahead of all others until their
    own best falls to where the others began. Within a round, only the pool is kept up to date; the centers of the
    round reach the other rows together, in one matrix product.
    """

    def __init__(self, x: Floats, centers: Floats, rules: Rules, rng: np.random.Generator) -> None:
        self.copy = _Copy(x, _scale(x, centers))
        self.rng = rng
        self.nearest = np.full(len(x), np.inf)  # squared distance; -1 once taken
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        self.pools = {group: _Pool.over(self.nearest, rows[:0], size=0) for group, rows in self.members.items()}
        self.pooled = np.empty(0, dtype=np.int64)
        self.pooled_copy = self.copy.y[:0]
        self.waiting: list[int] = []  # centers that only the pool has seen
        self.empty = len(centers) == 0
        for block in _blocks(len(centers), BLOCK // 256):
            self.reach_all(centers[block])

    def best(self, group: int) -> int | None: ...
