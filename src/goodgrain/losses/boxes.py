"""How far predicted boxes are from the true ones: by their corners, their overlap, and their centres."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from goodgrain.errors import InputError

_WEIGHT = 0.4  # of what is added to the corners' distance, as published


def l1(predicted: Tensor, true: Tensor) -> Tensor:
    """Smooth L1 distance of the coordinates ("Fast R-CNN", Girshick 2015, Eq. 3).

    Half the squared difference up to a difference of 1, which shares of an image hardly leave; linear beyond.

    Args:
        predicted: (b, 4) left, top, right, bottom as shares of width and height; any numbers.
        true: (b, 4) likewise, left < right and top < bottom.

    Returns:
        (), the mean over boxes and coordinates, 0 or more.

    Raises:
        InputError: not two tensors of one shape (b, 4), b >= 1.

    Example:
        >>> import torch
        >>> l1(torch.tensor([[0.0, 0.0, 0.4, 3.0]]), torch.tensor([[0.0, 0.0, 0.8, 1.0]]))
        tensor(0.3950)
    """
    _check(predicted, true)
    return functional.smooth_l1_loss(predicted, true)


def l1_iou(predicted: Tensor, true: Tensor) -> Tensor:
    """L1-IoU: smooth L1, and 0.4 of what is missing to a full overlap, 1 - IoU.

    A predicted box whose right is not right of its left, or whose bottom is not below its top, is empty: its IoU is 0,
    and only the L1 term moves it, as where two boxes do not touch. Gradients are finite everywhere.

    Args:
        predicted: as in `l1`.
        true: as in `l1`.

    Returns:
        (), the mean over boxes, 0 or more.

    Raises:
        InputError: not two tensors of one shape (b, 4), b >= 1.

    Example:
        >>> import torch
        >>> l1_iou(torch.tensor([[0.0, 0.0, 0.4, 1.0]]), torch.tensor([[0.0, 0.0, 0.8, 1.0]]))
        tensor(0.2200)
    """
    return l1(predicted, true) + _WEIGHT * (1 - _iou(predicted, true).mean())


def d_iou(predicted: Tensor, true: Tensor) -> Tensor:
    """D-IoU: L1-IoU, and 0.4 of the squared distance of the centres (Zheng et al. 2020, Eq. 7).

    The distance is measured in diagonals of the smallest box around both, so that it is below 1, and pulls where the
    boxes do not touch. The corners of an empty predicted box count in whatever order they are.

    Args:
        predicted: as in `l1`.
        true: as in `l1`.

    Returns:
        (), the mean over boxes, 0 or more.

    Raises:
        InputError: not two tensors of one shape (b, 4), b >= 1.

    Example:
        >>> import torch
        >>> d_iou(torch.tensor([[0.0, 0.0, 0.4, 1.0]]), torch.tensor([[0.0, 0.0, 0.8, 1.0]]))
        tensor(0.2298)
    """
    return l1_iou(predicted, true) + _WEIGHT * _centre_distance(predicted, true).mean()


BOX_LOSSES = {"l1": l1, "l1_iou": l1_iou, "d_iou": d_iou}
"""Name -> (predicted (b, 4), true (b, 4)) -> ()."""


def _iou(predicted: Tensor, true: Tensor) -> Tensor:
    """(b, 4), (b, 4) -> (b,) intersection over union; 0 for an empty predicted box."""
    shared = _area(predicted[:, :2].maximum(true[:, :2]), predicted[:, 2:].minimum(true[:, 2:]))
    return shared / (_area(predicted[:, :2], predicted[:, 2:]) + _area(true[:, :2], true[:, 2:]) - shared)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(dim=1)


def _centre_distance(predicted: Tensor, true: Tensor) -> Tensor:
    """(b, 4), (b, 4) -> (b,) squared distance of the centres by squared diagonal of the smallest box around both."""
    first, second = predicted[:, :2], predicted[:, 2:]
    low = first.minimum(second).minimum(true[:, :2])
    high = first.maximum(second).maximum(true[:, 2:])
    apart = (first + second - true[:, :2] - true[:, 2:]) / 2
    return apart.square().sum(dim=1) / (high - low).square().sum(dim=1)


def _check(predicted: Tensor, true: Tensor) -> None:
    if predicted.ndim != 2 or predicted.shape[1] != 4 or not len(predicted) or predicted.shape != true.shape:
        raise InputError(
            "predicted and true should both be (b, 4), left, top, right and bottom of at least 1 box; "
            f"their shapes are {tuple(predicted.shape)} and {tuple(true.shape)}."
        )
