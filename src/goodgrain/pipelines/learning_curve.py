"""Where more data stops paying, read off a learning curve."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from goodgrain.errors import InputError

LEAST_RISE = 0.01  # accuracy per doubling of the data that is worth having


def where_more_stops_paying(
    counts: Sequence[int], accuracy: Sequence[float], errors: Sequence[float], *, least_rise: float = LEAST_RISE
) -> str:
    """Say in one or two sentences whether a larger budget would still pay.

    Between neighbouring budgets the rise in accuracy per doubling of the data is taken; a rise that is below
    `least_rise`, or below two standard errors of its own, does not count. More data stops paying at the smallest
    budget after which no rise counts.

    Args:
        counts: (b,) how many examples each budget kept, at least two different ones.
        accuracy: (b,) mean test accuracy, 0..1.
        errors: (b,) standard error of each.
        least_rise: accuracy per doubling that is worth having.

    Returns:
        The advice, with the numbers that it rests on.

    Raises:
        InputError: fewer than two budgets, or lengths that differ.

    Example:
        >>> advice = where_more_stops_paying([1000, 2000, 4000], [0.50, 0.60, 0.602], [0.005, 0.005, 0.005])
        >>> advice.split(":")[0]
        'More data stops paying at 2,000 examples'
    """
    if len(counts) < 2 or len({len(counts), len(accuracy), len(errors)}) != 1 or len(set(counts)) != len(counts):
        raise InputError("a learning curve needs two or more different budgets, each with accuracy and error.")
    points = sorted(zip(counts, accuracy, errors, strict=True))
    rises = []
    for (n0, a0, e0), (n1, a1, e1) in itertools.pairwise(points):
        doublings = math.log2(n1 / n0)
        rises.append(((a1 - a0) / doublings, math.hypot(e0, e1) / doublings))
    counting = [i for i, (rise, error) in enumerate(rises) if rise >= least_rise and rise >= 2 * error]
    end = counting[-1] + 1 if counting else 0  # the smallest budget after which no rise counts
    if end == len(points) - 1:
        rise, error = rises[-1]
        return (
            f"More data still pays: from {points[-2][0]:,} to {points[-1][0]:,} examples accuracy rises by "
            f"{100 * rise:.1f} points per doubling of the data (standard error {100 * error:.1f})."
        )
    (n0, a0, e0), (n1, a1, e1) = points[end], points[-1]
    doublings = math.log2(n1 / n0)
    return (
        f"More data stops paying at {n0:,} examples: from there to {n1:,}, accuracy changes by "
        f"{100 * (a1 - a0) / doublings:+.1f} points per doubling of the data "
        f"(standard error {100 * math.hypot(e0, e1) / doublings:.1f}), and {100 * least_rise:.1f} is the least that "
        "counts here."
    )
