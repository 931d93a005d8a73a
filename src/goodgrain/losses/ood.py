"""What out-of-distribution (OOD) images add to a loss: features that they excite are switched off."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from goodgrain.checks import lookup
from goodgrain.errors import InputError


def _mean(squares: Tensor) -> Tensor:
    return squares.mean()


def _sum(squares: Tensor) -> Tensor:
    return squares.flatten(1).sum(dim=1).mean()


_REDUCTIONS = {"mean": _mean, "sum": _sum}


def taufe(features: Tensor, *, reduction: str = "mean") -> Tensor:
    """The squared length of the features of OOD images (TAUFE, Eq. 3.3): what these images show is not worth a feature.

    Add it to any task's loss, with a weight of 0.1 (small images) or 0.01 (large ones), for the layer right before the
    task's head. The head gets no gradient from it.

    Args:
        features: (b, ...) of OOD images, b >= 1: pooled features (b, d) or maps (b, d, h, w).
        reduction: "mean" over images and features, as the published experiments ran and their weights are meant, or
            "sum" over the features of an image and the mean over images, as Eq. 3.3 is printed: d times as much.

    Returns:
        (), 0 or more.

    Raises:
        InputError: no images, or no feature axis.
        UnknownName: no such reduction.

    Example:
        >>> import torch
        >>> features = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> taufe(features), taufe(features, reduction="sum")
        (tensor(6.2500), tensor(12.5000))
    """
    reduce = lookup("reduction", _REDUCTIONS, reduction)
    if features.ndim < 2 or not features.numel():
        raise InputError(f"features should be (b, d) or (b, ...) of at least 1 image; their shape is {_of(features)}.")
    wide = features.float() if features.dtype.itemsize < 4 else features  # squares of half floats overflow at 256
    return reduce(wide.square())


def oat(logits: Tensor) -> Tensor:
    """Cross-entropy of the predictions for OOD images to the uniform distribution (OAT, Lee et al. 2021; Eq. 3.3).

    Add it to a classification loss with a weight of 1.

    Args:
        logits: (b, c) of OOD images, b >= 1.

    Returns:
        (), the mean over the images; log c, the least, where all predictions are uniform.

    Raises:
        InputError: no images, or not (b, c).

    Example:
        >>> import torch
        >>> round(float(oat(torch.tensor([[0.2, 0.8]]).log())), 4)
        0.9163
    """
    if logits.ndim != 2 or not logits.numel():
        raise InputError(f"logits should be (b, c) of at least 1 image; their shape is {_of(logits)}.")
    return -functional.log_softmax(logits, dim=1).mean()


def _of(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
