"""Constrained k-means from first centers to the last step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions
from goodgrain.cluster.assignment import assign
from goodgrain.cluster.initialisation import INITIALISATIONS
from goodgrain.cluster.refinement import cluster_sums, refine

_BLOCK = 2**22  # numbers that are held at a time


class Fit(NamedTuple):
    """Labels (n,), centers (k, d), the inertia after each step, and how many steps were taken."""

    labels: Positions
    centers: NDArray[np.float64]
    inertias: list[float]
    steps: int


class Start(NamedTuple):
    """How to cluster: k clusters of `least` to `most` members, from `starts` draws by the method `init`."""

    k: int
    least: int
    most: int
    init: str
    starts: int
    max_iter: int
    tol: float


def fit_best(x: Floats, start: Start, rng: np.random.Generator) -> Fit:
    """The fit of least inertia."""
    draw = INITIALISATIONS[start.init]
    fits = [
        fit_once(x, x[draw(x, start.k, rng)], start.least, start.most, start.max_iter, start.tol)
        for _ in range(start.starts)
    ]
    return min(fits, key=lambda fit: fit.inertias[-1])


def fit_once(x: Floats, centers: Floats, least: int, most: int, max_iter: int, tol: float) -> Fit:
    """Assign and refine from these centers until the inertia stays.

    Args:
        x: (n, d) rows, best with a mean of zero.
        centers: (k, d).
        least: members that a cluster has at least.
        most: members that it has at most; n rows can meet both.
        max_iter: most steps.
        tol: the least share by which a step lowers the inertia for another to follow.
    """
    k = len(centers)
    best = Fit(np.empty(0, dtype=np.int64), np.asarray(centers, dtype=np.float64), [], 0)
    while best.steps < max_iter:
        step = assign(x, best.centers, least, most)
        labels = refine(x, step.labels, k, least, most, step.candidates)
        means = cluster_sums(x, labels, k) / np.bincount(labels, minlength=k)[:, None]
        now = inertia(x, labels, means)
        before = best.inertias[-1] if best.inertias else np.inf
        if now >= before:
            break
        best = Fit(labels, means, [*best.inertias, now], best.steps + 1)
        if before - now <= tol * now:
            break
    return best


def inertia(x: Floats, labels: Positions, centers: NDArray[np.float64]) -> float:
    """The sum of squared distances of the rows to their centers."""
    step = max(1, _BLOCK // x.shape[1])
    parts = (x[i : i + step] - centers[labels[i : i + step]] for i in range(0, len(x), step))
    return float(sum(np.einsum("ij,ij->", part, part) for part in parts))
