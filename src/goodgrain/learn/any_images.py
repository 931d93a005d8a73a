"""Images of whatever kind a person has at hand, as batches that a model can be asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from goodgrain.data.images import (
    ArraySource,
    ImageSource,
    Pixels,
    Shape,
    blocks,
    fit_image,
    open_image,
    original,
    sentence,
)
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError

_BATCH = 512

AnyImages = Pool | NDArray[Any] | Image.Image | str | Path | Iterable[Any]
"""A pool; uint8 arrays (n, h, w), (n, h, w, 1) or (n, h, w, 3), CPU tensors included; one PIL image or path, or any
number of them, or of uint8 arrays, each of its own size."""


def in_batches(images: AnyImages, shape: Shape) -> Iterator[Pixels]:
    """Images of any kind as uint8 (b, h, w, c) of one shape."""
    if isinstance(images, Pool) and images.image_shape == shape:
        for rows in blocks(len(images), _BATCH):
            yield images.images(rows)
        return
    source = _source(images)
    if len(source) == 0:
        raise InputError("there is no image to predict. Give at least one.")
    for rows in blocks(len(source), _BATCH):
        yield np.stack([_fitted(source, int(row), shape) for row in rows])


def _fitted(source: ImageSource, row: int, shape: Shape) -> Pixels:
    try:
        return fit_image(source.open(row), shape)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as reason:
        file = original(source, row)
        name = f"image {row} ({file})" if isinstance(file, Path) else f"image {row}"
        raise InputError(f"{name} cannot be read: {sentence(reason)}. Leave it out or repair it.") from reason


@dataclass(frozen=True)
class _Listed:
    """Images one by one: PIL images, paths, or uint8 arrays."""

    images: tuple[Any, ...]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def open(self, position: int) -> Image.Image:
        """One image at its own size, upright."""
        image = self.images[position]
        if isinstance(image, Image.Image):
            return ImageOps.exif_transpose(image)
        file = self.original(position)
        if file is not None:
            return open_image(file)
        pixels = np.asarray(image)
        return _in_memory(pixels[None] if pixels.ndim in (2, 3) else pixels, pixels).open(0)

    def original(self, position: int) -> Path | None:
        """The file of an image; None where it is in memory."""
        image = self.images[position]
        return Path(image) if isinstance(image, str | Path) else None


def _source(images: AnyImages) -> ImageSource:
    if isinstance(images, Pool):
        return images.source
    if isinstance(images, str | Path | Image.Image):
        return _Listed((images,))
    if isinstance(images, Iterable) and not hasattr(images, "__array__"):
        return _Listed(tuple(images))
    pixels = np.asarray(images)
    if pixels.ndim == 3 and pixels.shape[2] in (1, 3):
        raise InputError(f"an array of shape {pixels.shape} is taken for one colour image. Give images[None].")
    return _in_memory(pixels, pixels)


def _in_memory(pixels: NDArray[Any], given: NDArray[Any]) -> ArraySource:
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape[1:]:
        raise InputError(
            "images should be a pool, PIL images, paths, or uint8 arrays of shape (n, h, w), (n, h, w, 1) or "
            f"(n, h, w, 3); {given.dtype} of shape {given.shape} came."
        )
    return ArraySource(pixels)
