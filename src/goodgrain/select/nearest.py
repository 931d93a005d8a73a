"""Exact float64 distances at the price of float32 matrix products: a bound on the rounding says what to recompute."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions

BLOCK = 1 << 18  # numbers in a temporary array
CENTERS = 256  # columns of one matrix product
SMALL = 1 << 21  # numbers: below, the threads of a matrix product wait longer for each other than they work

_ROUNDING = 2.0**-24  # relative error of one float32 operation
_TINY = 2.0**-20  # scales between this and its inverse: squares are far from where float32 ends
_FAR = 0.75  # share of the mean squared length that the mean may have: the rounding bound is then four times as large
_LEAST = float(np.finfo(np.float32).tiny)  # absolute error where float32 underflows


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of consecutive rows, BLOCK numbers each."""
    step = max(1, BLOCK // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def largest_entry(x: Floats) -> float:
    """The largest absolute value; 0 for no rows."""
    return max(float(x.max()), -float(x.min())) if len(x) else 0.0


def unit_scale(largest: float) -> float:
    """The power of two that brings the largest entry to 1/2..1: exact, and squares cannot overflow."""
    return float(np.ldexp(1.0, -max(int(np.frexp(largest)[1]), -1000)))


def scaled(x: Floats, scale: float) -> NDArray[np.float64]:
    """A scaled float64 copy."""
    return np.multiply(x, scale, dtype=np.float64)


def squared_lengths(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) sums of squares, each row summed alike wherever it stands."""
    sums: NDArray[np.float64] = np.square(x).sum(axis=1)
    return sums


def _products(rows: NDArray[np.float32], centers: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, p) inner products."""
    if len(centers) == 1 and rows.size <= SMALL:
        one: NDArray[np.float32] = np.einsum("ij,j->i", rows, centers[0])
        return one[:, np.newaxis]
    return rows @ centers.T


class _Borrowed:
    """Rows of somebody else's array, read when they are asked for.

    Args:
        x: (m, d) float32.
        rows: (n,) positions; None for all.
    """

    def __init__(self, x: NDArray[np.float32], rows: Positions | None) -> None:
        self._x, self._rows = x, rows
        self.gathered = 0 if rows is None else x.shape[1]
        """Numbers that are copied for each row that is asked for."""

    def __getitem__(self, part: slice | Positions) -> NDArray[np.float32]:
        """Some of the rows."""
        return self._x[part] if self._rows is None else self._x[self._rows[part]]


class CenteredCopy:
    """A float32 copy of the rows, about their mean and scaled to about 1: small numbers, small rounding errors.

    Rows that are float32 already, neither huge nor tiny nor far from 0, can do without the copy.

    Args:
        x: (m, d), not copied, read again for exact values.
        rows: (n,) positions of the rows to copy; None for all.
        centers: (p, d) other rows that will be measured against these.
        borrow: whether to go without the copy where that costs little: `y` then only gives rows, and is no array.
    """

    y: NDArray[np.float32] | _Borrowed

    def __init__(self, x: Floats, rows: Positions | None, centers: Floats, *, borrow: bool = False) -> None:
        self.x = x
        self.rows = rows
        self.shape = (len(x) if rows is None else len(rows), x.shape[1])
        parts = list(blocks(*self.shape))
        self.scale = unit_scale(max(largest_entry(centers), *(largest_entry(self.read(part)) for part in parts)))
        self.mean = np.zeros(x.shape[1])
        for part in parts:
            self.mean += scaled(self.read(part), self.scale).sum(axis=0)
        self.mean /= len(self)
        self.squares = np.empty(len(self))  # squared lengths about the mean
        if borrow and x.dtype == np.float32 and _TINY < self.scale < 1 / _TINY:
            for part in parts:
                self.squares[part] = squared_lengths(scaled(self.read(part), self.scale))
            if self.mean @ self.mean <= _FAR * self.squares.mean():
                self.squares /= self.scale**2
                self.mean, self.scale = np.zeros(x.shape[1]), 1.0
                self.y = _Borrowed(np.asarray(x), rows)
                return
        self.y = np.empty(self.shape, dtype=np.float32)
        for part in parts:
            about = self.centered(self.read(part))
            self.y[part], self.squares[part] = about, squared_lengths(about)

    def __len__(self) -> int:
        """How many rows were copied."""
        return self.shape[0]

    def read(self, positions: Positions | slice) -> Floats:
        """Some of the rows as they came."""
        return self.x[positions] if self.rows is None else self.x[self.rows[positions]]

    def centered(self, rows: Floats) -> NDArray[np.float64]:
        """Any rows, scaled and about the mean, in float64."""
        return scaled(rows, self.scale) - self.mean

    def distance_error(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each of two rows adds, by its squared length, to the error bound of their squared distance.

        It bounds ||a||^2 + ||b||^2 - 2 a.b in float32, whatever the order of summation: d roundings in the product,
        ten before and after it, and 2 ||a|| ||b|| <= ||a||^2 + ||b||^2. The factor 2 is slack.
        """
        d = self.shape[1]
        bound: NDArray[np.float64] = 2.0 * _ROUNDING * (d + 16) * squares + d * _LEAST
        return bound

    def product_error(self, length: float, norms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Error bound of float32 products of rows of these norms with a vector of this length, with the same slack.

        The second term is the rounding of float64 sums of squares, to which the products are compared.
        """
        d = self.shape[1]
        products = length * norms + _ROUNDING * (length + norms) ** 2
        bound: NDArray[np.float64] = 2.0 * _ROUNDING * (d + 16) * products + d * _LEAST
        return bound


class NearestCenter:
    """The exact squared distance of every row to its nearest center, in scaled units.

    Args:
        copy: of the rows.
    """

    def __init__(self, copy: CenteredCopy) -> None:
        self.copy = copy
        self.squared = np.full(len(copy), np.inf)
        self._error = copy.distance_error(copy.squares)
        self._low = (copy.squares - self._error).astype(np.float32)

    def reach(self, centers: Floats, rows: Positions, y: NDArray[np.float32] | _Borrowed) -> None:
        """Let some rows know of new centers.

        Args:
            centers: (p, d) rows as they came, unscaled.
            rows: (m,) distinct positions.
            y: (m, d) their rows of the copy.
        """
        for start in range(0, len(centers), CENTERS):
            exact = scaled(centers[start : start + CENTERS], self.copy.scale)
            about = exact - self.copy.mean
            squares = squared_lengths(about)
            error = self.copy.distance_error(squares)
            width = max(len(exact), y.gathered if isinstance(y, _Borrowed) else 0)
            for block in blocks(len(rows), width):
                low = _products(y[block], about.astype(np.float32))
                low *= -2.0
                low += (squares - error).astype(np.float32)
                low += self._low[rows[block], np.newaxis]  # now a lower bound of the squared distance
                self._settle(rows[block], low, exact, error)

    def _settle(
        self, rows: Positions, low: NDArray[np.float32], centers: NDArray[np.float64], error: NDArray[np.float64]
    ) -> None:
        """Compute exactly what a lower bound leaves open: pairs that could be the nearest of their row."""
        likely = low.argmin(axis=1)
        least = low[np.arange(len(rows)), likely].astype(np.float64)
        known = self.squared[rows]
        open_rows = np.flatnonzero(least <= known)
        high = least + 2.0 * (self._error[rows] + error[likely])
        limit = np.minimum(known, high)[open_rows]
        near, center = np.nonzero(low[open_rows] <= limit[:, np.newaxis])
        pairs = rows[open_rows[near]]
        for block in blocks(len(pairs), self.copy.shape[1]):
            difference = scaled(self.copy.read(pairs[block]), self.copy.scale)
            difference -= centers[center[block]]
            np.minimum.at(self.squared, pairs[block], squared_lengths(difference))
