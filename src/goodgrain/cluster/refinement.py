"""Moves, exchanges, merges and splits that lower the inertia past the reach of k-means iterations.

K-means moves a row to the nearer center. But a center follows its members: a row that leaves a members at squared
distance u, and joins b at squared distance v, changes the inertia by b / (b + 1) v - a / (a - 1) u (Hartigan 1975).
Where clusters have few members, the two rules differ much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions
from goodgrain.cluster.nearest import Nearest, nearest_centers

_BLOCK = 2**22  # numbers that are gathered at a time
_SWEEPS = 50
NEIGHBORS = 16  # other clusters with which a cluster may merge
_ROUNDING = 1e-9  # of the mean squared length; a smaller gain is none


class Partition:
    """Rows in clusters: labels, sums and sizes, kept true move by move.

    Args:
        x: (n, d) rows.
        labels: (n,) a cluster each, none empty.
        k: clusters.
        least: members that every cluster has, and keeps.
        most: members that none exceeds.
    """

    def __init__(self, x: Floats, labels: Positions, k: int, least: int, most: int) -> None:
        self.x, self.k, self.least, self.most = x, k, least, most
        self.labels = labels.copy()
        self.sizes = np.bincount(labels, minlength=k)
        self.sums = cluster_sums(x, labels, k)
        self.members: list[dict[int, None]] = [{} for _ in range(k)]  # ordered, and quick to leave
        for row, label in enumerate(labels.tolist()):
            self.members[label][row] = None
        self.changed = np.ones(k, dtype=bool)
        self.small = _ROUNDING * float(np.einsum("ij,ij->", x, x, dtype=np.float64)) / len(x)

    @property
    def centers(self) -> NDArray[np.float64]:
        """(k, d) means of the members."""
        return self.sums / self.sizes[:, None]

    def settle(self, candidates: Positions) -> None:
        """Move rows to candidates (n, L), or exchange them for members of full ones, until that helps no more."""
        for _ in range(_SWEEPS):
            rows = np.flatnonzero(self.changed[self.labels] | self.changed[candidates].any(axis=1))
            gain, rows, targets = self._promising(rows, candidates)
            self.changed[:] = False
            for i in np.argsort(-gain, kind="stable").tolist():
                self._try(int(rows[i]), int(targets[i]))
            if not self.changed.any():
                return

    def _promising(self, rows: Positions, candidates: Positions) -> tuple[NDArray[np.float64], Positions, Positions]:
        """Rows that would gain by a move if all others stayed: gain, row and target; at most two targets a row."""
        centers = self.centers.astype(self.x.dtype)
        lengths = np.einsum("ij,ij->i", centers, centers)
        found = []
        step = max(1, _BLOCK // (candidates.shape[1] * self.x.shape[1]))
        for start in range(0, len(rows), step):
            row = rows[start : start + step]
            x, own, other = self.x[row], self.labels[row], candidates[row]
            length = np.einsum("ij,ij->i", x, x)[:, None]
            away = length + lengths[other] - 2 * np.matmul(centers[other], x[:, :, None])[:, :, 0]
            here = np.square(x - centers[own]).sum(axis=1)[:, None]
            a, b = self.sizes[own][:, None], self.sizes[other]
            gain = a / np.maximum(a - 1, 1) * here - b / (b + 1) * away
            gain[other == own[:, None]] = -np.inf
            free = (b < self.most) & (a > self.least)
            for kind in (free, ~free):
                values = np.where(kind, gain, -np.inf)
                best = values.argmax(axis=1)
                value = values[np.arange(len(row)), best]
                good = value > self.small
                found.append((value[good], row[good], other[np.arange(len(row)), best][good]))
        gains, at, targets = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else _nothing()
        return gains, at, targets

    def _try(self, row: int, target: int) -> None:
        """Move the row if that still helps; where sizes forbid it, exchange it for the best member of the target."""
        source = int(self.labels[row])
        if source == target:
            return
        a, b, x = self.sizes[source], self.sizes[target], self.x[row].astype(np.float64)
        left, reached = self.sums[source] / a, self.sums[target] / b
        if a > self.least and b < self.most:
            u, v = x - left, x - reached
            if a / (a - 1) * (u @ u) - b / (b + 1) * (v @ v) > self.small:
                self._move(row, target)
            return
        members = np.fromiter(self.members[target], dtype=np.int64)
        change = self.x[members] - x
        gain = 2 * (change @ (left - reached)) + (1 / a + 1 / b) * np.einsum("ij,ij->i", change, change)
        best = int(gain.argmax())
        if gain[best] > self.small:
            self._move(int(members[best]), source)
            self._move(row, target)

    def _move(self, row: int, target: int) -> None:
        source = int(self.labels[row])
        x = self.x[row].astype(np.float64)
        self.sums[source] -= x
        self.sums[target] += x
        self.sizes[source] -= 1
        self.sizes[target] += 1
        del self.members[source][row]
        self.members[target][row] = None
        self.labels[row] = target
        self.changed[[source, target]] = True

    def merge_and_split(self, near: Nearest) -> None:
        """Merge the pairs of near clusters that lose least, and split one that gains more for each.

        Args:
            near: for each cluster, the centers near its own.
        """
        loss, first, second = self._merges(near)
        if len(loss) == 0:
            return
        gain = np.empty(self.k)
        parts: list[Positions] = []
        for cluster in range(self.k):
            gain[cluster], part = self._split(np.fromiter(self.members[cluster], dtype=np.int64))
            parts.append(part)
        widest = iter(np.argsort(-gain, kind="stable").tolist())
        used = np.zeros(self.k, dtype=bool)
        for pair in np.argsort(loss, kind="stable"):
            a, b = int(first[pair]), int(second[pair])
            if used[a] or used[b]:
                continue
            wide = next((w for w in widest if not used[w] and w not in (a, b)), None)
            if wide is None or gain[wide] <= loss[pair] + self.small:
                return
            used[[a, b, wide]] = True
            for row in list(self.members[b]):
                self._move(row, a)
            for row in parts[wide].tolist():
                self._move(row, b)

    def _merges(self, near: Nearest) -> tuple[NDArray[np.float64], Positions, Positions]:
        """Each pair of clusters that fit into one, and what the inertia rises by if they become one."""
        a, b = np.repeat(np.arange(self.k), near.centers.shape[1]), near.centers.reshape(-1)
        fit = (a != b) & (self.sizes[a] + self.sizes[b] <= self.most)
        a, b, apart = a[fit], b[fit], near.cost.reshape(-1)[fit]
        return self.sizes[a] * self.sizes[b] / (self.sizes[a] + self.sizes[b]) * apart, a, b

    def _split(self, members: Positions) -> tuple[float, Positions]:
        """What the inertia falls by if a cluster is cut across its widest direction, and the rows beyond the cut."""
        n, least = len(members), self.least
        if n < 2 * least:
            return -np.inf, members
        x = self.x[members].astype(np.float64)
        x -= x.mean(axis=0)
        wide = x.shape[1] > n
        _, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
        along = vectors[:, -1] if wide else x @ vectors[:, -1]
        order = along.argsort(kind="stable")
        before = np.cumsum(x[order], axis=0)[least - 1 : n - least]
        size = np.arange(least, n - least + 1)
        gain = np.einsum("ij,ij->i", before, before) * (1 / size + 1 / (n - size))
        cut = int(gain.argmax())
        return float(gain[cut]), members[order[least + cut :]]


def refine(x: Floats, labels: Positions, k: int, least: int, most: int, candidates: Positions) -> Positions:
    """Labels (n,) of no higher inertia and the same size bounds, where no move to a candidate helps any more.

    Args:
        x: (n, d) rows.
        labels: (n,) clusters that keep the bounds.
        k: clusters.
        least: members that a cluster keeps, 1 or more.
        most: members that it may have.
        candidates: (n, L) clusters that each row may move to.
    """
    partition = Partition(x, labels, k, least, most)
    partition.settle(candidates)
    centers = partition.centers.astype(x.dtype)
    partition.merge_and_split(nearest_centers(centers, centers, min(NEIGHBORS, k)))
    partition.settle(candidates)
    return partition.labels


def cluster_sums(x: Floats, labels: Positions, k: int) -> NDArray[np.float64]:
    """(k, d) sums of the members."""
    order = np.argsort(labels, kind="stable")
    sums = np.zeros((k, x.shape[1]))
    step = max(1, _BLOCK // x.shape[1])
    for start in range(0, len(x), step):
        rows = order[start : start + step]
        present, first = np.unique(labels[rows], return_index=True)
        sums[present] += np.add.reduceat(x[rows].astype(np.float64), first, axis=0)
    return sums


def _nothing() -> tuple[NDArray[np.float64], Positions, Positions]:
    none = np.empty(0, dtype=np.int64)
    return np.empty(0), none, none
