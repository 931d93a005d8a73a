"""Tables of what was measured, each figure with what the paper says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grid import grid
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
    heading = f"{title} · {scale} scale: {SCALES[scale].title()} [paper's figure]"
    grid(heading, rows, columns, measured, paper)


def at(figures_of_row: Sequence[Any] | None, keeps: Sequence[float], keep: float) -> Any:
    """The paper's figure at a share, if it has one."""
    return figures_of_row[keeps.index(keep)] if figures_of_row is not None and keep in keeps else None
