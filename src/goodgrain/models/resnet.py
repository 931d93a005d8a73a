"""Residual networks: one builder, three kinds of block, and stems for small and for large images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from goodgrain.models.split import Split

_LARGE = 64  # pixels of the shorter side from which the stem of ImageNet, which divides by 4, leaves enough


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
    stem = _activated(nn.Conv2d(channels, 16, 4, stride=2, padding=1, bias=False))
    network = _residual(stem, _basic, classes, widths=(16, 64, 96), blocks=(1, 1, 1), strides=(1, 2, 2))
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
    stem = _activated(_conv(channels, 64, 1))
    return _residual(stem, _basic, classes, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), strides=(1, 2, 2, 2))


def preact_resnet18(*, classes: int, channels: int = 3) -> Split:
    """ResNet-18 with pre-activation ("Identity Mappings in Deep Residual Networks", He et al. 2016) and the CIFAR stem.

    In the form that DivideMix and SOP were published with: the stem is normalised and activated, and nothing follows
    the last sum but the pooling, so features can be negative. (He et al. normalise and activate that sum once more.)
    Features have 512 dimensions; about 11 million parameters.

    Args:
        classes: width of the head.
        channels: 1 or 3.

    Example:
        >>> sum(weights.numel() for weights in preact_resnet18(classes=10).parameters())
        11171274
    """
    stem = _activated(_conv(channels, 64, 1))
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    return _residual(stem, _PreActivated, classes, widths=widths, blocks=(2, 2, 2, 2), strides=strides)


def resnet50(*, classes: int, channels: int = 3, size: tuple[int, int] = (224, 224)) -> Split:
    """ResNet-50 (He et al. 2016), with the stem of ImageNet from 64 pixels on, and that of CIFAR below.

    A bottleneck halves in its 3 x 3 convolution, as in every public set of weights. Features have 2048 dimensions;
    about 24 million parameters without the head.

    Args:
        classes: width of the head.
        channels: 1 or 3.
        size: (height, width) of the images.

    Example:
        >>> with torch.device("meta"):
        ...     sum(weights.numel() for weights in resnet50(classes=1000).parameters())
        25557032
    """
    if min(size) < _LARGE:
        stem = _activated(_conv(channels, 64, 1))
    else:
        stem = [*_activated(_conv(channels, 64, 2, kernel=7)), nn.MaxPool2d(3, 2, padding=1)]
    widths, strides = (256, 512, 1024, 2048), (1, 2, 2, 2)
    return _residual(stem, _bottleneck, classes, widths=widths, blocks=(3, 4, 6, 3), strides=strides)


def _residual(
    stem: Sequence[nn.Module],
    block: Callable[[int, int, int], nn.Module],
    classes: int,
    *,
    widths: Sequence[int],
    blocks: Sequence[int],
    strides: Sequence[int],
) -> Split:
    """A stem, groups of blocks (before, after, stride) of which the first may be strided, a pooling, and a head."""
    layers = list(stem)
    width = next(layer.out_channels for layer in stem if isinstance(layer, nn.Conv2d))
    for after, count, stride in zip(widths, blocks, strides, strict=True):
        for index in range(count):
            layers.append(block(width, after, stride if index == 0 else 1))
            width = after
    features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Split(features, nn.Linear(width, classes))


class _Block(nn.Module):
    """Convolutions and a shortcut around them; their sum is activated."""

    def __init__(self, inner: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.shortcut = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        """(b, before, h, w) -> (b, after, h / stride, w / stride)."""
        out: Tensor = self.inner(maps) + self.shortcut(maps)
        return torch.relu_(out)


def _basic(before: int, after: int, stride: int) -> _Block:
    """Two 3 x 3 convolutions."""
    inner = nn.Sequential(*_activated(_conv(before, after, stride)), _conv(after, after, 1), nn.BatchNorm2d(after))
    return _Block(inner, _shortcut(before, after, stride))


def _bottleneck(before: int, after: int, stride: int) -> _Block:
    """A 3 x 3 convolution at a quarter of the width, between two of 1 x 1."""
    width = after // 4
    inner = nn.Sequential(
        *_activated(_conv(before, width, 1, kernel=1)),
        *_activated(_conv(width, width, stride)),
        _conv(width, after, 1, kernel=1),
        nn.BatchNorm2d(after),
    )
    return _Block(inner, _shortcut(before, after, stride))


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class _PreActivated(nn.Module):
    """Two 3 x 3 convolutions, each behind its activation; the sum stays as it is."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        same = stride == 1 and before == after
        self.activation = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(inplace=True))
        self.inner = nn.Sequential(*_activated(_conv(before, after, stride)), _conv(after, after, 1))
        self.shortcut = None if same else _conv(before, after, stride, kernel=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(b, before, h, w) -> (b, after, h / stride, w / stride)."""
        active = self.activation(maps)
        out: Tensor = self.inner(active) + (maps if self.shortcut is None else self.shortcut(active))
        return out


def _activated(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _conv(before: int, after: int, stride: int, kernel: int = 3) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
