"""Quantiles of more numbers than fit into memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_count, check_within


class StreamedQuantile:
    """One quantile of numbers that come in chunks, kept exactly in bounded memory when their count is known.

    Of n numbers, only those that can still be the quantile or lie above it are kept: for the 90th percentile a tenth
    of them. `np.quantile` with linear interpolation gives the same.

    Args:
        share: of the numbers that lie below, above 0, at most 1.
        count: how many numbers will come.

    Raises:
        InputError: a share outside (0, 1], or no numbers.

    Example:
        >>> ninety = StreamedQuantile(0.9, 11)
        >>> ninety.add([0, 10, 1, 9, 2, 8])
        >>> ninety.add([3, 7, 4, 6, 5])
        >>> ninety.value()
        9.0
    """

    def __init__(self, share: float, count: int) -> None:
        self._place = check_within("share", share, above=0, most=1) * (check_count("count", count) - 1)
        self._count, self._seen = count, 0
        self._most = count - math.floor(self._place)  # numbers from the quantile's lower neighbour upwards
        self._top: NDArray[np.float64] = np.empty(0)

    def add(self, values: ArrayLike) -> None:
        """Take in a chunk of any shape."""
        chunk = np.asarray(values, dtype=np.float64).ravel()
        self._seen += len(chunk)
        together = np.concatenate([self._top, chunk])
        drop = len(together) - self._most
        self._top = np.partition(together, drop)[drop:] if drop > 0 else together

    def value(self) -> float:
        """The quantile; all numbers have to be in."""
        if self._seen != self._count:
            raise ValueError(f"{self._count} numbers were announced, and {self._seen} came")
        lowest = np.partition(self._top, min(1, len(self._top) - 1))
        part = self._place - math.floor(self._place)
        return float(lowest[0] if part == 0 else lowest[0] + part * (lowest[1] - lowest[0]))
