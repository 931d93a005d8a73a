"""The nearest centers of each row, in blocks: never an n x k array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions

_BLOCK = 2**23  # distances that are held at a time
_GROUP = 25  # columns; each row is searched by the least of each group first


class Nearest(NamedTuple):
    """The L nearest centers of each row, in rising order.

    Args:
        centers: (n, L) positions of centers.
        cost: (n, L) squared distances, less the discount of the center.
        bound: (n,) what every center that is not listed costs at least; inf where all are listed.
    """

    centers: Positions
    cost: NDArray[np.float64]
    bound: NDArray[np.float64]


def nearest_centers(x: Floats, centers: Floats, count: int, *, discount: NDArray[np.float64] | None = None) -> Nearest:
    """The centers of least |x - c|^2 - discount of each row.

    Products are taken in the type of `x`, so a float32 cost is exact to about 1e-6 of the squared lengths; time
    O(n k d), memory O(n L).

    Args:
        x: (n, d) rows.
        centers: (k, d).
        count: L, at most k.
        discount: (k,) taken off the squared distances; None for zeros.
    """
    n, k = len(x), len(centers)
    listed = min(count + 1, k)
    centers = centers.astype(x.dtype, copy=False)
    shift = np.einsum("ij,ij->i", centers, centers, dtype=np.float64)
    if discount is not None:
        shift = shift - discount
    own = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    index = np.empty((n, listed), dtype=np.int64)
    cost = np.empty((n, listed))
    rows = max(1, _BLOCK // k)
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        values = (-2 * x[block]) @ centers.T
        values += shift.astype(x.dtype)
        index[block], cost[block] = _least(values, listed)
    cost += own[:, None]
    if discount is None:
        np.maximum(cost, 0.0, out=cost)
    bound = cost[:, count].copy() if listed > count else np.full(n, np.inf)
    return Nearest(index[:, :count], cost[:, :count], bound)


def _least(values: Floats, listed: int) -> tuple[Positions, Floats]:
    """Positions and values of the least entries of each row, in rising order; equal ones by position."""
    n, k = values.shape
    width = min(_GROUP, k // (4 * listed))
    if width < 2:
        index = values.argsort(axis=1, kind="stable")[:, :listed]
        return index, np.take_along_axis(values, index, axis=1)
    groups = k // width
    lowest = values[:, : groups * width].reshape(n, groups, width).min(axis=2)
    enough = np.partition(lowest, listed - 1, axis=1)[:, listed - 1]  # that many groups hold an entry this low
    row, column = np.nonzero(values <= enough[:, None])
    found = values[row, column]
    order = np.lexsort((column, found, row))
    starts = np.searchsorted(row, np.arange(n))
    pick = order[starts[:, None] + np.arange(listed)]
    return column[pick], found[pick]
