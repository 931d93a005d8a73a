"""Peak memory of a query from a pool of a million rows on disk.

python benchmarks/memory_label.py --n 1000000 --d 256 --c 10 --budget 500

Features lie in a memory-mapped file, as observations do; 2,000 rows are labelled, a tenth of these out of distribution.
Each strategy runs in a process of its own. The figure is the highest resident memory of the process, imports and the
pages of the file that are in memory included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from goodgrain.meta import COMBINATIONS
from goodgrain.select import QueryOptions, Standing, query

STRATEGIES = ("margin", "coreset", "badge", "mqnet", "purity_first")


def ask(strategy: str, folder: Path, budget: int, pipe: object) -> None:
    """Query, and tell seconds and megabytes."""
    features = np.load(folder / "features.npy", mmap_mode="r")
    probabilities = np.load(folder / "probabilities.npy", mmap_mode="r")
    known = np.random.default_rng(1).permutation(len(features))[:2000]
    started = time.process_time()
    standing = Standing(
        n=len(features), labeled=known[200:], ood=known[:200], features=features, probabilities=probabilities
    )
    options = QueryOptions(purity="nearest_both", informativeness="margin", meta=COMBINATIONS["sum"])
    picked = query(strategy, standing, budget, options)
    assert len(picked) == budget
    pipe.send((time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """One line for each strategy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("n", 1_000_000), ("d", 256), ("c", 10), ("budget", 500)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    print(f"n={asked.n}, d={asked.d}, c={asked.c}, budget={asked.budget}")
    print(f"{'strategy':<14}{'CPU s':>8}{'MB':>8}")
    with tempfile.TemporaryDirectory(dir=".") as place:
        folder = Path(place)
        rng = np.random.default_rng(0)
        kinds = {"features": asked.d, "probabilities": asked.c}
        for name, width in kinds.items():
            rows = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (asked.n, width))
            for start in range(0, asked.n, 10_000):
                block = np.maximum(rng.standard_normal(rows[start : start + 10_000].shape, dtype=np.float32), 0) + 1e-3
                rows[start : start + 10_000] = block if name == "features" else block / block.sum(axis=1, keepdims=True)
            rows.flush()
        context = multiprocessing.get_context("spawn")
        for strategy in STRATEGIES:
            here, there = context.Pipe()
            process = context.Process(target=ask, args=(strategy, folder, asked.budget, there))
            process.start()
            process.join()
            seconds, megabytes = here.recv()
            print(f"{strategy:<14}{seconds:>8.1f}{megabytes:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
