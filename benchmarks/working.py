"""Working through many cells: each once, in several processes, resumable."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch


class Laboratory(Protocol):
    """Where cells are run, and where their lines are kept."""

    def measured(self) -> Mapping[Any, Mapping[str, Any]]:
        """Every cell that has its line, and what it came to."""

    def run(self, cell: Any) -> str:
        """Run a cell, keep its line, and say in a few words what it came to."""


def work_through(laboratory: Laboratory, cells: Sequence[Any], *, workers: int, minutes: float) -> None:
    """Run the cells that have no line yet, in their order; none is begun after so many minutes."""
    done = laboratory.measured()
    waiting = [cell for cell in cells if cell not in done]
    print(f"{len(waiting)} of {len(cells)} cells to run", flush=True)
    end = time.time() + 60 * minutes
    if workers == 1:
        for cell in waiting:
            _work(laboratory, cell, end, None)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, maxtasksperchild=8) as pool:
        threads = max(1, (os.cpu_count() or 1) // workers)
        pool.starmap(_work, [(laboratory, cell, end, threads) for cell in waiting], chunksize=1)


def _work(laboratory: Laboratory, cell: Any, end: float, threads: int | None) -> None:
    if time.time() > end:
        return
    if threads is not None:
        torch.set_num_threads(threads)
    said = laboratory.run(cell)
    print(f"{cell.name}: {said}", flush=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
