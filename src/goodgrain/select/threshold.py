"""A threshold for Prune4ReL from the data: neither lonely examples nor one single crowd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import budget_count, check_confidence, check_embeddings
from goodgrain.neighbors import count_neighbors

LEVELS = np.round(np.concatenate([np.arange(0.30, 0.90, 0.02), np.arange(0.90, 0.9951, 0.005)]), 3)
# tanh(2) = 0.96: more confidence around an example adds next to nothing, less leaves it open to wrong labels.
KNEE = 2.0


@dataclass(frozen=True)
class ThresholdAdvice:
    """A threshold and the evidence for it.

    Args:
        threshold: what to use.
        why: the reason, in one or two sentences.
        thresholds: (t,) the levels that were tried, rising.
        quantiles: (t, 3) number of neighbours of the lower quartile, the median and the upper quartile example.
        isolated: (t,) share of examples without any neighbour.
    """

    threshold: float
    why: str
    thresholds: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    isolated: NDArray[np.float64]


def advise_threshold(
    embeddings: ArrayLike,
    confidence: ArrayLike,
    budget: int | float,
    *,
    similarity: str = "cosine",
    temperature: float = 1.0,
    sample: int = 1000,
    seed: int = 0,
) -> ThresholdAdvice:
    """Choose the threshold at which the kept part just suffices to vouch for the median example.

    With m neighbours, of which a share s is kept at mean confidence C, an example's neighbourhood confidence comes
    to about s m C (Eq. 5.3). The utility tanh has risen to 0.96 at 2: the highest threshold with s m C >= 2 lets
    neighbours stand in for each other where they can, and keeps unlike examples apart.

    Args:
        embeddings: (n, d).
        confidence: (n,) >= 0.
        budget: the smallest number, or share, of examples that will be kept.
        similarity: as in `prune4rel`.
        temperature: as in `prune4rel`.
        sample: how many examples' neighbours are counted.
        seed: draws the sample.

    Returns:
        The threshold with its reason and the distribution of neighbour counts.

    Example:
        >>> advise_threshold([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30, [0.8] * 60, 0.2).threshold
        0.995
    """
    x = check_embeddings(embeddings)
    c = check_confidence(confidence, n=len(x))
    share = budget_count(budget, n=len(x)) / len(x)
    counts = count_neighbors(x, LEVELS, similarity=similarity, sample=sample, seed=seed)
    quantiles = np.quantile(counts, [0.25, 0.5, 0.75], axis=1).T
    isolated = (counts == 0).mean(axis=1)
    mean = float(c.mean()) / temperature
    expected = share * mean * quantiles[:, 1]
    enough = np.flatnonzero(expected >= KNEE)
    i = int(enough[-1]) if len(enough) else 0
    what = (
        f"At {LEVELS[i]:g} the median example has {quantiles[i, 1]:.0f} neighbours "
        f"(middle half: {quantiles[i, 0]:.0f} to {quantiles[i, 2]:.0f}; {isolated[i]:.0%} have none). "
        f"With {share:.0%} kept at a mean confidence of {mean:.2f}, its neighbourhood confidence comes to "
        f"{expected[i]:.1f}, where {KNEE:g} is what tanh needs to rise to 0.96."
    )
    if not len(enough):
        what += " No level reaches that: the embeddings are spread widely, or the budget is small."
    elif i == len(LEVELS) - 1:
        what += " Even the highest level reaches that: many embeddings are nearly the same."
    else:
        what += f" The next level, {LEVELS[i + 1]:g}, would reach only {expected[i + 1]:.1f}."
    return ThresholdAdvice(float(LEVELS[i]), what, LEVELS, quantiles, isolated)
