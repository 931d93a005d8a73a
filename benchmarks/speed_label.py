"""Selections of the labelling job against literal references and, where it is installed, scikit-activeml.

Run: python benchmarks/speed_label.py --n 50000 --d 512 --c 100 --budget 500

CPU seconds, the sides in turns, and the extra resident memory of each. Only the ratios mean anything on another
machine. The references: for k-center the ten-line running minimum; for BADGE the factored distances as they are
published, one pass over all rows a pick, and k-means++ on gradients that are written out, where they fit `--most`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np
from memory import peak, reset_peak
from numpy.typing import NDArray
from speed_k_center import rectified, running_minimum

from goodgrain.select import badge, k_center

Array = NDArray[np.float32]


def model(n: int, d: int, c: int, seed: int) -> tuple[Array, Array]:
    """Rectified features in a hundred clusters, and the probabilities of a linear head on them."""
    rng = np.random.default_rng(seed)
    h = rectified(n, d, rng)
    logits = h @ rng.standard_normal((d, c), dtype=np.float32)
    logits *= 4.0 / logits.std()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), h


def residuals(p: Array) -> Array:
    """(n, c) onehot(argmax p) - p."""
    r = -p
    r[np.arange(len(p)), p.argmax(axis=1)] += 1.0
    return r


def seeding(
    n: int, budget: int, first: int, squared_to: Callable[[int], NDArray[np.float64]], seed: int
) -> NDArray[np.int64]:
    """k-means++ as it is written down: one distance from all rows a pick, then a draw in proportion to D^2."""
    rng, picks, squared = np.random.default_rng(seed), [first], np.full(n, np.inf)
    while len(picks) < budget:
        np.minimum(squared, np.maximum(squared_to(picks[-1]), 0.0), out=squared)
        squared[picks] = 0.0
        picks.append(int(rng.choice(n, p=squared / squared.sum())))
    return np.asarray(picks)


def factored(p: Array, h: Array, budget: int, seed: int) -> NDArray[np.int64]:
    """BADGE with distances from the two factors."""
    r = residuals(p)
    r_squares, h_squares = np.einsum("ij,ij->i", r, r), np.einsum("ij,ij->i", h, h)
    squares = r_squares * h_squares

    def squared_to(i: int) -> NDArray[np.float64]:
        return (squares + squares[i] - 2.0 * (r @ r[i]) * (h @ h[i])).astype(np.float64)

    return seeding(len(p), budget, int(squares.argmax()), squared_to, seed)


def written_out(p: Array, h: Array, budget: int, seed: int) -> NDArray[np.int64]:
    """BADGE on an n x (c d) array."""
    g = (residuals(p)[:, :, np.newaxis] * h[:, np.newaxis, :]).reshape(len(p), -1)
    squares = np.einsum("ij,ij->i", g, g)

    def squared_to(i: int) -> NDArray[np.float64]:
        return (squares + squares[i] - 2.0 * (g @ g[i])).astype(np.float64)

    return seeding(len(p), budget, int(squares.argmax()), squared_to, seed)


def peers(p: Array, h: Array, budget: int, seed: int) -> dict[str, dict[str, Callable[[], object]]]:
    """The same two selections by scikit-activeml, if it is there."""
    if importlib.util.find_spec("skactiveml") is None:
        return {"k-center": {}, "BADGE": {}}
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge, CoreSet

    class Known(SkactivemlClassifier):
        """A classifier that answers with the probabilities at hand; the labelled row 0 comes first."""

        def fit(self, *_: object) -> Known:
            return self

        def predict_proba(self, rows: Array) -> Array:
            return p[len(p) - len(rows) :]

    y = np.full(len(h), np.nan)
    y[0] = 0.0

    def core_set() -> object:
        return CoreSet(random_state=seed).query(h, y, batch_size=budget)

    def by_gradient() -> object:
        known = Known(classes=list(range(p.shape[1])))
        return Badge(random_state=seed).query(h, y, known, fit_clf=False, batch_size=budget)

    return {"k-center": {"scikit-activeml": core_set}, "BADGE": {"scikit-activeml": by_gradient}}


def measure(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Per side the median CPU seconds and the most extra memory in MB, the sides in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    extra = dict.fromkeys(sides, 0.0)
    for _ in range(repeats):
        for name, work in sides.items():
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # else what one side freed would hide what the next one takes
            before, start = reset_peak(), time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
            extra[name] = max(extra[name], peak() - before)
    return {name: (statistics.median(seconds[name]), extra[name]) for name in sides}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--c", type=int, default=100)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=1.0, help="GB that gradients written out may take")
    parser.add_argument("--no-peers", action="store_true", help="leave out scikit-activeml")
    args = parser.parse_args()
    p, h = model(args.n, args.d, args.c, args.seed)
    few = min(10, args.budget)
    start = int(k_center(h, few, seed=args.seed).positions[0])  # and what is imported late is imported
    badge(p, h, few, seed=args.seed)
    others = {"k-center": {}, "BADGE": {}} if args.no_peers else peers(p, h, args.budget, args.seed)
    tables: dict[str, dict[str, Callable[[], object]]] = {
        "k-center": {
            "goodgrain": lambda: k_center(h, args.budget, seed=args.seed),
            "running minimum": lambda: running_minimum(h, args.budget, start),
            **others["k-center"],
        },
        "BADGE": {
            "goodgrain": lambda: badge(p, h, args.budget, seed=args.seed),
            "factored": lambda: factored(p, h, args.budget, args.seed),
            **others["BADGE"],
        },
    }
    if p.size * args.d * 4 / 1e9 <= args.most:
        tables["BADGE"]["written out"] = lambda: written_out(p, h, args.budget, args.seed)
    print(f"n={args.n}, d={args.d}, c={args.c}, budget={args.budget}; median of {args.repeats}")
    print(f"{'':<10}{'':<18}{'CPU s':>8}{'ratio':>8}{'extra MB':>10}")
    for job, sides in tables.items():
        measured = measure(sides, args.repeats)
        for name, (seconds, extra) in measured.items():
            print(f"{job:<10}{name:<18}{seconds:>8.2f}{seconds / measured['goodgrain'][0]:>8.1f}{extra:>10.0f}")


if __name__ == "__main__":
    main()
