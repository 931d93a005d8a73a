"""What the picks of each method are like: why one trains better than another.

    python benchmarks/anatomy.py [--data cifar10n-random1] [--seed 0] [--keep 0.2]

Uses the warm-ups of table 5.2 and trains nothing. Per method: the objective of Eq. 5.8 as a share of its largest
possible value, wrong labels among the picks, their mean confidence, their neighbours, how many of them the warm-up
predicts as labelled, and how far the median example is from its nearest pick (1 - cosine on plain features).
"""

import argparse
from pathlib import Path

import numpy as np
from chapter5_data import DATASETS
from laboratory import HERE, SCALES, Cell, selected

from goodgrain import Observations
from goodgrain.neighbors import unit_rows
from goodgrain.select import objective
from goodgrain.select.methods import Options, relabeling_inputs
from goodgrain.select.threshold import advise_threshold

BLOCK = 2000
ROWS = (
    "uniform",
    "small_loss",
    "k_center",
    "forgetting",
    "forgetting, learned only",
    "moderate",
    "own",
    "own, balanced",
    "coverage, balanced",
    "own, balanced, 0.95",
)


def neighbours_and_reach(plain, strong, threshold, picked):
    """(n,) neighbours over the threshold on the strong view, and (n,) 1 - cosine to the nearest pick on the plain."""
    counts, nearest = np.zeros(len(plain)), np.zeros(len(plain))
    p, s = unit_rows(plain).astype(np.float32), unit_rows(strong).astype(np.float32)
    for start in range(0, len(plain), BLOCK):
        rows = slice(start, start + BLOCK)
        counts[rows] = (s[rows] @ s.T >= threshold).sum(axis=1) - 1
        nearest[rows] = 1 - (p[rows] @ p[picked].T).max(axis=1)
    return counts, nearest


def main():
    """One line per method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10n-random1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=float, default=0.2)
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter5")
    asked = parser.parse_args()
    scale = SCALES["laptop"]
    train, _ = DATASETS[asked.data](scale.images)
    seen = Observations.read(asked.work / "laptop" / "observations" / f"{asked.data}-{asked.seed}")
    wrong = train.labels != train.clean_labels
    fits = seen.probabilities.argmax(axis=1) == train.labels
    features, confidence = relabeling_inputs(seen, Options())
    threshold = advise_threshold(features, confidence, asked.keep).threshold
    most = float(np.tanh(confidence.sum()) * len(seen))
    names = ["objective", "wrong labels", "confidence", "neighbours", "as labelled", "reach"]
    print(f"{asked.data}, seed {asked.seed}, keep {asked.keep}, threshold {threshold}")
    print(f"{'method':<28}" + "".join(f"{name:>14}" for name in names))
    for variant in ROWS:
        _, picked, _ = selected(Cell(asked.data, "sop", variant, asked.keep, asked.seed), seen, scale.threshold)
        counts, nearest = neighbours_and_reach(seen.features, features, threshold, picked)
        reached = objective(features, confidence, picked, threshold=threshold) / most
        values = [
            f"{reached:.3f}",
            f"{wrong[picked].mean():.3f}",
            f"{confidence[picked].mean():.3f}",
            f"{np.median(counts[picked]):.0f}",
            f"{fits[picked].mean():.3f}",
            f"{np.median(nearest):.4f}",
        ]
        print(f"{variant:<28}" + "".join(f"{value:>14}" for value in values))


if __name__ == "__main__":
    main()
