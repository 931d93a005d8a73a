"""Slow and obvious: the losses on OOD images, number by number."""

from __future__ import annotations

import math


def squared_lengths(features):
    """||f||^2 of each image, whatever axes its features have."""
    return [sum(float(value) ** 2 for value in image.ravel()) for image in features]


def taufe(features, reduction):
    """Eq. 3.3 as printed ("sum"), or over images and features alike ("mean")."""
    lengths = squared_lengths(features)
    total = sum(lengths) / len(lengths)
    return total if reduction == "sum" else total / features[0].size


def oat(logits):
    """Cross-entropy to the uniform distribution over c classes, -sum_j (1/c) log p_j, averaged over images."""
    entropies = []
    for row in logits:
        normalizer = sum(math.exp(value) for value in row)
        entropies.append(-sum(math.log(math.exp(value) / normalizer) for value in row) / len(row))
    return sum(entropies) / len(entropies)
