"""Cosine neighbours over a threshold, exactly and in blocks: never an n x n array.

Rows are put into groups around centers. Two rows can only be neighbours if their angle is at most acos(threshold),
and angles obey the triangle inequality: a row at angle p from a center can only have neighbours among the members
at angle p - acos(threshold) to p + acos(threshold) from that center. Whole groups, and in the others all members
outside that band, are skipped without being looked at; what remains goes through one matrix product per group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from goodgrain.checks import Floats, Positions, check_embeddings, check_within, lookup

# Cosines are rounded to this grid. It is far finer than any embedding is exact, and coarser than the noise of a
# float64 product, so that pairs that are equally similar compare equal whatever block they were computed in.
GRID = 2.0**40
# Angles are computed in float32: an error of 1e-6 in a cosine near 1 is an angle of 1.4e-3.
_ANGLE_SLACK = 4e-3
_ROUNDS = 3
_SMALL_PRODUCT = 2e7  # multiplications
_THREADS = ThreadpoolController()

SIMILARITIES = {"cosine": (1.0, 0.0), "shifted": (0.5, 0.5)}  # name -> (scale, offset) of the cosine


@dataclass(frozen=True)
class Rows:
    """Neighbour lists in compressed rows: those of query i stand at indptr[i]:indptr[i + 1].

    Args:
        indptr: (q + 1,) int64.
        indices: (nnz,) int64 positions of neighbours, the row itself included.
        similarities: (nnz,) float64.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    similarities: NDArray[np.float64]

    def row(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Neighbours of query i and their similarities."""
        span = slice(self.indptr[i], self.indptr[i + 1])
        return self.indices[span], self.similarities[span]


class CosineNeighbors:
    """Answers, for any rows, which rows are at least this similar, and how similar they are.

    A row is always its own neighbour, with similarity 1. A zero row has no other. Rows that point the same way bit
    for bit have similarity 1 and get bit-equal similarities to everything else.

    Args:
        embeddings: (n, d) rows.
        threshold: least similarity of a neighbour, in (0, 1].
        similarity: "cosine", or "shifted" for (1 + cosine) / 2 in both the threshold and the values.

    Raises:
        InputError: embeddings are not a finite (n, d) array, or the threshold is outside (0, 1].
        UnknownName: no such similarity.

    Example:
        >>> CosineNeighbors([[1.0, 0.0], [0.98, 0.199], [0.0, 1.0]], 0.95).rows([0]).indices
        array([0, 1])
    """

    def __init__(self, embeddings: ArrayLike, threshold: float, *, similarity: str = "cosine") -> None:
        x = check_embeddings(embeddings)
        self.n = len(x)
        self.threshold = check_within("threshold", threshold, above=0.0, most=1.0)
        self._scale, self._offset = lookup("similarity", SIMILARITIES, similarity)
        least_cosine = (self.threshold - self._offset) / self._scale
        self._least_cosine = least_cosine - 1.0 / GRID
        self._reach = float(np.arccos(np.clip(least_cosine, -1.0, 1.0))) + _ANGLE_SLACK
        unit = unit_rows(x)
        nonzero = np.asarray(unit.any(axis=1))
        first, self._kind = _distinct(unit)
        self._members = None if len(first) == self.n else _members(self._kind, len(first))
        self._directions = _Groups(unit if self._members is None else unit[first], self._reach)
        self._is_zero: NDArray[np.bool_] = ~nonzero

    def rows(self, positions: ArrayLike, *, ordered: bool = True) -> Rows:
        """Neighbours of some rows.

        Args:
            positions: (q,) which rows.
            ordered: whether each list ascends by position; without, its order is arbitrary but reproducible.

        Returns:
            One neighbour list per asked row.
        """
        asked = np.asarray(positions, dtype=np.int64)
        query, column, cosine = self._directions.pairs(self._kind[asked], self._reach, self._least_cosine)
        zero = self._is_zero[asked]
        if zero.any():
            live = ~zero[query]
            query, column, cosine = query[live], column[live], cosine[live]
        similarity = np.rint(cosine * GRID)
        similarity *= self._scale / GRID  # both powers of two: exact
        similarity += self._offset
        if self._members is not None:
            query, column, similarity = _expand(query, column, similarity, *self._members)
        if self._is_zero.any():
            live = ~self._is_zero[column]
            query = np.concatenate([query[live], np.flatnonzero(zero)])
            column = np.concatenate([column[live], asked[zero]])
            similarity = np.concatenate([similarity[live], np.ones(int(zero.sum()))])
        order = np.lexsort((column, query)) if ordered else _stable_order(query, len(asked))
        counts = np.bincount(query, minlength=len(asked))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Rows(indptr, column[order], similarity[order])

    @property
    def group(self) -> NDArray[np.int64]:
        """(n,) the group of each row; asking for the lists of one group's rows together costs least."""
        return self._directions.group[self._kind]

    def within_reach(self) -> NDArray[np.bool_]:
        """(m, m) whether a row of one group can have a neighbour in the other."""
        return self._directions.within(self._reach)


def count_neighbors(
    embeddings: ArrayLike,
    thresholds: ArrayLike,
    *,
    similarity: str = "cosine",
    sample: int = 1000,
    seed: int = 0,
) -> NDArray[np.int64]:
    """How many other rows are over each of several thresholds, for a random sample of rows.

    Args:
        embeddings: (n, d) rows.
        thresholds: (t,) similarities.
        similarity: as in `CosineNeighbors`.
        sample: how many rows are counted; all where n is smaller.
        seed: draws the sample.

    Returns:
        (t, min(sample, n)) counts, the row itself left out.

    Example:
        >>> count_neighbors([[1.0, 0.0], [0.98, 0.199], [0.0, 1.0]], [0.5, 0.99]).tolist()
        [[1, 1, 0], [0, 0, 0]]
    """
    x = check_embeddings(embeddings)
    scale, offset = lookup("similarity", SIMILARITIES, similarity)
    levels = np.asarray(thresholds, dtype=np.float64)
    unit = unit_rows(x)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:sample])
    counts = np.zeros((len(levels), len(chosen)), dtype=np.int64)
    rows = unit[unit.any(axis=1)]
    for i in range(0, len(chosen), 64):
        part = unit[chosen[i : i + 64]]
        values = np.sort((part @ rows.T) * scale + offset + 1.0 / GRID, axis=1)
        for j, row in enumerate(values):
            if part[j].any():
                counts[:, i + j] = len(row) - np.searchsorted(row, levels) - 1
    return counts


