"""Table 4.4: MQNet that learns from its own query sets, and from as many examples drawn at random.

python benchmarks/table_4_4.py

A head on frozen features. The examples that are drawn are answered for nothing and for the meta-model alone: they stay
in the pool and train no head. Some three minutes; nothing is kept.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from chapter3_data import cifar10
from chapter4 import HERE, SCALES
from chapter4_data import encoded, open_set
from chapter4_paper import SHARES, TABLE_4_4
from grid import grid

from goodgrain.data.pool import UNLABELED
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_round import learned, rank
from goodgrain.pipelines.label_space import Space
from goodgrain.pipelines.label_targets import HeadTarget

ROWS = ("query set", "random")


def run(share, seed, validation, scale, work):
    """The last accuracy."""
    seen, seen_test = encoded("split", work)
    drawn, test = open_set("split", share, seed), cifar10(False)[1]
    names, truth = drawn.pool.classes, drawn.pool.labels
    kept = np.flatnonzero(np.isin(test.labels, [test.classes.index(name) for name in names]))
    held = np.array([names.index(test.classes[label]) for label in test.labels[kept]])
    space, space_test = (
        Space(*(values[rows] for values in vars(part).values()))
        for part, rows in ((seen, drawn.positions), (seen_test, kept))
    )
    asked = LabelConfig(target="head", budget=scale.budget)
    target = HeadTarget(space, (space_test, held), names, asked)
    rng = np.random.default_rng(seed)
    labels = np.full(len(truth), UNLABELED)
    first = rng.permutation(len(truth))[: scale.budget]
    labels[first] = truth[first]
    answered = []
    for number in range(1, scale.rounds):
        target.train(labels, number, Path())
        meta = learned(answered, asked, seed=1000 * seed + number)
        columns, purity = target.columns(), space.purity(asked.purity, labels)
        whole = rank(labels, columns, asked, len(labels), meta=meta, purity=purity)
        picked = whole.picked[: scale.budget]
        places = np.arange(scale.budget) if validation == "query set" else rng.permutation(len(whole.picked))
        judged = places[: scale.budget]
        answered.append(replace(whole, picked=whole.picked[judged], losses=whole.losses[judged]).of(truth))
        labels[picked] = truth[picked]
    target.train(labels, scale.rounds, Path())
    return target.accuracy()


def main():
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter4")
    asked = parser.parse_args()
    scale = SCALES["laptop"]
    measured = {
        (row, share): [run(share, seed, row, scale, asked.work) for seed in scale.seeds["head"]]
        for row in ROWS
        for share in SHARES
    }
    columns = [(f"{share:.0%} OOD", share) for share in SHARES]
    title = "Table 4.4 · CIFAR-10 4:6 split, a head on frozen features · laptop · last accuracy (%) [paper]"
    grid(title, ROWS, columns, lambda *key: measured[key], lambda row, share: TABLE_4_4[row][SHARES.index(share)])


if __name__ == "__main__":
    main()
