"""k-center against a ten-line NumPy running minimum, on the same data, in turns.

Run: python benchmarks/speed_k_center.py --n 50000 --d 512 --budget 500

Only the ratio of the two means anything on another machine, or on a busy one. The running minimum works in float32
throughout, so its picks may leave the exact ones; the table says from which pick on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goodgrain.select.distance import k_center


def running_minimum(x: NDArray[np.float32], budget: int, first: int) -> NDArray[np.int64]:
    """The plain way: one matrix-vector product a pick."""
    squares = np.einsum("ij,ij->i", x, x)
    nearest = np.full(len(x), np.inf, dtype=np.float32)
    picks = [first]
    while len(picks) < budget:
        center = picks[-1]
        np.minimum(nearest, squares + squares[center] - 2.0 * (x @ x[center]), out=nearest)
        nearest[center] = -1.0
        picks.append(int(nearest.argmax()))
    return np.asarray(picks)


def gaussian(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One cloud, the same in all directions."""
    return rng.standard_normal((n, d), dtype=np.float32)


def clusters(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A hundred tight clouds."""
    centers = 3.0 * rng.standard_normal((100, d), dtype=np.float32)
    return centers[rng.integers(100, size=n)] + rng.standard_normal((n, d), dtype=np.float32)


def rectified(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sparse, positive and of differing length, like the features before a network's last layer."""
    lengths = rng.lognormal(sigma=0.5, size=(n, 1)).astype(np.float32)
    return np.maximum(clusters(n, d, rng), 0.0) * lengths


def measure(kind: Callable[[int, int, np.random.Generator], NDArray[np.float32]], args: argparse.Namespace) -> str:
    """One line of the table."""
    x = kind(args.n, args.d, np.random.default_rng(args.seed))
    times: dict[str, list[float]] = {"running minimum": [], "k_center": []}
    first = int(k_center(x, 1, seed=args.seed).positions[0])
    for _ in range(args.repeats):
        start = time.perf_counter()
        plain = running_minimum(x, args.budget, first)
        times["running minimum"].append(time.perf_counter() - start)
        start = time.perf_counter()
        ours = k_center(x, args.budget, seed=args.seed).positions
        times["k_center"].append(time.perf_counter() - start)
    base, own = (statistics.median(seconds) for seconds in times.values())
    apart = np.flatnonzero(plain != ours)
    where = f"from pick {apart[0]}" if len(apart) else "never"
    return f"{kind.__name__:<12}{base:>18.2f}{own:>12.2f}{own / base:>9.2f}   {where}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"k-center, n={args.n}, d={args.d}, budget={args.budget}; seconds, median of {args.repeats}")
    print(f"{'data':<12}{'running minimum':>18}{'k_center':>12}{'ratio':>9}   picks differ")
    for kind in (gaussian, clusters, rectified):
        print(measure(kind, args), flush=True)


if __name__ == "__main__":
    main()
