"""Label a pool in which most images are of no class: by one call, and with a model and a loop of one's own.

python examples/label.py
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import goodgrain
from goodgrain.annotate import OOD, Session, SimulatedOracle, drive
from goodgrain.cli.demo_data import digits_of_four_classes
from goodgrain.data.open_set import oracle_truth
from goodgrain.meta import COMBINATIONS, MetaQueryNet, meta_input
from goodgrain.select import QueryOptions, Standing, query
from goodgrain.select.standing import informativeness_scores, purity_scores

folder = Path(tempfile.mkdtemp())
# Digits; four are classes, 55% of the pool is none of them. Your own: `goodgrain label init photos/ --classes cat,dog`.
pool, embeddings, test, test_embeddings = digits_of_four_classes(0.55, seed=0)
annotator = SimulatedOracle(oracle_truth(pool, ood=OOD))  # id -> answer; yours asks a person

# 1. One call: ask, be told, train, learn what to ask for, ask again.
result = goodgrain.label(
    pool, annotator, output=folder / "run", rounds=5, classes=pool.classes, test=test, embeddings=embeddings,
    test_embeddings=test_embeddings, target="head", budget=15,
)  # fmt: skip
for entry in result.metrics["rounds"]:
    print(f"round {entry['round']}: {entry['in_share']:.0%} of a class, accuracy {entry['accuracy']:.3f}")
print("report:", result.report)

# 2. The same loop around a model of your own: all that is asked of it are probabilities.
session = Session.create(folder / "own", pool.ids.tolist(), pool.classes, budget=15, seed=0)
drive(session, annotator)  # the first round is drawn at random
meta, last = COMBINATIONS["sum"], None
for _ in range(4):
    session.close_round()
    labels = session.labels()[1]  # of the whole pool: a class, OOD (-2), or not labelled (-1)
    known = np.flatnonzero(labels >= 0)
    model = LogisticRegression(max_iter=1000).fit(embeddings[known], labels[known])
    p = model.predict_proba(embeddings)
    if last is not None:  # what the last answers teach about purity against informativeness
        rows, reference, before = last
        told = rows[labels[rows] != -1]
        ood = labels[told] == -2
        inputs = meta_input(reference[0][told], reference[1][told], reference=[part[rows] for part in reference])
        loss = np.where(ood, 0, -np.log(before[told, np.where(ood, 0, labels[told])]))
        meta = MetaQueryNet().fit(inputs, loss, ood)
    now = Standing(n=len(pool), labeled=known, ood=np.flatnonzero(labels == -2), probabilities=p, features=embeddings)
    options = QueryOptions(purity="nearest_both", informativeness="margin", meta=meta, balanced=True)
    picks = query("mqnet", now, 30, options).positions
    session.propose(pool.ids[picks].tolist(), -np.arange(30.0), strategy="mqnet")
    reference = np.zeros((2, len(pool)))
    reference[:, now.rows] = purity_scores("nearest_both", now), informativeness_scores("margin", now)
    last = now.rows, reference, p
    drive(session, annotator)
    share = (session.labels()[1] >= 0).sum() / (session.labels()[1] != -1).sum()
    print(f"round {session.round.number}: {share:.0%} of all answers so far are of a class")
session.close()
