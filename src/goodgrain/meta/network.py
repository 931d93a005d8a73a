"""The network of MQNet and its training: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from goodgrain.meta.inputs import Values

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", Values, "Tensor")

_WEIGHT_DECAY = 5e-4
_PAIRS = 64  # of a batch
_ROWS = 4096  # scored at a time: a block of hidden values stays in the cache


class Weights(NamedTuple):
    """What a network has learned.

    Args:
        hidden: (2, h).
        bias: (h,).
        output: (h,). The last layer has no bias: one number added to all scores changes no order.
    """

    hidden: Values
    bias: Values
    output: Values


def initial_weights(hidden: int, *, skyline: bool, rng: np.random.Generator) -> Weights:
    """Weights uniform in [0, 1 / fan_in] and no bias, or as a plain perceptron starts: within 1 / sqrt(fan_in) of 0.

    Under the ReLU of the skyline constraint, a start around 0 would lose half of the weights.
    """
    if skyline:
        return Weights(rng.uniform(0, 1 / 2, (2, hidden)), np.zeros(hidden), rng.uniform(0, 1 / hidden, hidden))
    inner, outer = 2**-0.5, hidden**-0.5
    return Weights(
        *(rng.uniform(-w, w, shape) for w, shape in ((inner, (2, hidden)), (inner, hidden), (outer, hidden)))
    )


def scores(x: Values, weights: Weights) -> Values:
    """The network's output (n,) for a meta-input (n, 2), row by row."""
    return np.concatenate([_network(x[start : start + _ROWS], weights, expit) for start in range(0, len(x), _ROWS)])


def _network(x: Array, weights: tuple[Array, Array, Array], sigmoid: Callable[[Array], Array]) -> Array:
    """Eq. 4.4 for training and scoring alike. No matrix product: its rounding would depend on the number of rows."""
    hidden, bias, output = weights
    units = sigmoid(x[:, :1] * hidden[0] + x[:, 1:] * hidden[1] + bias)  # (n, h)
    outputs: Array = (units * output).sum(1)
    return outputs


def train(
    weights: Weights,
    x: Values,
    masked: Values,
    *,
    margin: float,
    epochs: int,
    learning_rate: float,
    floor: float | None,
    rng: np.random.Generator,
) -> Weights:
    """Minimise Eq. 4.10 by SGD and return new weights.

    Args:
        weights: where to start.
        x: (m, 2) meta-input of the query set.
        masked: (m,) masked loss.
        margin: eta.
        epochs: passes over the query set.
        learning_rate: of the first half; a tenth in the second.
        floor: the least weight under the skyline constraint; None for no constraint.
        rng: of the pairs.
    """
    import torch

    from goodgrain.losses.ranking import meta_ranking

    hidden, bias, output = parameters = [torch.tensor(array, requires_grad=True) for array in weights]
    inputs, losses = torch.tensor(x), torch.tensor(masked)
    for epoch in range(epochs):
        rate = learning_rate if 2 * epoch < epochs else learning_rate / 10
        for pairs in _batches(len(x), rng):
            first, second = torch.from_numpy(pairs)
            now = (hidden, bias, output) if floor is None else (hidden.relu(), bias, output.relu())
            loss = meta_ranking(
                _network(inputs[first], now, torch.sigmoid),
                _network(inputs[second], now, torch.sigmoid),
                torch.sign(losses[first] - losses[second]),
                margin=margin,
            )
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= rate * (gradient + _WEIGHT_DECAY * parameter)
                if floor is not None:
                    hidden.clamp_(min=floor)
                    output.clamp_(min=floor)
    return Weights(*(parameter.detach().numpy() for parameter in parameters))


def _batches(m: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """One epoch of pairs, (2, b) positions each: a random order whose first half meets its second."""
    pairs = rng.permutation(m)[: m // 2 * 2].reshape(2, -1)
    for start in range(0, m // 2, _PAIRS):
        yield pairs[:, start : start + _PAIRS]
