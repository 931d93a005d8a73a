"""Arrays at the public door: everything is checked here once, and nothing below checks again."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.errors import InputError, UnknownName

Floats = NDArray[np.floating[Any]]
Positions = NDArray[np.int64]
Entry = TypeVar("Entry")

_PROBABILITY_SLACK = 1e-3
_BLOCK = 1 << 20  # numbers that are looked at at a time


def check_numbers(name: str, values: ArrayLike, *, dimensions: int, n: int | None = None) -> Floats:
    """A finite float array: float32 stays float32, everything else becomes float64.

    Args:
        name: what the array is called in error messages.
        values: anything NumPy can take, CPU tensors included.
        dimensions: how many axes it must have.
        n: how many rows it must have; None for any number above zero.

    Returns:
        The array itself where its type fits, else a converted copy.

    Raises:
        InputError: not numeric, another shape, no rows, NaN or infinite values.

    Example:
        >>> check_numbers("scores", [1, 2], dimensions=1)
        array([1., 2.])
    """
    try:
        array = np.asarray(values)
        if array.dtype != np.float32:
            array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as reason:
        raise InputError(f"{name} cannot be read as numbers: {reason}.") from reason
    if array.ndim != dimensions:
        raise InputError(f"{name} should have {dimensions} axes; its shape is {array.shape}.")
    check_rows(name, len(array), n)
    if not _all_finite(array):
        bad = np.argwhere(~np.isfinite(array))
        rows = len(np.unique(bad[:, 0]))
        raise InputError(
            f"{name} has NaN or infinite values in {rows} of {len(array)} rows; the first is row {bad[0][0]}. "
            "Remove or repair these rows first."
        )
    return array


def _all_finite(array: Floats) -> bool:
    """In blocks: of a million rows, a mark for each number would be a quarter of their size."""
    step = max(1, _BLOCK // max(1, array[:1].size))
    return all(np.isfinite(array[start : start + step]).all() for start in range(0, len(array), step))


def check_rows(name: str, rows: int, n: int | None) -> None:
    """Refuse an empty array, or one whose length differs from the n rows of its companions."""
    if rows == 0:
        raise InputError(f"{name} is empty: at least one row is needed.")
    if n is not None and rows != n:
        raise InputError(f"{name} has {rows} rows, but there are {n} examples. Give one row per example.")


def check_embeddings(values: ArrayLike, *, name: str = "embeddings", n: int | None = None) -> Floats:
    """A finite (n, d) float array of one embedding per row."""
    array = check_numbers(name, values, dimensions=2, n=n)
    if array.shape[1] == 0:
        raise InputError(f"{name} has no columns: shape {array.shape}. Give one row per example and d >= 1 columns.")
    return array


def check_scores(values: ArrayLike, *, name: str = "scores", n: int | None = None) -> NDArray[np.float64]:
    """A finite (n,) float64 array."""
    return check_numbers(name, values, dimensions=1, n=n).astype(np.float64, copy=False)


def check_confidence(values: ArrayLike, *, n: int | None = None) -> NDArray[np.float64]:
    """A finite (n,) float64 array without negative entries."""
    array = check_scores(values, name="confidence", n=n)
    negative = np.flatnonzero(array < 0)
    if len(negative):
        raise InputError(
            f"confidence should be >= 0; {len(negative)} entries are negative, the first at row {negative[0]} "
            f"({array[negative[0]]:g})."
        )
    return array


def check_probabilities(values: ArrayLike, *, name: str = "probabilities", n: int | None = None) -> Floats:
    """A finite (n, c) float array whose rows are >= 0 and sum to 1 (within 0.001)."""
    array = check_numbers(name, values, dimensions=2, n=n)
    if array.shape[1] < 2:
        raise InputError(f"{name} should have one column per class, at least 2; its shape is {array.shape}.")
    negative = np.flatnonzero((array < 0).any(axis=1))
    if len(negative):
        raise InputError(f"{name} should be >= 0; row {negative[0]} has a negative entry.")
    sums = array.sum(axis=1, dtype=np.float64)
    off = np.flatnonzero(np.abs(sums - 1) > _PROBABILITY_SLACK)
    if len(off):
        raise InputError(
            f"each row of {name} should sum to 1; {len(off)} of {len(array)} rows do not, the first is row {off[0]} "
            f"(sum {sums[off[0]]:g}). Apply softmax first if these are logits."
        )
    return array


def check_integers(name: str, values: ArrayLike, *, n: int | None = None) -> Positions:
    """An (n,) int64 array; whole floats are taken, booleans are refused."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as reason:
        raise InputError(f"{name} cannot be read as integers: {reason}.") from reason
    if array.ndim != 1:
        raise InputError(f"{name} should have 1 axis; its shape is {array.shape}.")
    check_rows(name, len(array), n)
    if array.dtype == bool or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{name} should be integers; its type is {array.dtype}.")
    whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        raise InputError(f"{name} should be integers; it has fractions or NaN.")
    return whole


