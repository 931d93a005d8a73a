"""Batch normalisation where a second kind of image passes through the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a network has a layer of batch normalisation, so that its features depend on the batch in training.

    Example:
        >>> has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))), has_batch_norm(nn.LayerNorm(2))
        (True, False)
    """
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within this context batch normalisation uses the batch's own statistics and leaves the running ones alone.

    For OOD images in training: the running statistics stay those of the images that the network is for.

    Args:
        network: any module, in training mode or not; layers without batch normalisation are not touched.

    Example:
        >>> import torch
        >>> layer = nn.BatchNorm1d(1)
        >>> with statistics_kept(layer):
        ...     layer(torch.tensor([[5.0], [7.0]])).flatten().round()
        tensor([-1.,  1.], grad_fn=<RoundBackward0>)
        >>> layer.running_mean, layer.num_batches_tracked
        (tensor([0.]), tensor(0))
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def running_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context batch normalisation uses the running statistics and leaves them alone, as in evaluation.

    For OOD images in training: what is penalised is then the very function that is asked later. Other layers, such as
    dropout, stay in training.

    Args:
        network: any module; its layers of batch normalisation are in training mode again afterwards if they were.

    Example:
        >>> import torch
        >>> layer = nn.BatchNorm1d(1)
        >>> with running_statistics(layer):
        ...     layer(torch.tensor([[5.0], [7.0]])).flatten().round()
        tensor([5., 7.], grad_fn=<RoundBackward0>)
        >>> layer.training
        True
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()
