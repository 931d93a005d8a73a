"""The features right before the head, seen from outside while any network runs as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from goodgrain.checks import lookup
from goodgrain.errors import InputError
from goodgrain.models.batch_norm import running_statistics, statistics_kept

_STATISTICS: dict[str, Callable[[nn.Module], AbstractContextManager[object]]] = {
    "separate": statistics_kept,
    "running": running_statistics,
    "shared": nullcontext,
}


class Penultimate:
    """A network's penultimate layer, for losses such as TAUFE (Eq. 3.3) in a training loop of one's own.

    Calling it runs the network and returns what its head got, with gradient. The network may return anything. It is
    left as it was: nothing is added to its weights, its hooks or its files.

    Args:
        network: any module. Wrappers for many devices and for compilation are looked through, since hooks do not
            work in them; gradients are collected over devices all the same.
        example: what the network takes as its only argument, to find the head right away, in evaluation mode; without
            it the first call finds it.
        head: name of the head within the network, as in `network.named_modules()`; None for the last `nn.Linear` that
            a forward pass reaches.
        statistics: batch normalisation in these passes: "separate" (the batch's own statistics, which leave the running
            ones alone), "running" (the running ones, as in evaluation), or "shared" (as the network does it; for one
            pass over both kinds of images, as published).

    Raises:
        InputError: this is no module, or (here or at a call) no head is reached, or it gets no tensor.
        UnknownName: the network has no layer called `head`, or there is no such `statistics`.

    Example:
        >>> from goodgrain.losses import taufe
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> penultimate = Penultimate(network)
        >>> features = penultimate(torch.ones(2, 1, 2, 2))
        >>> features.shape, penultimate.head
        (torch.Size([2, 8]), '3')
        >>> taufe(features).backward()
        >>> network[1].weight.grad is None, network[3].weight.grad is None
        (False, True)
    """

    def __init__(
        self, network: nn.Module, example: object = None, *, head: str | None = None, statistics: str = "separate"
    ) -> None:
        given: Any = network
        if not isinstance(given, nn.Module):
            raise InputError(f"network should be a torch.nn.Module; {type(given).__name__} came.")
        self.network = _bare(network)
        if head is not None:
            lookup("layer", {name: layer for name, layer in self.network.named_modules() if name}, head)
        self.head = head
        self._statistics = lookup("statistics", _STATISTICS, statistics)
        if example is not None:
            with _evaluation(self.network), torch.no_grad():
                self(example)

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """What the network takes -> the input of its head, (b, d) or whatever shape that has."""
        return self.with_output(*inputs, **named)[1]

    def with_output(self, *inputs: Any, **named: Any) -> tuple[Any, Tensor]:
        """What the network takes -> what it returns, and the input of its head, from one forward pass."""
        reached: list[tuple[str, object]] = []
        hooks = [
            layer.register_forward_pre_hook(_noting(name, reached), with_kwargs=True)
            for name, layer in self.network.named_modules()
            if name == self.head or (self.head is None and isinstance(layer, nn.Linear))
        ]
        try:
            with self._statistics(self.network):
                output = self.network(*inputs, **named)
        finally:
            for hook in hooks:
                hook.remove()
        if not reached:
            what = "nn.Linear layer" if self.head is None else f"layer {self.head!r}"
            raise InputError(f"{self._called} reaches no {what}. Name the layer that is its head: head='...'.")
        self.head, features = reached[-1]
        if not isinstance(features, Tensor):
            raise InputError(
                f"the layer {self.head!r} of {self._called} should get a tensor of features; it gets "
                f"{type(features).__name__}. Name another one: head='...'."
            )
        return output, features

    @property
    def _called(self) -> str:
        return f"the network {type(self.network).__name__}"


def _bare(network: nn.Module) -> nn.Module:
    compiled: Any = getattr(network, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return _bare(compiled)
    return _bare(network.module) if isinstance(network, DataParallel | DistributedDataParallel) else network


def _noting(name: str, reached: list[tuple[str, object]]) -> Callable[..., None]:
    def note(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        reached.append((name, next(iter((*inputs, *named.values())), None)))

    return note


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]  # parts may be frozen, each has its own mode
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
