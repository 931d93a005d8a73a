"""The two gains of Prune4ReL, evaluated lazily: the naive result, pick by pick, without the naive work.

Gains only fall while the subset grows, so an old gain is an upper bound, and only the top of a heap must ever be
brought up to date.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from goodgrain.neighbors import CosineNeighbors
from goodgrain.select.selection import Greedy, Rules

BATCH = 1024  # neighbour lists fetched at once: enough rows for an efficient matrix product
CACHE_ENTRIES = 25_000_000  # 16 bytes each: neighbour lists kept in memory, together
_TIE = 11  # digits: sums over neighbours agree to about 1e-13, whatever their order


class _Gain(Protocol):
    def __call__(self, neighbors: CosineNeighbors, confidence: NDArray[np.float64], rules: Rules) -> Greedy: ...


class _Lists:
    """Neighbour lists, fetched in batches and kept while there is room."""

    def __init__(self, neighbors: CosineNeighbors) -> None:
        self.neighbors = neighbors
        self.group = neighbors.group
        self.groups = np.split(np.argsort(self.group, kind="stable"), np.cumsum(np.bincount(self.group))[:-1])
        self.kept: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self.entries = 0
        self.batch = 64
        self.room = 64  # lists that fit, by the length of those fetched last

    def fetch(self, positions: list[int]) -> None:
        """Make the lists of these positions ready; older ones are forgotten where room is short."""
        if self.entries > CACHE_ENTRIES:
            self.kept.clear()
            self.entries = 0
        rows = self.neighbors.rows(positions, ordered=False)
        for i, position in enumerate(positions):
            indices, similarities = rows.row(i)
            self.kept[position] = (indices.copy(), similarities.copy())  # a view would hold the whole batch
        self.entries += len(rows.indices)
        self.room = CACHE_ENTRIES // max(1, len(rows.indices) // len(positions))
        self.batch = int(np.clip(self.room // 8, 64, BATCH))

    def pop(self, position: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The list of a position that was fetched; it is forgotten."""
        indices, similarities = self.kept.pop(position)
        self.entries -= len(indices)
        return indices, similarities


class _Subset:
    """What both gains share: the growing subset, its neighbourhood confidences, and which lists to fetch next."""

    def __init__(self, lists: _Lists, confidence: NDArray[np.float64], count: int, gains: NDArray[np.float64]) -> None:
        self.lists = lists
        self.confidence = confidence
        self.gains = gains  # (n,) the last computed log gain
        self.sums = np.zeros(len(confidence))  # (n,) neighbourhood confidence so far
        self.taken = np.zeros(len(confidence), dtype=bool)
        self.left = count

    def add(self, position: int) -> NDArray[np.int64]:
        """Put a position into the subset and return those whose sums grew."""
        if position not in self.lists.kept:
            self.look_ahead(position)
        indices, similarities = self.lists.pop(position)
        self.sums[indices] += similarities * self.confidence[position]
        self.taken[position] = True
        self.left -= 1
        return indices

    def look_ahead(self, position: int) -> None:
        """Fetch the list of a position, and lists that will probably be asked for soon.

        Those are the most promising candidates of its group, then of the groups that now hold the best candidates:
        of each as large a share as will be taken in the end, but no more than there is room for in all groups.
        """
        free = ~self.taken
        share = min(1.0, 1.25 * self.left / int(free.sum()), 0.5 * self.lists.room / int(free.sum()))
        most = min(self.lists.batch, 2 * self.left)
        ahead = {position: None}
        best = np.flatnonzero(free)
        best = best[np.argpartition(-self.gains[best], min(most, len(best)) - 1)[:most]]
        groups = self.lists.group[best]
        for group in dict.fromkeys([int(self.lists.group[position]), *groups.tolist()]):
            mates = self.lists.groups[group]
            mates = mates[free[mates]]
            promising = np.argsort(-self.gains[mates], kind="stable")[: math.ceil(share * len(mates))]
            ahead.update((mate, None) for mate in mates[promising].tolist() if mate not in self.lists.kept)
            if len(ahead) >= most:
                break
        self.lists.fetch(list(ahead)[: max(most, 1)])


