"""Millions of rows: cut them into parts of near ones, cluster each part by itself, and mend the seams."""

from __future__ import annotations

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from goodgrain.checks import Floats, Positions
from goodgrain.cluster.fitting import Fit, Start, fit_best, fit_once, inertia
from goodgrain.cluster.initialisation import spread_rows
from goodgrain.cluster.nearest import Nearest, nearest_centers
from goodgrain.cluster.refinement import NEIGHBORS, Partition, cluster_sums
from goodgrain.errors import InputError

_SAMPLE = 256  # rows per shard that the cut is learned from
_AROUND = 8  # parts whose clusters a row may move to, its own included


def fit_shards(x: Floats, start: Start, shards: int, n_jobs: int | None, rng: np.random.Generator) -> Fit:
    """The clusters of all parts together; the parts and their seeds do not depend on `n_jobs`.

    Args:
        x: (n, d) rows.
        start: how a part is clustered; `start.k` clusters are shared out by size.
        shards: parts, at most k; fewer come out where rows are the same.
        n_jobs: processes.
        rng: draws.

    Raises:
        InputError: the sizes are too tight to be met part by part.
    """
    part = cut(x, shards, rng)
    rows = [np.flatnonzero(part == p) for p in range(part.max() + 1)]
    counts = share_out(np.asarray([len(r) for r in rows]), start.k, start.least, start.most)
    seeds = rng.spawn(len(rows))
    work = zip(rows, counts.tolist(), seeds, strict=True)
    fits: list[Fit] = list(
        Parallel(n_jobs=n_jobs)(delayed(fit_best)(x[r], start._replace(k=k), seed) for r, k, seed in work)
    )
    labels = np.empty(len(x), dtype=np.int64)
    for r, fit, first in zip(rows, fits, np.cumsum(counts) - counts, strict=True):
        labels[r] = first + fit.labels
    partition = Partition(x, labels, start.k, start.least, start.most)
    mend(partition, part, np.repeat(np.arange(len(rows)), counts))
    centers = cluster_sums(x, partition.labels, start.k) / partition.sizes[:, None]
    return Fit(partition.labels, centers, [inertia(x, partition.labels, centers)], max(fit.steps for fit in fits))


def mend(partition: Partition, part: Positions, owner: Positions) -> None:
    """Let rows and clusters settle across the seams: among the clusters of the parts around their own.

    Args:
        partition: rows in clusters of one part each; it is changed.
        part: (n,) the part of each row.
        owner: (k,) the part of each cluster.
    """
    x, parts = partition.x, int(owner.max()) + 1
    middles = (cluster_sums(x, part, parts) / np.bincount(part)[:, None]).astype(x.dtype)
    around = nearest_centers(middles, middles, min(_AROUND, parts)).centers
    candidates = _nearest_around(x, part, partition, owner, around).centers
    partition.settle(candidates)
    centers = partition.centers.astype(x.dtype)
    partition.merge_and_split(_nearest_around(centers, owner, partition, owner, around))
    partition.settle(candidates)


def _nearest_around(x: Floats, part: Positions, partition: Partition, owner: Positions, around: Positions) -> Nearest:
    """The nearest centers of each row among the clusters of the parts around its own."""
    clusters = [np.flatnonzero(np.isin(owner, near)) for near in around]
    count = min(NEIGHBORS, *(len(c) for c in clusters))
    centers = np.empty((len(x), count), dtype=np.int64)
    cost, bound = np.empty((len(x), count)), np.empty(len(x))
    for p, there in enumerate(clusters):
        rows = np.flatnonzero(part == p)
        near = nearest_centers(x[rows], partition.centers[there], count)
        centers[rows], cost[rows], bound[rows] = there[near.centers], near.cost, near.bound
    return Nearest(centers, cost, bound)


def cut(x: Floats, shards: int, rng: np.random.Generator) -> Positions:
    """A part of each row, (n,), 0..p-1: its nearest of some centers that share a sample about evenly."""
    sample = x[rng.choice(len(x), size=min(len(x), _SAMPLE * shards), replace=False)]
    most = -(-2 * len(sample) // shards)
    centers = fit_once(sample, sample[spread_rows(sample, shards, rng)], 1, most, max_iter=5, tol=1e-2).centers
    nearest = nearest_centers(x, centers, 1).centers[:, 0]
    parts: Positions = np.unique(nearest, return_inverse=True)[1].reshape(-1)
    return parts


def share_out(sizes: Positions, k: int, least: int, most: int) -> Positions:
    """How many of the k clusters each part gets, (s,): by its size, as far as the bounds of its clusters allow.

    Args:
        sizes: (s,) rows of each part.
        k: clusters.
        least: members of a cluster at least.
        most: members of a cluster at most.

    Raises:
        InputError: no shares meet the bounds in every part.

    Example:
        >>> share_out(np.array([30, 10]), 8, 1, 10)
        array([6, 2])
    """
    lower, upper = -(-sizes // most), sizes // least
    if (lower > upper).any() or lower.sum() > k or upper.sum() < k:
        raise InputError(
            f"{k} clusters of {least} to {most} members cannot be shared out over {len(sizes)} shards. "
            "Give fewer shards, or sizes that leave more room."
        )
    wanted = k * sizes / sizes.sum()
    counts: Positions = np.clip(np.floor(wanted).astype(np.int64), lower, upper)
    while (missing := k - int(counts.sum())) != 0:
        open_to_change = counts < upper if missing > 0 else counts > lower
        gap = np.where(open_to_change, np.sign(missing) * (wanted - counts), -np.inf)
        counts[gap.argmax()] += np.sign(missing)
    return counts
