"""Views: randomly changed copies of images, each image changed in its own way, each batch repeatable by its seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import kornia.augmentation as K  # noqa: N812  (the name that the library's own documentation uses)
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from goodgrain.data.pool import OOD, Pool

View = Callable[[Tensor, int], Tensor]
"""(pixels (b, c, h, w) in [0, 1], seed) -> pixels of the same shape and range; same seed, same view."""

BoxView = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""As `View`, with boxes (b, 4), left, top, right, bottom as shares of the image, that go where the pixels go."""

_STATISTICS_SAMPLE = 10_000


def to_pixels(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Images as a pool gives them, as a float tensor.

    Args:
        images: (b, h, w, c) uint8.
        device: where the tensor goes.

    Returns:
        (b, c, h, w) float32 in [0, 1].

    Example:
        >>> to_pixels(np.full((1, 1, 1, 3), 255, dtype=np.uint8)).flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    # made contiguous because narrow strided convolutions in torch's CPU build can crash on the channels-last layout
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous().float().div_(255)


def weak(size: tuple[int, int], *, flip: bool = True) -> View:
    """The view that labels survive: a random crop after padding by an eighth, and a mirror image half of the time.

    Args:
        size: (height, width) of the images.
        flip: whether left and right may be swapped; digits and text should not be.

    Example:
        >>> pixels = torch.rand(4, 1, 8, 8)
        >>> view = weak((8, 8), flip=False)
        >>> torch.equal(view(pixels, 7), view(pixels, 7))
        True
    """
    return _Seeded(_weak_steps(size, flip))


def weak_with_boxes(size: tuple[int, int], *, flip: bool = True) -> BoxView:
    """The weak view of images whose objects have boxes: pixels as `weak` gives them, and boxes clipped to the image.

    Of a box that leaves the image, a pixel at its border stays, or less where the box was narrower: none gets empty.

    Args:
        size: (height, width) of the images.
        flip: whether left and right may be swapped.

    Returns:
        (pixels (b, c, h, w), boxes (b, 4), seed) -> pixels and boxes of the same shapes; rows of NaN stay NaN.

    Example:
        >>> pixels, boxes = torch.rand(2, 1, 8, 8), torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 1.0, 1.0]])
        >>> view = weak_with_boxes((8, 8))
        >>> torch.equal(view(pixels, boxes, 7)[0], weak((8, 8))(pixels, 7))
        True
        >>> view(pixels, boxes, 7)[1].shape
        torch.Size([2, 4])
    """
    steps = _weak_steps(size, flip)
    seeded = _Seeded(steps)

    def view(pixels: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        moved = seeded(pixels, seed)
        for step in steps:
            boxes = _carried(boxes, size, cast("Tensor", step.transform_matrix))  # of the call just made
        return moved, boxes

    return view


def _carried(boxes: Tensor, size: tuple[int, int], matrix: Tensor) -> Tensor:
    """Boxes (b, 4) under matrices (b, 3, 3) of flips and shifts, which map centres of pixels, and clipped."""
    scale = boxes.new_tensor([size[1], size[0]])  # pixels of width and height
    corners = boxes.reshape(-1, 2, 2) * scale - 0.5  # (b, corner, axis) in the matrices' coordinates
    corners = corners @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]
    corners = (corners + 0.5) / scale
    low, high = corners.amin(dim=1), corners.amax(dim=1)  # (b, axis); a flip swaps the corners
    least = torch.minimum(high - low, 1 / scale)
    return torch.cat([low.clamp(min=0).minimum(1 - least), high.clamp(max=1).maximum(least)], dim=1)


def strong(size: tuple[int, int], *, flip: bool = True) -> View:
    """The view that makes a model show what it really knows: weak, then about two strong changes, then a grey patch.

    In the manner of RandAugment (Cubuk et al. 2020) with Cutout (DeVries & Taylor 2017). Each image draws its own
    changes, and its own strength for each: affine, brightness, contrast, posterize, solarize, equalize, stretched
    contrast, sharpness; two of them on average.

    Args:
        size: (height, width) of the images.
        flip: whether left and right may be swapped.

    Example:
        >>> pixels = torch.rand(4, 3, 32, 32)
        >>> strong((32, 32))(pixels, 7).shape
        torch.Size([4, 3, 32, 32])
    """
    changes: list[nn.Module] = [
        K.RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=(-8.0, 8.0), p=0.4),
        K.RandomBrightness((0.6, 1.4), p=0.3),
        K.RandomContrast((0.5, 1.5), p=0.3),
        K.RandomPosterize((3, 6), p=0.2),
        K.RandomSolarize(0.3, 0.0, p=0.2),
        K.RandomEqualize(p=0.2),
        K.RandomAutoContrast(p=0.2),
        K.RandomSharpness(0.5, p=0.2),
    ]
    patch = K.RandomErasing(scale=(0.05, 0.25), ratio=(0.5, 2.0), value=0.5, p=1.0)
    return _Seeded([*_weak_steps(size, flip), *changes, patch])


