"""How fast Prune4ReL selects: Algorithm 3 against a literal NumPy version, the coverage gain against apricot.

    python benchmarks/speed_prune.py [--n 50000] [--runs 3] [--literal-picks 1000]

The literal version does the same work for each pick (one matrix-vector product and one pass over all gains), so its
time for a whole budget is that of `--literal-picks` picks times their share; `--literal-picks 0` runs it in full.
"""

import argparse
import subprocess
import sys
from functools import partial

import numpy as np
from timing import in_turn

from goodgrain.select import prune4rel

SPREADS = {"sparse": 0.24, "dense": 0.21}  # about 50 and 500 neighbours a row at cosine 0.95


def clusters(n, spread, d=512, count=100, seed=0):
    """Rows around random directions, float32, with their confidences."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(count, d))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    x = centers[rng.integers(count, size=n)] + spread / np.sqrt(d) * rng.normal(size=(n, d))
    return x.astype(np.float32), rng.uniform(0.2, 1, size=n)


def literal(x, c, picks, threshold=0.95):
    """Algorithm 3 as printed, in float32 NumPy: norms once, then one product with all rows for each pick."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    c = c.astype(np.float32)
    sums = np.zeros(len(c), dtype=np.float32)
    free = np.ones(len(c), dtype=bool)
    order = []
    for _ in range(picks):
        gain = np.where(free, np.tanh(sums + c) - np.tanh(sums), -1)
        best = int(gain.argmax())
        order.append(best)
        free[best] = False
        similarity = unit @ unit[best]
        sums += np.where(similarity >= threshold, similarity * c[best], 0)
    return order


def against_literal(n, runs, literal_picks):
    """One line for each density and budget."""
    print(f"Algorithm 3, n = {n:,}, d = 512, 100 clusters, threshold 0.95, median of {runs}")
    print(f"{'neighbours':>12}{'kept':>7}{'literal s':>11}{'goodgrain s':>13}{'ratio':>8}")
    for name, spread in SPREADS.items():
        x, c = clusters(n, spread)
        for share in (0.2, 0.8):
            picks = round(share * n)
            part = min(picks, literal_picks or picks)
            seconds = in_turn(runs, literal=partial(literal, x, c, part), ours=partial(prune4rel, x, c, share))
            slow, fast = seconds["literal"] * picks / part, seconds["ours"]
            print(f"{name:>12}{share:>7.0%}{slow:>11.1f}{fast:>13.2f}{slow / fast:>8.1f}", flush=True)


PEERS = {
    "goodgrain": "from goodgrain.select import prune4rel\nprune4rel(x, c, k, gain='coverage')",
    "apricot": (
        "from apricot import FacilityLocationSelection\n"
        "FacilityLocationSelection(k, metric='cosine', optimizer='lazy').fit(x)"
    ),
}


def side(name, n):
    """Seconds and extra MB of one peer in a process of its own."""
    script = f"""
import sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {sys.path[0]!r})
from memory import peak, reset_peak
from speed_prune import clusters
x, c = clusters({n}, 0.24)
k = {n // 5}
{PEERS[name].splitlines()[0]}
small, conf = clusters(300, 0.24)
exec({PEERS[name].splitlines()[1]!r}, {{**globals(), "x": small, "c": conf, "k": 30}})
before = reset_peak()
start = time.perf_counter()
{PEERS[name].splitlines()[1]}
print(time.perf_counter() - start, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def against_apricot(n, runs):
    """Coverage gain beside facility location, the objective that apricot offers nearest to it."""
    try:
        import apricot  # noqa: F401
    except ImportError:
        print("\napricot is not installed: pip install 'goodgrain[bench]' adds it; this comparison is left out")
        return
    measured = {name: [] for name in PEERS}
    for _ in range(runs):
        for name in PEERS:
            measured[name].append(side(name, n))
    print(f"\nCoverage gain and facility location, n = {n:,}, d = 512, 20% kept, median of {runs}")
    print(f"{'':>12}{'seconds':>10}{'extra MB':>10}")
    for name, cells in measured.items():
        seconds, memory = np.median(cells, axis=0)
        print(f"{name:>12}{seconds:>10.2f}{memory:>10.0f}")
    ratios = np.median(measured["apricot"], axis=0) / np.median(measured["goodgrain"], axis=0)
    print(f"{'ratio':>12}{ratios[0]:>10.1f}{ratios[1]:>10.1f}")


def main():
    """Both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--literal-picks", type=int, default=1000)
    asked = parser.parse_args()
    against_literal(asked.n, asked.runs, asked.literal_picks)
    against_apricot(min(asked.n, 10_000), asked.runs)


if __name__ == "__main__":
    main()
