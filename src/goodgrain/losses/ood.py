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
_LEAST = 1e-12  # mean square of features that are all dead


def taufe(features: Tensor, *, reduction: str = "mean", relative_to: Tensor | None = None) -> Tensor:
    """The squared length of the features of OOD images (TAUFE, Eq. 3.3): what these images show is not worth a feature.

    Add it to any task's loss, with a weight of 0.1 (small images) or 0.01 (large ones), for the layer right before the
    task's head. The head gets no gradient from it.

    As published, a network without batch normalisation can meet it by making all its features small, and then silences
    nothing. Relative to the features of the target's own images it does not change with their scale (our addition).

    Args:
        features: (b, ...) of OOD images, b >= 1: pooled features (b, d) or maps (b, d, h, w).
        reduction: "mean" over images and features, as the published experiments ran and their weights are meant, or
            "sum" over the features of an image and the mean over images, as Eq. 3.3 is printed: d times as much.
        relative_to: (m, ...) features of the target's own images, of the same step and the same layer: the penalty is
            divided by theirs, and gradients go into both. None for Eq. 3.3.

    Returns:
        (), 0 or more.

    Raises:
        InputError: no images, no feature axis, or images of both kinds that differ in their features.
        UnknownName: no such reduction.

    Example:
        >>> import torch
        >>> features = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> taufe(features), taufe(features, reduction="sum")
        (tensor(6.2500), tensor(12.5000))
        >>> taufe(features, relative_to=2 * features), taufe(100 * features, relative_to=200 * features)
        (tensor(0.2500), tensor(0.2500))
    """
    reduce = lookup("reduction", _REDUCTIONS, reduction)
    silenced = reduce(_squares(features, "features"))
    if relative_to is None:
        return silenced
    if relative_to.shape[1:] != features.shape[1:]:
        raise InputError(
            f"features of both kinds of images should be of one layer; {_of(features)} and {_of(relative_to)} came."
        )
    return silenced / reduce(_squares(relative_to, "relative_to")).clamp_min(_LEAST)


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


def _squares(features: Tensor, name: str) -> Tensor:
    if features.ndim < 2 or not features.numel():
        raise InputError(f"{name} should be (b, d) or (b, ...) of at least 1 image; their shape is {_of(features)}.")
    wide = features.float() if features.dtype.itemsize < 4 else features  # squares of half floats overflow at 256
    return wide.square()


def _of(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
