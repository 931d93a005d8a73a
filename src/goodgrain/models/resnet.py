"""Residual networks for small images: one builder, two sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from goodgrain.models.split import Split


def small(*, classes: int, channels: int = 3) -> Split:
    """A network of 0.2 million parameters that trains on a laptop: three narrow residual blocks, halving as they go.

    Works from 8 x 8 pixels up; features have 96 dimensions.

    Args:
        classes: width of the head.
        channels: 1 or 3.

    Example:
        >>> logits, features = small(classes=10)(torch.zeros(2, 3, 32, 32))
        >>> logits.shape, features.shape
        (torch.Size([2, 10]), torch.Size([2, 96]))
    """
    stem = nn.Conv2d(channels, 16, 4, stride=2, padding=1, bias=False)
    network = _residual(stem, classes, widths=(16, 64, 96), blocks=(1, 1, 1), strides=(1, 2, 2))
    # half again as fast on a CPU; the widths are multiples of 16 because narrower strided convolutions have crashed
    # in this layout
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def resnet18(*, classes: int, channels: int = 3) -> Split:
    """ResNet-18 (He et al. 2016) with the CIFAR stem: a 3 x 3 convolution without stride or pooling.

    Features have 512 dimensions; about 11 million parameters.

    Args:
        classes: width of the head.
        channels: 1 or 3.

    Example:
        >>> sum(weights.numel() for weights in resnet18(classes=10).parameters())
        11173962
    """
    stem = _conv(channels, 64, 1)
    return _residual(stem, classes, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), strides=(1, 2, 2, 2))


def _residual(
    stem: nn.Conv2d, classes: int, *, widths: Sequence[int], blocks: Sequence[int], strides: Sequence[int]
) -> Split:
    width = stem.out_channels
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    for after, count, stride in zip(widths, blocks, strides, strict=True):
        for index in range(count):
            layers.append(_Block(width, after, stride if index == 0 else 1))
            width = after
    features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Split(features, nn.Linear(width, classes))


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _conv(before, after, stride),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            _conv(after, after, 1),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """(b, before, h, w) -> (b, after, h / stride, w / stride)."""
        out: Tensor = self.inner(maps) + self.shortcut(maps)
        return torch.relu_(out)


def _conv(before: int, after: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
