"""Which set of out-of-distribution images shares the features that a model should not decide by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_embeddings, check_labels, check_probabilities
from goodgrain.errors import InputError


def shared_features(
    features: ArrayLike, labels: ArrayLike, ood_features: ArrayLike, ood_probabilities: ArrayLike
) -> float:
    """How much of what a model decides by on its target also decides on OOD images: what TAUFE may reach, estimated.

    A feature is undesirable as far as it goes with the model's own predictions on OOD images (the operational
    Definition 3.2.1: the largest absolute correlation with a class's predicted probability), and it matters as far as
    it goes with a true label on the target (Definition 3.2.2). The answer is the mean over features of the product.

    Args:
        features: (n, d) of the target's images.
        labels: (n,) their classes.
        ood_features: (m, d) of the OOD images, by the same model.
        ood_probabilities: (m, c) the model's predictions for them.

    Returns:
        From 0, where OOD images excite nothing that decides, to 1.

    Raises:
        InputError: arrays that are not finite or do not belong together.

    Example:
        >>> features, labels = [[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1]
        >>> shared_features(features, labels, [[1, 0.5], [0, 0.5]], [[0.9, 0.1], [0.2, 0.8]])
        0.5
    """
    x = check_embeddings(features, name="features")
    y = check_labels(labels, n=len(x))
    z = check_embeddings(ood_features, name="ood_features")
    p = check_probabilities(ood_probabilities, n=len(z))
    if x.shape[1] != z.shape[1]:
        raise InputError(
            f"features have {x.shape[1]} dimensions and ood_features {z.shape[1]}. Take both from one model."
        )
    matters = largest_correlation(x, np.eye(int(y.max()) + 1)[y])
    undesirable = largest_correlation(z, p)
    return float((matters * undesirable).mean())


def largest_correlation(features: NDArray[np.floating], targets: NDArray[np.floating]) -> NDArray[np.float64]:
    """Per feature the largest absolute Pearson correlation with any target.

    Args:
        features: (n, d).
        targets: (n, c).

    Returns:
        (d,) in [0, 1]; 0 where the feature is constant.

    Example:
        >>> largest_correlation(np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[0.0], [3.0]])).round(6)
        array([1., 0.])
    """
    standard = [_standardized(np.asarray(table, dtype=np.float64)) for table in (features, targets)]
    correlations = standard[0].T @ standard[1] / len(features)  # (d, c)
    largest: NDArray[np.float64] = np.clip(np.abs(correlations).max(axis=1), 0.0, 1.0)
    return largest


def _standardized(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns with mean 0 and deviation 1; constant ones are 0."""
    centred = table - table.mean(axis=0)
    deviation = centred.std(axis=0)
    constant = deviation <= 1e-12 * np.maximum(np.abs(table).max(axis=0), 1e-300)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))
