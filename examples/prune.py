"""Prune a noisy image set four ways: by one call, from own embeddings, with rules, and for a learner that relabels.

python examples/prune.py
"""

import tempfile
from pathlib import Path

import numpy as np

import goodgrain
from goodgrain.cli.demo_data import noisy_digits
from goodgrain.select import Rulebook, prune4rel, select

folder = Path(tempfile.mkdtemp())
train, test = noisy_digits(
    seed=0
)  # 1,437 digits, 40% of the labels wrong; your own: goodgrain.data.read.read("photos/")

# 1. One call: warm up, observe, select, train fresh on the part, report.
result = goodgrain.prune(train, test=test, keep=[0.1, 0.2], output=folder / "run", flip=False, epochs=10)
for budget in result.metrics["budgets"]:
    print(
        f"{budget['count']:>4} kept: accuracy {budget['accuracy_mean']:.3f}, wrong labels {budget['noise_share']:.3f}"
    )
print("labels that look wrong:", result.metrics["suspects"]["count"])
print("report:", result.report)

# 2. Your own model: embeddings and predictions are all it takes. Here: pixels and a nearest-mean classifier.
embeddings = train.images(np.arange(len(train))).reshape(len(train), -1).astype(np.float32)
means = np.stack([embeddings[train.labels == j].mean(axis=0) for j in range(10)])
closeness = -np.linalg.norm(embeddings[:, None] - means, axis=2) / 100
probabilities = np.exp(closeness) / np.exp(closeness).sum(axis=1, keepdims=True)
picks = prune4rel(embeddings, probabilities.max(axis=1), 0.2, labels=train.labels, threshold=0.9)
print("first picks:", train.ids[picks.positions[:5]].tolist())

# 3. Any method by name, with rules: at most 5 zeros, image 7 for sure, never image 8.
seen = goodgrain.Observations(ids=train.ids, labels=train.labels, features=embeddings, probabilities=probabilities)
ruled = select("moderate", seen, Rulebook(50, train.labels, quotas={0: 5}, must_keep=[7], must_drop=[8]))
print("per class:", np.bincount(train.labels[ruled.positions]).tolist())

# 4. A learner that corrects labels, on what the first warm-up saw; then the trained model, as anyone would use it.
relabeled = goodgrain.prune(
    train, test=test, observations=result.folder / "observations", keep=0.5, output=folder / "sop", flip=False,
    learner="sop", epochs=15,
)  # fmt: skip
(part,) = relabeled.metrics["budgets"]
print(f"SOP+: accuracy {part['accuracy_mean']:.3f}, {part['corrected_mean']:.3f} of the wrong labels put right")
model = goodgrain.load(relabeled.folder)
print("the first test digits:", model.predict(test.images(np.arange(5))).tolist())
