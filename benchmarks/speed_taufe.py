"""Images per second of TAUFE, half labelled and half OOD, against standard training on as many labelled images a step.

    python benchmarks/speed_taufe.py [--images 1280] [--repeats 7] [--network small] [--device cpu]

Both sides train one epoch in turn, in the house's loop; the ratio of the medians counts.
"""

import argparse

import numpy as np
import torch
from timing import in_turn

from goodgrain.data.pool import OOD, Pool
from goodgrain.learn import Standard, fit
from goodgrain.learn.learners.calibration import Calibration

HALF = 32


def main():
    """One line for each way of batch normalisation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--network", default="small")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (asked.images, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(asked.images) % 10
    whole = Pool.from_arrays(images, labels)
    half = whole.with_labels(np.where(np.arange(asked.images) < asked.images // 2, labels, OOD))

    def train(pool, size, ood):
        learner = Standard(asked.network, batch_size=size, ood=ood)
        fit(learner, pool, epochs=1, seed=0, device=asked.device)

    for statistics in ("shared", "separate", "running"):
        seconds = in_turn(
            asked.repeats,
            taufe=lambda how=statistics: train(half, HALF, Calibration(statistics=how)),
            standard=lambda: train(whole, 2 * HALF, Calibration(method="standard")),
        )
        taufe, standard = (asked.images / seconds[name] for name in ("taufe", "standard"))
        print(
            f"TAUFE ({statistics}), {asked.network}, {asked.device}, {torch.get_num_threads()} threads, "
            f"{HALF} + {HALF} a step: {taufe:,.0f} images/s, standard {standard:,.0f} images/s, "
            f"ratio {taufe / standard:.2f} (at least 0.90 is wanted)"
        )


if __name__ == "__main__":
    main()
