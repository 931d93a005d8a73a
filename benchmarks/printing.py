"""Tables of what was measured, each figure with what the paper says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from laboratory import SCALES, Cell

Line = Mapping[str, Any]
WORDS = {"cifar10n-random1": "random", "cifar10n-worst": "worst", "cifar100n-noisy": "cifar100n"}
"""What the paper's tables call a dataset."""


def figures(
    measured: Mapping[Cell, Line], data: str, learner: str, variant: str, keep: float, fact: str
) -> list[float]:
    """One fact of a cell over its seeds, as far as they were run."""
    return [
        line[fact]
        for cell, line in measured.items()
        if (cell.data, cell.learner, cell.variant, cell.keep) == (data, learner, variant, keep)
        and line[fact] is not None
    ]


def spread(values: Sequence[float], *, percent: bool = True) -> str:
    """Mean and standard deviation, and over how many seeds where these are not all three."""
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


def table(
    title: str,
    scale: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, Any]],
    measured: Callable[[str, Any], Sequence[float]],
    paper: Callable[[str, Any], float | tuple[float, float] | None],
) -> None:
    """Print a table: per column what was measured, and the paper's figure in brackets.

    Args:
        title: what it is.
        scale: a name in SCALES.
        rows: methods.
        columns: (heading, key).
        measured: (row, key) -> one share per seed.
        paper: (row, key) -> the paper's figure in percent, if it has one.
    """
    print(f"\n{title} · {scale} scale: {SCALES[scale].title()} [paper's figure]")
    print(f"{'method':<28}" + "".join(f"{heading:>32}" for heading, _ in columns))
    for row in rows:
        cells = [f"{spread(measured(row, key)):>16} {published(paper(row, key)):<15}" for _, key in columns]
        print(f"{row:<28}" + "".join(cells))


def at(figures_of_row: Sequence[Any] | None, keeps: Sequence[float], keep: float) -> Any:
    """The paper's figure at a share, if it has one."""
    return figures_of_row[keeps.index(keep)] if figures_of_row is not None and keep in keeps else None
