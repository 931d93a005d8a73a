"""Printing what was measured over seeds, each figure with what the paper says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def spread(values: Sequence[float], *, percent: bool = True) -> str:
    """Mean and standard deviation, and over how many seeds where these are fewer than three."""
    if not values:
        return "-"
    scaled = np.array(values) * (100 if percent else 1)
    deviation = f" ± {scaled.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{scaled.mean():.1f}{deviation}" + ("" if len(values) > 2 else f" ({len(values)})")


def published(figure: float | tuple[float, float] | None) -> str:
    """What the paper says, in its brackets."""
    if figure is None:
        return ""
    return f"[{figure[0]} ± {figure[1]}]" if isinstance(figure, tuple) else f"[{figure}]"


def grid(
    title: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, Any]],
    measured: Callable[[str, Any], Sequence[float]],
    paper: Callable[[str, Any], float | tuple[float, float] | None] = lambda row, key: None,  # noqa: ARG005
    *,
    percent: bool = True,
    first: str = "method",
) -> None:
    """Print a table: per column what was measured, and the paper's figure in brackets.

    Args:
        title: what it is.
        rows: methods.
        columns: (heading, key).
        measured: (row, key) -> one value per seed.
        paper: (row, key) -> the paper's figure, if it has one.
        percent: whether measured values are shares that are shown in percent.
        first: what the rows are.
    """
    print(f"\n{title}")
    width = max(28, *(len(row) + 2 for row in rows)) if rows else 28
    print(f"{first:<{width}}" + "".join(f"{heading:>32}" for heading, _ in columns))
    for row in rows:
        cells = [
            f"{spread(measured(row, key), percent=percent):>16} {published(paper(row, key)):<15}" for _, key in columns
        ]
        print(f"{row:<{width}}" + "".join(cells))
