"""Figure 5.3c: how long each method takes to select, once the warm-up is done.

    python benchmarks/figure_5_3c.py OBSERVATIONS [--keep 0.8] [--repeats 3]

OBSERVATIONS is what a warm-up saw, such as `runs/chapter5/laptop/observations/cifar10n-random1-0` after table 5.2, or
the `observations` folder of any `goodgrain prune` run. Times are ratios to Prune4ReL's own gain,
medians of the repeats, all in one process. GraNd selects like least confidence, but after ten warm-ups in place of
one; the paper's figure counts those.
"""

import argparse
import statistics
import time

from goodgrain import Observations
from goodgrain.select.methods import METHODS, Options, Rulebook, relabeling_inputs, select
from goodgrain.select.threshold import advise_threshold


def main():
    """One line per method that the observations allow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("observations")
    parser.add_argument("--keep", type=float, default=0.8)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    seen = Observations.read(asked.observations)
    threshold = advise_threshold(*relabeling_inputs(seen, Options()), asked.keep).threshold
    ways = {name: (name, {}) for name in METHODS if name not in ("prune4rel", "grand")}
    ways |= {f"prune4rel, {gain} gain": ("prune4rel", {"gain": gain}) for gain in ("own", "coverage")}
    seconds = {}
    for label, (name, more) in ways.items():
        balanced = METHODS[name].balanced
        rules = Rulebook(asked.keep, seen.labels if balanced else None)
        taken = []
        for _ in range(asked.repeats):
            start = time.perf_counter()
            select(name, seen, rules, Options(threshold=threshold, **more))
            taken.append(time.perf_counter() - start)
        seconds[label] = statistics.median(taken)
    own = seconds["prune4rel, own gain"]
    print(f"keep {asked.keep} of {len(seen):,}, threshold {threshold}, median of {asked.repeats}")
    print(f"{'method':<28}{'times prune4rel (own gain)':>28}")
    for label, value in sorted(seconds.items(), key=lambda pair: pair[1]):
        print(f"{label:<28}{value / own:>28.3f}")
    print("grand selects as fast as least_confidence, after ten warm-ups in place of one")


if __name__ == "__main__":
    main()
