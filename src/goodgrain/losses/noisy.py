"""Losses of learners that correct wrong labels: the terms of SOP+."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

_LEAST = 1e-4  # no probability is taken to be smaller


class SopTerms(NamedTuple):
    """What SOP's two terms came to.

    Args:
        cross_entropy: () of the given labels under the adjusted probabilities.
        squared_error: () between the given label and prediction plus learned noise.
        adjusted: (b, c) the probabilities p~ with the learned noise added, rows summing to 1.
    """

    cross_entropy: Tensor
    squared_error: Tensor
    adjusted: Tensor


def sop(logits: Tensor, labels: Tensor, u: Tensor, v: Tensor) -> SopTerms:
    """Explain each given label as the prediction plus sparse noise that belongs to the example.

    With U = u^2 on the given class and V = v^2 on the others, both clipped to [0, 1]: p~ is softmax + U - V, at least
    1e-4, scaled to sum 1, and no gradient reaches v through it; the squared error compares onehot(argmax) + U - V with
    the one-hot label (Liu et al. 2022, "Robust Training under Label Noise by Over-parameterization").

    Args:
        logits: (b, c).
        labels: (b,) int64, as given, right or wrong.
        u: (b, 1) of these examples.
        v: (b, c) of these examples.

    Returns:
        The two terms, to be added, and p~ for `class_balance`.

    Example:
        >>> import torch
        >>> terms = sop(torch.tensor([[0.2, 0.5, 0.3]]).log(), torch.tensor([0]), torch.tensor([[0.5]]),
        ...             torch.tensor([[0.0, 0.4, 0.3]]))
        >>> [round(float(value), 4) for value in (terms.cross_entropy, terms.squared_error)]
        [0.7985, 1.2762]
    """
    given = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)  # (b, c)
    added = (u**2 * given).clamp(0, 1)
    taken = (v**2 * (1 - given)).clamp(0, 1)
    raised = (logits.softmax(dim=1) + added - taken.detach()).clamp(min=_LEAST)
    adjusted = raised / raised.sum(dim=1, keepdim=True)
    cross_entropy = -adjusted.clamp(min=_LEAST).log().gather(1, labels[:, None]).mean()
    predicted = functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)
    squared_error = (predicted + added - taken - given).square().sum() / len(labels)
    return SopTerms(cross_entropy, squared_error, adjusted)


def class_balance(probabilities: Tensor) -> Tensor:
    """Cross-entropy of the mean prediction against the uniform distribution: no class may be given up.

    Args:
        probabilities: (b, c), rows summing to 1.

    Returns:
        (), least (log c) where the mean prediction is uniform.

    Example:
        >>> import torch
        >>> round(float(class_balance(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))), 4)
        0.6931
    """
    return -probabilities.mean(dim=0).clamp(_LEAST, 1).log().mean()


def consistency(weak_logits: Tensor, strong_logits: Tensor) -> Tensor:
    """KL divergence from the prediction on the weak view, taken as given, to that on the strong view.

    Args:
        weak_logits: (b, c); no gradient flows into them.
        strong_logits: (b, c) of the same images.

    Returns:
        (), the mean over the batch.

    Example:
        >>> import torch
        >>> weak, strong = torch.tensor([[0.2, 0.5, 0.3]]).log(), torch.tensor([[0.1, 0.6, 0.3]]).log()
        >>> round(float(consistency(weak, strong)), 5)
        0.04747
    """
    return functional.kl_div(
        functional.log_softmax(strong_logits, dim=1),
        functional.log_softmax(weak_logits.detach(), dim=1),
        reduction="batchmean",
        log_target=True,
    )