def unit_rows(x: Floats) -> NDArray[np.float64]:
    """Rows of length 1 in float64; zero rows stay zero."""
    unit = x.astype(np.float64)
    largest = np.abs(unit).max(axis=1, keepdims=True)
    unit /= np.where(largest == 0, 1.0, largest)  # squares of huge or tiny entries would over- or underflow
    length = np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    unit /= np.where(length == 0, 1.0, length)
    unit += 0.0  # -0.0 becomes 0.0, so that equal rows have equal bits
    return unit


class _Groups:
    """Rows of length 1, stored group by group, and within a group by their angle to its center."""

    def __init__(self, unit: NDArray[np.float64], reach: float) -> None:
        low = unit.astype(np.float32)
        group, centers = _group(low, reach)
        angle = np.arccos(np.clip(np.einsum("ij,ij->i", low, centers[group]), -1.0, 1.0)).astype(np.float64)
        self.group = group
        self.order = np.lexsort((angle, group))
        self.rows = unit[self.order]
        self.angle = angle[self.order]
        self.centers = centers
        self.starts = np.searchsorted(group[self.order], np.arange(len(centers) + 1))
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(len(self.order))

    def within(self, reach: float) -> NDArray[np.bool_]:
        """(m, m) whether rows of two groups can be within reach of each other."""
        radius = self.angle[self.starts[1:] - 1]
        between = np.arccos(np.clip(self.centers @ self.centers.T, -1.0, 1.0))
        return np.asarray(between - radius[:, None] - radius[None, :] <= reach)

    def pairs(
        self, asked: Positions, reach: float, least_cosine: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(query, row, cosine) of all pairs with at least this cosine, in no particular order."""
        queries = self.rows[self.place[asked]]
        to_center = np.arccos(np.clip(queries.astype(np.float32) @ self.centers.T, -1.0, 1.0))  # (q, m)
        least, most = self.angle[self.starts[:-1]], self.angle[self.starts[1:] - 1]
        touched = (to_center - reach <= most) & (to_center + reach >= least)
        many = touched.sum(axis=0)  # queries per group
        work = float(many @ np.diff(self.starts)) * queries.shape[1] / max(np.count_nonzero(many), 1)
        found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        # The threads of a small product wait for each other longer than they work, on a busy machine a hundred times.
        with _THREADS.limit(limits=1 if work < _SMALL_PRODUCT else None, user_api="blas"):
            for g in np.flatnonzero(many):
                who = np.flatnonzero(touched[:, g])
                start, stop = self.starts[g], self.starts[g + 1]
                angles = self.angle[start:stop]
                first = start + np.searchsorted(angles, to_center[who, g].min() - reach, side="left")
                last = start + np.searchsorted(angles, to_center[who, g].max() + reach, side="right")
                everyone = len(who) > 0.8 * len(queries)  # a copy of nearly all queries costs more than it saves
                for block in range(first, last, 4096):
                    columns = self.rows[block : min(block + 4096, last)]
                    cosines = (queries if everyone else queries[who]) @ columns.T
                    q, c = np.nonzero(cosines >= least_cosine)
                    found.append((q if everyone else who[q], self.order[block + c], cosines[q, c]))
        if not found:
            none = np.empty(0, dtype=np.int64)
            return none, none, np.empty(0)
        query, column, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return query, column, cosine


def _group(low: NDArray[np.float32], reach: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A group for each row, and the (m, d) unit centers: about sqrt(n) leaders, more where rows are far from all.

    Any grouping gives the same neighbours; a good one only skips more. Leaders are drawn with a fixed seed.
    """
    n = len(low)
    wanted = round(np.sqrt(n)) if n > 2048 else 1
    rng = np.random.default_rng(0)
    best = np.full(n, -np.inf, dtype=np.float32)
    group = np.zeros(n, dtype=np.int64)
    leaders = 0
    lonely = np.arange(n)
    for _ in range(_ROUNDS if wanted > 1 else 1):
        drawn = rng.choice(lonely, size=min(wanted, len(lonely)), replace=False)
        cosines = low @ low[drawn].T
        nearest = cosines.argmax(axis=1)
        value = cosines[np.arange(n), nearest]
        moved = value > best
        group[moved], best[moved] = leaders + nearest[moved], value[moved]
        leaders += len(drawn)
        lonely = np.flatnonzero(best < np.cos(min(2 * reach, np.pi / 2)))
        if len(lonely) < n // 100:
            break
    _, group = np.unique(group, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    centers = np.add.reduceat(low[order], starts, axis=0)
    return group, unit_rows(centers).astype(np.float32)


def _distinct(unit: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First position of each distinct row, and for every row which of these it equals."""
    weights = np.random.default_rng(0).integers(1, 2**63, size=unit.shape[1], dtype=np.uint64) | np.uint64(1)
    key = unit.view(np.uint64) @ weights  # a hash: equal rows, equal keys
    _, first, kind = np.unique(key, return_index=True, return_inverse=True)
    if len(first) == len(unit):
        return np.arange(len(unit)), np.arange(len(unit))
    if not np.array_equal(unit[first][kind], unit):  # two rows share a key by chance
        _, first, kind = np.unique(unit, axis=0, return_index=True, return_inverse=True)
    return first, kind.reshape(-1)


def _members(kind: NDArray[np.int64], kinds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(kind, kind="stable")
    return np.searchsorted(kind[order], np.arange(kinds + 1)), order


def _expand(
    query: NDArray[np.int64],
    kind: NDArray[np.int64],
    similarity: NDArray[np.float64],
    starts: NDArray[np.int64],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """One entry per distinct row becomes one entry per row that equals it."""
    sizes = (starts[1:] - starts[:-1])[kind]
    offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    column = order[np.repeat(starts[kind], sizes) + offset]
    return np.repeat(query, sizes), column, np.repeat(similarity, sizes)


def _stable_order(query: NDArray[np.int64], queries: int) -> NDArray[np.int64]:
    small = query.astype(np.uint16) if queries <= np.iinfo(np.uint16).max else query  # 16 bits sort by radix
    return np.argsort(small, kind="stable")
