"""Losses on the order of two examples: which of them is worth more."""

from __future__ import annotations

import torch
from torch import Tensor

from goodgrain.errors import InputError


def meta_ranking(scores_first: Tensor, scores_second: Tensor, sign: Tensor, *, margin: float = 0.1) -> Tensor:
    """How far each pair's scores are from being in the right order by a margin (MQNet, Eq. 4.3 and 4.10).

    The sum over pairs of `max(0, margin - sign * (first - second))`; a pair without an order, such as two OOD examples,
    adds nothing. As printed, the equations have the margin inside the product, where it would ask of every pair with
    sign +1 only that its order is not wrong by more than the margin.

    Args:
        scores_first: (b,) scores of the first example of each pair.
        scores_second: (b,) scores of the second.
        sign: (b,) +1 where the first should be higher, -1 where the second should, 0 where neither.
        margin: eta, above 0.

    Returns:
        (), 0 or more.

    Raises:
        InputError: the three differ in shape, or are not (b,).

    Example:
        >>> meta_ranking(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.75]), torch.tensor([1, 1]), margin=0.25)
        tensor(0.5000)
    """
    _check_rows(scores_first=scores_first, scores_second=scores_second, sign=sign)
    gaps = sign * (scores_first - scores_second)  # (b,) above 0 where the order is right
    return ((margin - gaps).relu() * sign.abs()).sum()


def loss_prediction(predicted: Tensor, losses: Tensor, *, margin: float = 1.0) -> Tensor:
    """How far predicted losses are from being in the order of the true ones (LL; Yoo & Kweon 2019, Eq. 2).

    Example i of the batch is paired with example b-1-i: the mean over the pairs of
    `max(0, margin - sign * (predicted_i - predicted_j))`, where the sign is +1 if the true loss of i is the larger and
    else -1. Only the order counts, since the scale of the losses shrinks as training goes on.

    Args:
        predicted: (b,) what the loss-prediction module says.
        losses: (b,) the true losses of the same examples; they get no gradient.
        margin: xi, above 0.

    Returns:
        (), 0 or more; 0 for a batch of one, which has no pair. The middle of an odd batch is left out.

    Raises:
        InputError: the two differ in shape, or are not (b,).

    Example:
        >>> loss_prediction(torch.tensor([0.5, 0.0]), torch.tensor([2.0, 1.0]))
        tensor(0.5000)
    """
    _check_rows(predicted=predicted, losses=losses)
    pairs = len(predicted) // 2
    gaps = (predicted - predicted.flip(0))[:pairs]
    larger = (losses > losses.flip(0))[:pairs]
    return (margin - torch.where(larger, gaps, -gaps)).relu().sum() / max(1, pairs)


def _check_rows(**parts: Tensor) -> None:
    """Refuse shapes that would broadcast to every pair there is."""
    shapes = {name: tuple(part.shape) for name, part in parts.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"all should have the same shape (b,); the shapes are {told}. Flatten them first.")
