"""Networks by name, so that a command line can ask for one."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

import torch
from torch import nn

from goodgrain.errors import InputError, UnknownName
from goodgrain.models.resnet import resnet18, small
from goodgrain.models.split import Split, split

_NETWORKS: dict[str, Callable[..., nn.Module]] = {"small": small, "resnet18": resnet18}


def load_network(
    spec: str | nn.Module, *, classes: int, channels: int, seed: int, size: tuple[int, int] = (32, 32)
) -> Split:
    """Build a network by name, or take the user's own, and split it.

    Args:
        spec: "small", "resnet18", "package.module:function" (called with those of `classes`, `channels` and `size`
            that it takes), or a module, which is copied.
        classes: how many logits there should be.
        channels: 1 or 3.
        seed: the initial weights depend on nothing else; a module keeps the weights that it has.
        size: (height, width) of the images.

    Returns:
        The network in training mode, on the CPU.

    Raises:
        UnknownName: no such network.
        InputError: the function cannot be imported or returns no network that fits.

    Example:
        >>> network = load_network("small", classes=2, channels=1, seed=0)
        >>> network.head
        Linear(in_features=96, out_features=2, bias=True)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = spec if isinstance(spec, nn.Module) else _build(spec, classes, channels, size)
    example = torch.zeros(2, channels, *size)
    parts = split(network, example).eval()
    with torch.no_grad():
        width = parts(example)[0].shape[1]
    if width != classes:
        raise InputError(f"the network returns {width} logits, but there are {classes} classes.")
    return parts.train()


def _build(spec: str, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    function = _NETWORKS.get(spec) or _imported(spec)
    offered = {"classes": classes, "channels": channels, "size": size}
    taken = inspect.signature(function).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    network = function(**{name: value for name, value in offered.items() if open_ended or name in taken})
    if not isinstance(network, nn.Module):
        raise InputError(f"{spec} should return a torch.nn.Module; it returns {type(network).__name__}.")
    return network


def _imported(spec: str) -> Callable[..., nn.Module]:
    module, colon, name = spec.partition(":")
    if not colon:
        raise UnknownName("network", spec, _NETWORKS)
    try:
        function: Callable[..., nn.Module] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as reason:
        raise InputError(f"the network {spec} cannot be imported: {reason}. Give package.module:function.") from reason
    return function