def contrastive(size: tuple[int, int], *, flip: bool = True, channels: int = 3) -> View:
    """The view that hides all but what an image is: a random part of it at full size, in other colours.

    In the manner of SimCLR for small images (Chen et al. 2020, appendix B.9): a crop of a fifth of the area or more, a
    mirror image half of the time, colour jitter at half strength, and now and then no colour at all; no blur.

    Args:
        size: (height, width) of the images.
        flip: whether left and right may be swapped.
        channels: of the images; colours change where there are 3.

    Example:
        >>> pixels = torch.rand(4, 3, 32, 32)
        >>> contrastive((32, 32))(pixels, 7).shape
        torch.Size([4, 3, 32, 32])
    """
    steps: list[nn.Module] = [K.RandomResizedCrop(size, scale=(0.2, 1.0), cropping_mode="resample")]
    if flip:
        steps.append(K.RandomHorizontalFlip(p=0.5))
    if channels == 3:
        steps += [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)]
    return _Seeded(steps)


def _weak_steps(size: tuple[int, int], flip: bool) -> list[nn.Module]:
    padding = (max(1, size[1] // 8), max(1, size[0] // 8))  # as kornia reads it: left and right, top and bottom
    crop = K.RandomCrop(size, padding=padding)
    return [K.RandomHorizontalFlip(p=0.5), crop] if flip else [crop]


class _Seeded:
    """Steps that draw from the global generator, run under a seed of their own; the generator stays as it was."""

    def __init__(self, steps: list[nn.Module]) -> None:
        self._steps = steps

    def __call__(self, pixels: Tensor, seed: int) -> Tensor:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for step in self._steps:
                pixels = step(pixels)
        return pixels.clamp_(0, 1)


class Normalize(nn.Module):
    """Shift and scale pixels by the mean and standard deviation of each channel, which travel with the weights.

    Args:
        mean: (c,) of the training images.
        deviation: (c,) likewise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float().view(-1, 1, 1))
        self.register_buffer("deviation", deviation.float().view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        return (pixels - self.mean) / self.deviation

    @classmethod
    def of(cls, pool: Pool) -> Normalize:
        """The statistics of a pool, over at most 10,000 evenly spaced images; a flat channel is only shifted.

        OOD images are not what the network is for: they count only where there is nothing else.
        """
        own = np.flatnonzero(pool.labels != OOD)
        own = own if len(own) else np.arange(len(pool))
        positions = own[np.linspace(0, len(own) - 1, min(len(own), _STATISTICS_SAMPLE)).astype(np.int64)]
        images = pool.images(positions).reshape(-1, pool.image_shape[2])
        levels = np.stack([np.bincount(channel, minlength=256) for channel in images.T]) / len(images)  # (c, 256)
        scale = np.arange(256) / 255
        mean = levels @ scale
        deviation = np.sqrt(levels @ scale**2 - mean**2 + 1e-12)
        deviation[deviation < 1e-3] = 1.0
        return cls(torch.from_numpy(mean), torch.from_numpy(deviation))
