"""First centers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions

_ROUNDS = 64
_BLOCK = 2**22  # distances that are held at a time


def random_rows(x: Floats, k: int, rng: np.random.Generator) -> Positions:
    """(k,) distinct rows, each with the same chance."""
    return rng.choice(len(x), size=k, replace=False)


def spread_rows(x: Floats, k: int, rng: np.random.Generator) -> Positions:
    """(k,) distinct rows, drawn with chances that grow with the squared distance to those drawn before.

    k-means++ (Arthur & Vassilvitskii 2007) for up to 64 centers; more are drawn in 64 rounds of several at once, as
    k-means|| does (Bahmani et al. 2012). Time O(n k d), memory O(n).

    Args:
        x: (n, d) rows.
        k: at most n.
        rng: draws.
    """
    drawn = rng.choice(len(x), size=1)
    nearest = np.full(len(x), np.inf)
    ends = np.linspace(1, k, min(k, _ROUNDS)).astype(np.int64)
    last = drawn
    for count in np.diff(ends):
        _approach(nearest, x, last)
        far = np.flatnonzero(nearest)
        if len(far) >= count:
            last = rng.choice(far, size=count, replace=False, p=nearest[far] / nearest[far].sum())
        else:  # as good as all rows equal one that is drawn
            rest = np.setdiff1d(np.arange(len(x)), np.concatenate([drawn, far]))
            last = np.concatenate([far, rng.choice(rest, size=count - len(far), replace=False)])
        drawn = np.concatenate([drawn, last])
    return drawn


def _approach(nearest: NDArray[np.float64], x: Floats, rows: Positions) -> None:
    """Lower the squared distances (n,) to the nearest center where one of these rows is nearer; 0 for themselves."""
    centers = x[rows]
    lengths = np.einsum("ij,ij->i", centers, centers)
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(x), step):
        block = x[start : start + step]
        least = (lengths - 2 * (block @ centers.T)).min(axis=1).astype(np.float64)
        least += np.einsum("ij,ij->i", block, block, dtype=np.float64)
        part = nearest[start : start + step]
        np.minimum(part, np.maximum(least, 0), out=part)
    nearest[rows] = 0


INITIALISATIONS = {"k-means++": spread_rows, "random": random_rows}
