"""Prune4ReL: keep the examples from whose neighbours a re-labeling learner can correct the rest (chapter 5).

The neighbourhood confidence of an example is the similarity-weighted sum of the confidences of its neighbours in the
subset. Two gains are built on it, both greedy; `lazy_gains` computes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_confidence, check_embeddings, check_within, lookup
from goodgrain.neighbors import CosineNeighbors
from goodgrain.select.lazy_gains import BATCH, GAINS
from goodgrain.select.selection import Selection, check_rules, pick_greedily


def prune4rel(
    embeddings: ArrayLike,
    confidence: ArrayLike,
    budget: int | float,
    *,
    labels: ArrayLike | None = None,
    threshold: float = 0.95,
    gain: str = "own",
    similarity: str = "cosine",
    temperature: float = 1.0,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
) -> Selection:
    """Pick, one by one, the example that adds most to the saturating neighbourhood confidence.

    Algorithms 3 and 4 (`gain="own"`, the default and what the published results ran) compare the candidate's own
    term, sigma(C_N(x) + C(x)) - sigma(C_N(x)). `gain="coverage"` is the marginal gain of Eq. 5.8, which sums over
    all neighbours of the candidate and alone carries the (1 - 1/e) guarantee of theorem 5.2.6 (not with `labels`).
    sigma(z) = tanh(z / temperature). Gains are compared so that saturation cannot hide a difference; ties go to the
    higher confidence, then to the lower position. Never an n x n array; time depends on how many pairs of rows can
    be neighbours at all.

    Args:
        embeddings: (n, d), one row per example, of the strongly augmented view in the text.
        confidence: (n,) >= 0, such as the largest softmax probability of a warm-up model.
        budget: how many to pick; a float is a share of n.
        labels: (n,) noisy classes that take turns (Algorithm 4); None for Algorithm 3.
        threshold: least similarity of neighbours, in (0, 1]. The published runs used shifted similarities: their
            0.975, 0.95 and 0.8 are cosines of 0.95, 0.90 and 0.60.
        gain: "own" or "coverage".
        similarity: "cosine", or "shifted" for (1 + cosine) / 2 in threshold and weight.
        temperature: eta of sigma(z / eta), above 0.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.

    Returns:
        Selection in the order picked; `gains[i]` is the gain of pick i at its time, in units of sigma.

    Raises:
        InputError: arrays of differing length, NaN, negative confidence, a threshold outside (0, 1], a budget that
            cannot be met.
        UnknownName: no such gain or similarity.

    Example:
        >>> prune4rel([[1, 0], [0.98, 0.199], [0, 1]], [0.9, 0.8, 0.7], 2).positions
        array([0, 2])
    """
    x = check_embeddings(embeddings)
    c = check_confidence(confidence, n=len(x))
    eta = check_within("temperature", temperature, above=0.0)
    kind = lookup("gain", GAINS, gain)
    given = check_rules(budget, n=len(x), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    if rules is not given:
        x, c = x[given.rows], c[given.rows]
    neighbors = CosineNeighbors(x, threshold, similarity=similarity)
    return given.original(pick_greedily(kind(neighbors, c / eta, rules), rules))


def objective(
    embeddings: ArrayLike,
    confidence: ArrayLike,
    positions: ArrayLike,
    *,
    threshold: float = 0.95,
    similarity: str = "cosine",
    temperature: float = 1.0,
) -> float:
    """The value of Eq. 5.8 for a subset: the sum over all examples of sigma(neighbourhood confidence).

    Args:
        embeddings: (n, d).
        confidence: (n,) >= 0.
        positions: (k,) the subset.
        threshold: as in `prune4rel`.
        similarity: as in `prune4rel`.
        temperature: as in `prune4rel`.

    Returns:
        A number between 0 and n.

    Example:
        >>> round(objective([[1, 0], [0.98, 0.199], [0, 1]], [0.9, 0.8, 0.7], [0, 2]), 5)
        2.02809
    """
    sums = neighborhood_confidence(embeddings, confidence, positions, threshold=threshold, similarity=similarity)
    return float(np.tanh(sums / check_within("temperature", temperature, above=0.0)).sum())


def neighborhood_confidence(
    embeddings: ArrayLike,
    confidence: ArrayLike,
    positions: ArrayLike,
    *,
    threshold: float = 0.95,
    similarity: str = "cosine",
) -> NDArray[np.float64]:
    """The reduced neighbourhood confidence of every example given a subset (Eq. 5.3).

    Args:
        embeddings: (n, d).
        confidence: (n,) >= 0.
        positions: (k,) the subset.
        threshold: as in `prune4rel`.
        similarity: as in `prune4rel`.

    Returns:
        (n,) sums of similarity x confidence over the neighbours in the subset, an example's own included.

    Example:
        >>> neighborhood_confidence([[1, 0], [1, 0], [0, 1]], [0.9, 0.8, 0.7], [0])
        array([0.9, 0.9, 0. ])
    """
    x = check_embeddings(embeddings)
    c = check_confidence(confidence, n=len(x))
    neighbors = CosineNeighbors(x, threshold, similarity=similarity)
    chosen = np.asarray(positions, dtype=np.int64)
    sums = np.zeros(len(x))
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        rows = neighbors.rows(part)
        weights = rows.similarities * np.repeat(c[part], np.diff(rows.indptr))
        sums += np.bincount(rows.indices, weights, minlength=len(x))
    return sums
