"""Slow and obvious: what features say of classes and of two models, pair by pair and feature by feature."""

from __future__ import annotations

import numpy as np


def cosine(one, other):
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / length if length else 0.0


def class_cosine(features, labels):
    """(the mean cosine per pair of classes, the mean over all pairs of images of different classes)."""
    classes = labels.max() + 1
    sums, counts = np.zeros((classes, classes)), np.zeros((classes, classes))
    across = []
    for i, one in enumerate(features):
        for j, other in enumerate(features):
            if i != j:
                sums[labels[i], labels[j]] += cosine(one, other)
                counts[labels[i], labels[j]] += 1
                across += [cosine(one, other)] if labels[i] != labels[j] else []
    return sums / counts, np.mean(across)


def undesirability(features, probabilities):
    """Feature by feature and class by class, with NumPy's own correlation."""
    found = []
    for f in features.T:
        pairs = [(f, p) for p in probabilities.T if f.std() > 1e-12 and p.std() > 1e-12]
        found.append(max((abs(np.corrcoef(f, p)[0, 1]) for f, p in pairs), default=0.0))
    return np.array(found)


def response(features, strange):
    """Root mean squares, value by value."""
    unit = np.sqrt(np.mean([value**2 for row in features for value in row]))
    return np.array([np.sqrt(np.mean([row[j] ** 2 for row in strange])) / unit for j in range(features.shape[1])])


def around_the_origin(features):
    """The first two right singular vectors' coordinates, by the singular value decomposition of the data itself."""
    _, _, axes = np.linalg.svd(features, full_matrices=False)
    axes = [axis if axis[np.abs(axis).argmax()] > 0 else -axis for axis in axes[:2]]
    return np.stack([features @ axis for axis in axes], axis=1)
