"""Slow and obvious versions of the scores from contrastive features, example by example."""

import numpy as np


def cosine(x, y):
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return x @ y / lengths if lengths > 0 else 0.0


def csi(features, reference, logits, reference_logits):
    """One example, one rotation, one reference at a time."""
    scores = []
    for example, own in zip(features, logits, strict=True):
        score = 0.0
        for k in range(len(example)):
            products = [example[k] @ known[k] / np.linalg.norm(known[k]) for known in reference]
            score += max(products) / np.mean([np.linalg.norm(known[k]) for known in reference])
            mean = np.mean([row[k] for row in reference_logits])
            score += own[k] / mean if mean > 0 else 0.0
        scores.append(score / len(example))
    return np.array(scores)


def stretched(values):
    values = np.array(values)
    return (values - values.min()) / (values.max() - values.min())


def semantic(features, labeled):
    return [np.tanh(50 * (s - 0.9)) for s in stretched([max(cosine(x, r) for r in labeled) for x in features])]


def distinctive(features, labeled, labels):
    """Class -> (n,)."""
    columns = {}
    for label in sorted(set(labels)):
        values = []
        for x in features:
            total = 0.0
            for k in range(len(x)):
                known = [r[k] for r, other in zip(labeled, labels, strict=True) if other == label]
                a, b = sorted(known, key=lambda r: -cosine(x[k], r))[:2] if len(known) > 1 else known * 2
                total += cosine(x[k], a) - cosine(x[k], b) + cosine(a, b) + cosine(x[k], a)
            values.append(total / len(x))
        columns[label] = stretched(values)
    return columns


def ccal(features, labeled, labels, shifted, labeled_shifted):
    tops, columns = semantic(features, labeled), distinctive(shifted, labeled_shifted, labels)
    scores = []
    for i, x in enumerate(features):
        nearest = max(range(len(labeled)), key=lambda j: cosine(x, labeled[j]))
        scores.append(tops[i] + 1 - columns[labels[nearest]][i])
    return np.array(scores)
