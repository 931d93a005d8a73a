"""Any network as two parts: what computes the features, and the last linear layer on top of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from goodgrain.errors import InputError


class Split(nn.Module):
    """A network that returns logits and the features that they were computed from.

    Args:
        features: images (b, channels, h, w) -> (b, d), the penultimate layer, pooled.
        head: (b, d) -> logits (b, c).

    Example:
        >>> network = Split(nn.Flatten(), nn.Linear(4, 3))
        >>> logits, features = network(torch.zeros(2, 1, 2, 2))
        >>> logits.shape, features.shape
        (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (b, channels, h, w) -> logits (b, c), features (b, d)."""
        features = self.features(images)
        return self.head(features), features


def split(network: nn.Module, example: Tensor) -> Split:
    """Split a copy of any network at the last linear layer that a forward pass reaches.

    Args:
        network: images -> logits, with an `nn.Linear` as its last step; a `Split` is copied as it is.
        example: (b, channels, h, w) images that the network can take.

    Returns:
        A Split whose logits are those of the network. The network itself stays as it was.

    Raises:
        InputError: the network returns no (b, c) tensor, reaches no linear layer, does something after its last
            linear layer, or that layer does not get one row of features per image.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> split(network, torch.zeros(1, 1, 2, 2)).head
        Linear(in_features=8, out_features=3, bias=True)
    """
    network = copy.deepcopy(network)
    if isinstance(network, Split):
        return network
    training = network.training
    network.eval()
    reached: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, _: reached.append((layer, inputs[0])))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = network(example)
    except Exception as reason:  # foreign networks assert, or raise whatever they like, where the size is not theirs
        raise InputError(f"{_called(network)} cannot take images of {_shape(example)}: {reason}.") from reason
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(example):
        raise InputError(f"{_called(network)} should return one row of logits per image; it returns {_shape(logits)}.")
    if not reached:
        raise InputError(f"{_called(network)} reaches no nn.Linear layer, so it has no head to split off.")
    head, inputs = reached[-1]
    if inputs.ndim != 2 or len(inputs) != len(example):
        raise InputError(
            f"the last linear layer of {_called(network)} should get one row of features per image; "
            f"it gets {_shape(inputs)}. Pool and flatten before it."
        )
    for name, layer in list(network.named_modules(remove_duplicate=False)):
        if layer is head:
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, nn.Identity())
    parts = Split(nn.Identity() if network is head else network, head).eval()
    with torch.no_grad():
        same = torch.equal(parts(example)[0], logits)
    if not same:
        raise InputError(
            f"{_called(network)} does something after its last linear layer. Let it return that layer's logits."
        )
    return parts.train(training)


def _called(network: nn.Module) -> str:
    return f"the network {type(network).__name__}"


def _shape(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
