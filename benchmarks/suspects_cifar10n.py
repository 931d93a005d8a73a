"""How many of the labels that look wrong are wrong, on CIFAR-10N, and which view judges best.

    python benchmarks/suspects_cifar10n.py RUN

RUN is the folder of a `goodgrain prune` run on CIFAR-10 (any CIFAR-10N label column) with clean labels known:
its observations are judged again, by the plain view, by the strong view and by the mean of both.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from goodgrain import Observations
from goodgrain.scores.suspects import suspects


def main():
    """One line per view."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    seen = Observations.read(parser.parse_args().run / "observations")
    labels = pq.read_table(Path(os.environ["GOODGRAIN_DATA"]) / "cifar10n_labels.parquet")
    clean = labels["clean_label"].to_numpy().astype(np.int64)
    wrong = seen.labels != clean
    print(f"{wrong.mean():.4f} of {len(wrong):,} labels are wrong")
    print(f"{'view':>8}{'suspects':>10}{'precision':>11}{'recall':>8}{'surest tenth':>14}{'suggestion right':>18}")
    views = {
        "plain": seen.probabilities,
        "strong": seen.strong_probabilities,
        "mean": (seen.probabilities + seen.strong_probabilities) / 2,
    }
    for name, probabilities in views.items():
        found = suspects(seen.labels, probabilities)
        hit = wrong[found.positions]
        right = (found.suggested == clean[found.positions]).mean()
        print(
            f"{name:>8}{len(hit):>10,}{hit.mean():>11.3f}{hit.sum() / wrong.sum():>8.3f}"
            f"{hit[: len(hit) // 10].mean():>14.3f}{right:>18.3f}"
        )


if __name__ == "__main__":
    main()