def check_labels(values: ArrayLike, *, n: int | None = None, classes: int | None = None) -> Positions:
    """An (n,) int64 array of classes 0..c-1.

    Args:
        values: one class per example.
        n: how many examples there are; None for any number.
        classes: c; None where any label >= 0 will do.

    Raises:
        InputError: not integers, another length, or a label outside 0..c-1.
    """
    labels = check_integers("labels", values, n=n)
    top = np.iinfo(np.int64).max if classes is None else classes - 1
    outside = np.flatnonzero((labels < 0) | (labels > top))
    if len(outside):
        span = "0 or more" if classes is None else f"0..{classes - 1}"
        raise InputError(
            f"labels should be {span}; {len(outside)} are not, the first is {labels[outside[0]]} at row {outside[0]}."
        )
    return labels


def check_positions(values: ArrayLike | None, *, n: int, name: str = "positions", distinct: bool = True) -> Positions:
    """An (m,) int64 array of positions below n, each once unless they need not be distinct; None gives an empty one."""
    if values is None or np.size(np.asarray(values)) == 0:
        return np.empty(0, dtype=np.int64)
    positions = check_integers(name, values)
    outside = positions[(positions < 0) | (positions >= n)]
    if len(outside):
        raise InputError(f"{name} should be 0..{n - 1}; {outside[0]} is not.")
    if distinct and len(np.unique(positions)) != len(positions):
        raise InputError(f"{name} names a position twice. Give each once.")
    return positions


def budget_count(budget: int | float, *, n: int) -> int:
    """How many examples a budget asks for: an int is a count, a float in (0, 1] a share of n.

    Args:
        budget: a count, or a share; a share becomes `floor(share * n + 0.5)`, at least 1.
        n: how many examples there are.

    Returns:
        The count, between 1 and n.

    Raises:
        InputError: a bool, 0, below 0, more than n, or a share outside (0, 1].

    Example:
        >>> budget_count(0.25, n=10), budget_count(7, n=10)
        (3, 7)
    """
    given: Any = budget  # NumPy's numbers are neither int nor float
    if isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Real):
        raise InputError(f"budget should be a count (int) or a share (float in (0, 1]); {given!r} came.")
    if isinstance(given, numbers.Integral):
        count = int(given)
        if count < 1:
            raise InputError(f"budget={count} picks nothing. Ask for at least 1 of the {n} examples.")
        if count > n:
            raise InputError(f"budget={count} is more than the {n} examples. Ask for at most {n}.")
        return count
    share = float(given)
    if not 0 < share <= 1:
        raise InputError(f"budget={share:g} is no share: a float should lie in (0, 1]. For a count, give an int.")
    return max(1, math.floor(share * n + 0.5))


def check_count(name: str, value: int, *, least: int = 1, most: int | None = None) -> int:
    """A whole number of at least `least`, and at most `most` where that is given.

    Raises:
        InputError: a bool, a fraction, or a number outside the limits.

    Example:
        >>> check_count("strata", 50)
        50
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < least or (most is not None and count > most):
        limit = f"at least {least}" if most is None else f"{least} to {most}"
        raise InputError(f"{name} should be a whole number, {limit}; {value!r} came.")
    return count


def check_within(name: str, value: float, *, above: float, most: float = math.inf) -> float:
    """A finite number in (above, most]."""
    given: Any = value  # NumPy's numbers are neither int nor float
    if isinstance(given, bool) or not isinstance(given, numbers.Real) or not above < float(given) <= most:
        limit = "" if most == math.inf else f" and at most {most:g}"
        raise InputError(f"{name} should be above {above:g}{limit}; {value!r} came.")
    if not math.isfinite(given):
        raise InputError(f"{name} should be finite; {value!r} came.")
    return float(given)


def lookup(kind: str, table: Mapping[str, Entry], name: str) -> Entry:
    """The entry of a table by its name, or an error that offers the nearest name.

    Args:
        kind: what the table holds, as a user calls it ("gain").
        table: the known entries.
        name: what is asked for.

    Raises:
        UnknownName: the table has no such name.

    Example:
        >>> lookup("gain", {"own": 1}, "own")
        1
    """
    if name not in table:
        raise UnknownName(kind, name, table)
    return table[name]
