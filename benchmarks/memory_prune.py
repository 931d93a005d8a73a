"""Extra memory of both gains at n = 50,000, d = 512, where each row has about 5,000 neighbours over the threshold.

python benchmarks/memory_prune.py [--own 10000] [--coverage 5]
"""

import argparse
import time

import numpy as np
from memory import peak, reset_peak

from goodgrain.neighbors import count_neighbors
from goodgrain.select import prune4rel


def main():
    """One line per gain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--own", type=int, default=10_000, help="picks with the own gain")
    parser.add_argument("--coverage", type=int, default=5, help="picks with the coverage gain")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(10, 512)).astype(np.float32), 5000, axis=0)
    x += rng.normal(size=x.shape, scale=0.05).astype(np.float32)
    c = rng.uniform(0.2, 1, size=len(x))
    print(f"n = {len(x):,}, d = 512, median neighbours over 0.95: {np.median(count_neighbors(x, [0.95])):,.0f}")
    for gain, picks in (("own", asked.own), ("coverage", asked.coverage)):
        before = reset_peak()
        start = time.perf_counter()
        prune4rel(x, c, picks, gain=gain)
        seconds = time.perf_counter() - start
        print(f"{gain:>10} gain, {picks:,} picks: {peak() - before:,.0f} MB extra, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