class _OwnGain:
    """Algorithms 3 and 4: the candidate's own term.

    log(tanh(a + c) - tanh(a)) = log sinh c - log cosh(a + c) - log cosh a, written so that nothing overflows or
    cancels: with e = exp(-2a) and f = exp(-2c) it is log(2 (1 - f)) - 2a - log((1 + e) (1 + e f)).

    Candidates of one class and one group of near rows form a cell, whose gains are computed together. The heap of a
    class holds one entry for each cell: its best candidate when its gains were last computed.
    """

    def __init__(self, neighbors: CosineNeighbors, confidence: NDArray[np.float64], rules: Rules) -> None:
        with np.errstate(divide="ignore"):  # no confidence, no gain: log 0
            self.head = np.log(-2.0 * np.expm1(-2.0 * confidence))
        self.fade = np.exp(-2.0 * confidence)
        lists = _Lists(neighbors)
        everyone = np.arange(len(confidence))
        self.subset = _Subset(lists, confidence, rules.count, np.empty(len(confidence)))
        _, self.cell = np.unique(rules.groups * (lists.group.max() + 1) + lists.group, return_inverse=True)
        order = np.lexsort((everyone, -confidence, self.cell))  # ties: higher confidence, then lower position
        self.cells = np.split(order, np.cumsum(np.bincount(self.cell))[:-1])
        self.changed = np.zeros(len(self.cells), dtype=np.int64)  # when a sum in the cell last grew
        self.computed = [0] * len(self.cells)  # when its gains were computed
        self.now = 0
        self.heaps: dict[int, list[tuple[float, float, int, int]]] = {}
        for cell, members in enumerate(self.cells):
            self.heaps.setdefault(int(rules.groups[members[0]]), []).append(self._entry(cell))
        for heap in self.heaps.values():
            heapq.heapify(heap)

    def _entry(self, cell: int) -> tuple[float, float, int, int]:
        members = self.cells[cell]
        gains = self.subset.gains[members] = self._log_gains(members)
        first = int(gains.argmax())
        position = int(members[first])
        return -float(gains[first]), -float(self.subset.confidence[position]), position, cell

    def _log_gains(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        twice = 2.0 * self.subset.sums[positions]
        e = np.exp(-twice)
        return np.asarray(self.head[positions] - twice - np.log((1.0 + e) * (1.0 + e * self.fade[positions])))

    def best(self, group: int) -> int | None:
        heap = self.heaps[group]
        while heap:
            _, _, position, cell = heap[0]
            if self.computed[cell] >= self.changed[cell]:
                return position
            self.computed[cell] = self.now
            if len(self.cells[cell]):
                heapq.heapreplace(heap, self._entry(cell))
            else:
                heapq.heappop(heap)
        return None

    def take(self, position: int) -> float:
        gain = math.exp(self._log_gains(np.array([position]))[0])
        self.now += 1
        cell = self.cell[position]
        self.changed[self.cell[self.subset.add(position)]] = self.now
        self.changed[cell] = self.now
        self.cells[cell] = self.cells[cell][self.cells[cell] != position]
        return gain


class _CoverageGain:
    """Eq. 5.8: what a candidate adds over all its neighbours. The heap of a class holds one entry per candidate."""

    def __init__(self, neighbors: CosineNeighbors, confidence: NDArray[np.float64], rules: Rules) -> None:
        lists = _Lists(neighbors)
        self.subset = _Subset(lists, confidence, rules.count, np.empty(len(confidence)))
        waiting = np.concatenate(lists.groups).tolist()
        while waiting:
            part, waiting = waiting[: lists.batch], waiting[lists.batch :]
            lists.fetch(part)
            for position in part:
                self.subset.gains[position] = self._log_gain(position)
        self.within_reach = neighbors.within_reach()
        self.changed = np.zeros(len(self.within_reach), dtype=np.int64)  # when a sum near the group last grew
        self.computed = [0] * len(confidence)  # when each gain was computed
        self.now = 0
        self.heaps: dict[int, list[tuple[float, float, int]]] = {}
        entries = zip((-self.subset.gains).tolist(), (-confidence).tolist(), range(len(confidence)), strict=True)
        for group, entry in zip(rules.groups.tolist(), entries, strict=True):
            self.heaps.setdefault(group, []).append(entry)
        for heap in self.heaps.values():
            heapq.heapify(heap)

    def _log_gain(self, position: int) -> float:
        if position not in self.subset.lists.kept:
            self.subset.look_ahead(position)
        indices, similarities = self.subset.lists.kept[position]
        return _log_coverage_gain(self.subset.sums[indices], similarities * self.subset.confidence[position])

    def best(self, group: int) -> int | None:
        heap = self.heaps[group]
        while heap:
            _, negative, position = heap[0]
            if self.subset.taken[position]:
                heapq.heappop(heap)
            elif self.computed[position] >= self.changed[self.subset.lists.group[position]]:
                return position
            else:
                self.computed[position] = self.now
                self.subset.gains[position] = gain = self._log_gain(position)
                heapq.heapreplace(heap, (-gain, negative, position))
        return None

    def take(self, position: int) -> float:
        gain = math.exp(self._log_gain(position))
        self.now += 1
        groups = np.unique(self.subset.lists.group[self.subset.add(position)])
        self.changed[self.within_reach[groups].any(axis=0)] = self.now
        return gain


GAINS: Mapping[str, _Gain] = {"own": _OwnGain, "coverage": _CoverageGain}


def _log_coverage_gain(a: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """Log of the sum over neighbours of tanh(a + w) - tanh(a), rounded so that equal sums tie."""
    least = float(a.min())
    fade = np.exp(-2.0 * w)
    rest = np.exp(-2.0 * (a - least))  # relative to the least covered neighbour, which dominates the sum
    base = math.exp(-2.0 * least)
    total = float((-np.expm1(-2.0 * w) * rest / ((1.0 + rest * base * fade) * (1.0 + rest * base))).sum())
    return round(math.log(2.0 * total) - 2.0 * least, _TIE) if total > 0.0 else -math.inf
