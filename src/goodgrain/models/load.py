"""Networks by name, so that a command line can ask for one."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from goodgrain.errors import InputError, MissingExtra, UnknownName
from goodgrain.models.resnet import preact_resnet18, resnet18, resnet50, small
from goodgrain.models.split import Split, split

_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "small": small,
    "resnet18": resnet18,
    "preact_resnet18": preact_resnet18,
    "resnet50": resnet50,
}
_TIMM = "timm:"
_PRETRAINED = "?pretrained"


def load_network(
    spec: str | nn.Module, *, classes: int, channels: int, seed: int, size: tuple[int, int] = (32, 32)
) -> Split:
    """Build a network by name, or take the user's own, and split it.

    Args:
        spec: "small", "resnet18", "preact_resnet18" or "resnet50"; "timm:NAME" for any network of timm, and
            "timm:NAME?pretrained" for its published weights, which timm then fetches; "package.module:function" (called
            with those of `classes`, `channels` and `size` that it takes); or a module, which is copied.
        classes: how many logits there should be.
        channels: 1 or 3.
        seed: the initial weights depend on nothing else; a module keeps the weights that it has.
        size: (height, width) of the images.

    Returns:
        The network in training mode, on the CPU.

    Raises:
        UnknownName: no such network.
        MissingExtra: a network of timm, which is not installed.
        InputError: the function cannot be imported, or what it returns is no network that fits.

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


def fetches_or_runs(spec: str) -> bool:
    """Whether building a network by this name runs the user's code or asks the network for anything.

    Example:
        >>> [fetches_or_runs(spec) for spec in ("small", "timm:vgg11", "timm:vgg11?pretrained", "my.nets:build")]
        [False, False, True, True]
    """
    return ":" in spec.removeprefix(_TIMM) or spec.endswith(_PRETRAINED)


def without_weights(spec: str) -> str:
    """The same network, for weights that are at hand already.

    Example:
        >>> without_weights("timm:vgg11?pretrained")
        'timm:vgg11'
    """
    return spec.removesuffix(_PRETRAINED) if spec.startswith(_TIMM) else spec


def _build(spec: str, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    if spec.startswith(_TIMM):
        return _from_timm(spec, classes, channels)
    function = _NETWORKS.get(spec.replace("-", "_")) or _imported(spec)
    offered = {"classes": classes, "channels": channels, "size": size}
    taken = inspect.signature(function).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    try:
        network = function(**{name: value for name, value in offered.items() if open_ended or name in taken})
    except TypeError as reason:
        raise InputError(f"{spec} cannot be called with {', '.join(offered)}: {reason}.") from reason
    if not isinstance(network, nn.Module):
        raise InputError(f"{spec} should return a torch.nn.Module; it returns {type(network).__name__}.")
    return network


def _imported(spec: str) -> Callable[..., nn.Module]:
    module, colon, name = spec.partition(":")
    if not colon:
        raise UnknownName("network", spec, _NETWORKS)
    try:
        function: Callable[..., nn.Module] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as reason:
        raise InputError(f"the network {spec} cannot be imported: {reason}. Give package.module:function.") from reason
    return function


def _from_timm(spec: str, classes: int, channels: int) -> nn.Module:
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as reason:
        raise MissingExtra("timm", "timm") from reason
    name, question, option = spec.removeprefix(_TIMM).partition("?")
    if question and question + option != _PRETRAINED:
        raise InputError(f"{spec} asks for {option!r}. The only option of a timm network is {_PRETRAINED}.")
    architecture = name.partition(".")[0]  # what follows names one of several published sets of weights
    known = timm.list_models()
    if ":" not in name and architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=1, cutoff=0.5)
        hint = f" Did you mean 'timm:{near[0]}'?" if near else ""
        raise InputError(f"timm has no network {name!r}.{hint} timm.list_models() names all {len(known)}.")
    try:
        network: nn.Module = timm.create_model(name, pretrained=bool(option), num_classes=classes, in_chans=channels)
    except Exception as reason:  # over a thousand networks, and downloads: any error can come
        raise InputError(f"timm cannot build {spec}: {type(reason).__name__}: {reason}.") from reason
    return network
