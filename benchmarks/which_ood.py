"""Which OOD set will help? The cheap estimate of `goodgrain train --compare-ood` against true gains over ten sets.

python benchmarks/which_ood.py --scale laptop --workers 2

The true gain of a set: TAUFE with it less standard training, CIFAR-10, N = 500, equal steps, mean over seeds. The
estimates come from one standard model, trained for a fifth of the epochs, per seed.
"""

from __future__ import annotations

import json

import numpy as np
from chapter3 import HERE, SCALES, Cell, command
from chapter3_data import GROUPS, OODS, cifar10
from scipy.stats import spearmanr

from goodgrain.data.ood import few_shot
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.streams import stream_seed
from goodgrain.scores.features import activation, undesirability
from goodgrain.scores.ood_sets import shared_features

COUNT = 500
SETS = ("svhn", "colour-mnist", *GROUPS)


def cells(scale):
    """Seed by seed."""
    return [
        one
        for seed in scale.seeds["many"]
        for one in (
            Cell("cifar10", "tiny-imagenet", "ce", "standard", COUNT, seed),
            *(Cell("cifar10", ood, "ce", "taufe", COUNT, seed) for ood in SETS),
        )
    ]


def estimates(scale: str, seed: int) -> dict[str, dict[str, float]]:
    """Set -> estimate -> value, from one briefly trained model; kept in the results."""
    path = HERE / "results" / f"which_ood-{scale}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    asked = SCALES[scale]
    target = few_shot(cifar10(validation=False)[0], COUNT, seed=seed)
    learner = Standard(asked.network, **asked.recipe)
    fit(
        learner,
        target,
        epochs=asked.epochs // 5,
        seed=stream_seed(seed, "train"),
        device="cpu",
        precision=asked.precision,
    )
    _, own = predict(learner, target)
    found = {}
    for name in SETS:
        source = OODS[name]()
        order = np.random.default_rng([seed, 17]).permutation(len(source))[:1000]
        probabilities, features = predict(learner, source.subset(order))
        found[name] = {
            "shared_features": shared_features(own, target.labels, features, probabilities),
            "undesirability": float(undesirability(features, probabilities).mean()),
            "response": activation(features) / activation(own),
        }
    path.write_text(json.dumps(found, indent=1))
    return found


def show(scale, measured):
    """Per set the gain and the estimates, and how well each estimate ranks the gains."""
    seeds = [seed for seed in SCALES[scale].seeds["many"] if any(cell.seed == seed for cell in measured)]
    accuracy = {
        (cell.ood if cell.method == "taufe" else "", cell.seed): line["accuracy"] for cell, line in measured.items()
    }
    gains = {}
    for name in SETS:
        pairs = [100 * (accuracy[name, s] - accuracy["", s]) for s in seeds if {(name, s), ("", s)} <= accuracy.keys()]
        if pairs:
            gains[name] = pairs
    if not gains:
        return
    told = {seed: estimates(scale, seed) for seed in seeds}
    kinds = list(told[seeds[0]][SETS[0]])
    print(f"\nWhich OOD set? · CIFAR-10, N = {COUNT} · {scale} scale: {SCALES[scale].title()}")
    print(f"{'OOD set':<16}{'gain (points)':>20}" + "".join(f"{kind:>20}" for kind in kinds))
    means = {name: {kind: np.mean([told[seed][name][kind] for seed in seeds]) for kind in kinds} for name in gains}
    for name in sorted(gains, key=lambda one: -np.mean(gains[one])):
        spread = np.std(gains[name], ddof=1) if len(gains[name]) > 1 else 0.0
        row = "".join(f"{means[name][kind]:>20.3f}" for kind in kinds)
        print(f"{name:<16}{np.mean(gains[name]):>13.1f} ± {spread:>3.1f} {row}")
    for kind in kinds:
        rank = spearmanr([means[name][kind] for name in gains], [np.mean(gains[name]) for name in gains])
        print(f"rank correlation of {kind} with the gain: {rank.statistic:+.2f} (p = {rank.pvalue:.2f})")


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
