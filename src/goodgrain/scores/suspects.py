"""Labels that look wrong, by confident learning (Northcutt, Jiang and Chuang, 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_labels, check_probabilities


@dataclass(frozen=True)
class Suspects:
    """Examples whose given label a model contradicts, most suspicious first.

    Args:
        positions: (s,) int64, into the input.
        suggested: (s,) int64, the class that the model would give.
        confidence: (s,) probability of the suggested class minus that of the given one, in (0, 1].
    """

    positions: Positions
    suggested: Positions
    confidence: NDArray[np.float64]


def suspects(labels: ArrayLike, probabilities: ArrayLike) -> Suspects:
    """Find labels that a model contradicts with the confidence that it usually has in the other class.

    An example counts as a member of class j where its probability of j is at least the mean probability of j among
    the examples labelled j; where several classes qualify, the most probable one is taken. It is suspect if that
    class is not the given one, and more probable.

    Args:
        labels: (n,) given classes 0..c-1.
        probabilities: (n, c) predictions, best from a model that did not learn these labels by heart.

    Returns:
        Suspects in order of falling confidence; ties go to the lower position.

    Raises:
        InputError: lengths differ, probabilities do not sum to 1, or labels outside 0..c-1.

    Example:
        >>> suspects([0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.95, 0.05]]).positions
        array([3])
    """
    p = check_probabilities(probabilities).astype(np.float64)
    y = check_labels(labels, n=len(p), classes=p.shape[1])
    given = p[np.arange(len(y)), y]
    sizes = np.bincount(y, minlength=p.shape[1])
    usual = np.bincount(y, weights=given, minlength=p.shape[1]) / np.maximum(sizes, 1)
    usual[sizes == 0] = np.inf  # a class that nothing is labelled with has no usual confidence
    qualified = np.where(p >= usual, p, -1.0)
    best = qualified.argmax(axis=1)
    gap = p[np.arange(len(y)), best] - given
    found = np.flatnonzero((qualified[np.arange(len(y)), best] >= 0) & (best != y) & (gap > 0))
    order = found[np.lexsort((found, -gap[found]))]
    return Suspects(order, best[order].astype(np.int64), gap[order])
