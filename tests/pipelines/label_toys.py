"""Small pools to be labelled: two classes, a third kind that is none of them, and embeddings that tell them apart."""

import numpy as np

from conftest import shapes
from goodgrain.annotate import OOD, SimulatedOracle, drive
from goodgrain.pipelines.labeling import Labeling

CLASSES = ("lying", "standing")
KINDS = ("lying", "standing", "slanted")
QUICK = {"classes": CLASSES, "budget": 6, "steps": 2, "encoder": "none", "device": "cpu"}

PUBLISHED = {"purity": "nearest_in", "learn_from": "last"}


def pictures(n=30, seed=0):
    return shapes(n, seed)


def truth_of(pool):
    return {name: KINDS[label] for name, label in zip(pool.ids.tolist(), pool.labels.tolist(), strict=True)}


def annotator(pool, **rates):
    return SimulatedOracle(truth_of(pool), ood={"slanted"}, **rates)


def answers_of(pool, **rates):
    """What the annotator says of each image."""
    oracle = annotator(pool, **rates)
    return [oracle(name) for name in pool.ids.tolist()]


def seen_as(pool, seed=0, noise=1.0):
    """Embeddings (n, 6) of a pool."""
    rng = np.random.default_rng(seed)
    return 2 * np.eye(3, 6)[pool.labels] + noise * rng.normal(size=(len(pool), 6))


def by_head(pool, **changes):
    """Arguments of a run that trains nothing but a head."""
    return {**QUICK, **PUBLISHED, "target": "head", "embeddings": seen_as(pool), **changes}


def rounds_of(run, oracle, count):
    """Advance and answer so often; gives the positions asked in each round, in order."""
    place = {name: i for i, name in enumerate(run.session.labels()[0].tolist())}
    for _ in range(count):
        run.advance()
        drive(run.session, oracle)
    asked = {}
    for one in run.session.history():
        asked.setdefault(one.round, []).append(place[one.id])
    return [asked.get(number, []) for number in range(count)]


def begin(pool, folder, **arguments):
    return Labeling.create(pool, output=folder, **arguments)


KNOWN_PAIR = {"picture 0.png": "lying", "picture 1.png": "standing", "picture 2.png": OOD}
