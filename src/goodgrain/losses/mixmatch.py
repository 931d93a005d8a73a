"""Losses and targets of learners that mix labelled and unlabelled images: MixMatch and DivideMix."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Raise probabilities to the power 1 / temperature and scale them to sum 1 again.

    Args:
        probabilities: (b, c), rows summing to 1.
        temperature: above 0; below 1 the larger grow, at 1 nothing changes.

    Returns:
        (b, c), rows summing to 1.

    Example:
        >>> sharpen(torch.tensor([[0.6, 0.4]]), 0.5)
        tensor([[0.6923, 0.3077]])
    """
    return (probabilities.log() / temperature).softmax(dim=1)  # as logarithms, no power can underflow to a row of zeros


def refine(labels: Tensor, clean: Tensor, probabilities: Tensor) -> Tensor:
    """Trust each given label as far as it is clean, and the prediction for the rest.

    `w y + (1 - w) p`, the co-refinement of DivideMix (Li, Socher & Hoi 2020, Eq. 3).

    Args:
        labels: (b,) int64, as given.
        clean: (b,) the probability w that the label is right.
        probabilities: (b, c) the prediction p.

    Returns:
        (b, c), rows summing to 1; not yet sharpened.

    Example:
        >>> refine(torch.tensor([0]), torch.tensor([0.75]), torch.tensor([[0.2, 0.8]]))
        tensor([[0.8000, 0.2000]])
    """
    given = functional.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)  # (b, c)
    return clean[:, None] * given + (1 - clean[:, None]) * probabilities


def mix(values: Tensor, share: float, order: Tensor) -> Tensor:
    """Blend each row with a partner, pixels and targets alike: `share * row + (1 - share) * partner` (MixUp).

    Args:
        values: (b, ...) pixels or targets.
        share: of the row itself, in [0, 1]; from 0.5 on each row stays nearer to itself than to its partner.
        order: (b,) the position of each row's partner.

    Example:
        >>> mix(torch.tensor([[0.0], [1.0]]), 0.75, torch.tensor([1, 0]))
        tensor([[0.2500],
                [0.7500]])
    """
    return share * values + (1 - share) * values[order]


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against target distributions, L_x of MixMatch.

    Args:
        logits: (b, c).
        targets: (b, c), rows summing to 1.

    Returns:
        (), the mean over the batch.

    Example:
        >>> logits = torch.tensor([[0.2, 0.8]]).log()
        >>> round(float(soft_cross_entropy(logits, torch.tensor([[0.5, 0.5]]))), 4)
        0.9163
    """
    return functional.cross_entropy(logits, targets)


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Squared difference between predicted and target distribution, L_u of MixMatch.

    Args:
        logits: (b, c).
        targets: (b, c), rows summing to 1.

    Returns:
        (), the mean over batch and classes.

    Example:
        >>> logits = torch.tensor([[0.2, 0.8]]).log()
        >>> round(float(squared_error(logits, torch.tensor([[0.5, 0.5]]))), 4)
        0.09
    """
    return functional.mse_loss(logits.softmax(dim=1), targets)


def uniform_divergence(logits: Tensor) -> Tensor:
    """KL divergence from the uniform distribution to the mean prediction of the batch: no class may be given up.

    It differs from `class_balance` by the constant log c, and is finite and has a gradient however small a class's mean
    prediction becomes.

    Args:
        logits: (b, c).

    Returns:
        (), 0 where the mean prediction is uniform.

    Example:
        >>> round(float(uniform_divergence(torch.tensor([[0.2, 0.8]]).log())), 4)
        0.2231
    """
    count, classes = logits.shape
    log_mean = torch.logsumexp(functional.log_softmax(logits, dim=1), dim=0) - math.log(count)  # (c,)
    return -log_mean.mean() - math.log(classes)


def negative_entropy(logits: Tensor) -> Tensor:
    """How sure the predictions are: the confidence penalty of DivideMix's warm-up under asymmetric noise.

    Args:
        logits: (b, c).

    Returns:
        (), the mean over the batch; from -log c, where predictions are uniform, to 0.

    Example:
        >>> round(float(negative_entropy(torch.zeros(1, 2))), 4)
        -0.6931
    """
    log_probabilities = functional.log_softmax(logits, dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
