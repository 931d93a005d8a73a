"""Arrays in an NPZ archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from goodgrain.data.images import ArraySource, Pixels
from goodgrain.data.read.boxes import PixelBoxes, boxes_of_corners
from goodgrain.data.read.listing import Labeled, Listing, plain_labels
from goodgrain.errors import InputError

IMAGE_KEYS = ("x", "images", "data")
LABEL_KEYS = ("y", "labels")


def list_npz(path: Path, split: str | None, *, labeled: Labeled) -> Listing:
    """Images x and labels y of an archive; ids are the row numbers.

    Images stand under x, images or data, labels under y or labels; a split NAME stands under x_NAME, y_NAME and so
    on. Without a split, plain names come before those of the split "train". An array boxes (n, 4), or boxes_NAME, holds
    x0, y0, x1, y1 of each image.

    Raises:
        InputError: not such an archive, no such arrays, or images that are not uint8 of a known shape.
    """
    try:
        with path.open("rb") as file, _opened(file) as archive:
            image_key = _key(IMAGE_KEYS, archive.files, split, path, "images")
            images = _array(archive, image_key)
            labels = None
            if labeled is True or (labeled and set(_wanted(LABEL_KEYS, split)) & set(archive.files)):
                labels = _array(archive, _key(LABEL_KEYS, archive.files, split, path, "labels"))
            box_key = _like(image_key, "boxes")
            boxes = _array(archive, box_key) if box_key in archive.files else None
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as reason:
        if isinstance(reason, InputError):
            raise
        raise InputError(f"{path} cannot be read as an NPZ archive of plain arrays: {reason}.") from reason
    pixels = _images(images, image_key)
    return Listing(
        [str(row) for row in range(len(pixels))],
        ArraySource(pixels),
        None if labels is None else _labels(labels, len(pixels)),
        boxes=None if boxes is None else _boxes(boxes, box_key, len(pixels)),
    )


def _opened(file: BinaryIO) -> NpzFile:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, NpzFile):
        raise ValueError("it is a single array")
    return archive


def _array(archive: NpzFile, key: str) -> NDArray[np.generic]:
    array = archive[key]
    if not isinstance(array, np.ndarray):  # NumPy hands out the bytes of members in other formats
        raise ValueError(f"{key} is no array")
    return array


def _key(known: Sequence[str], keys: list[str], split: str | None, path: Path, what: str) -> str:
    wanted = _wanted(known, split)
    found = next((key for key in wanted if key in keys), None)
    if found is None:
        raise InputError(f"{path.name} has no {what} ({', '.join(wanted)}). Its arrays are {', '.join(keys)}.")
    return found


def _wanted(known: Sequence[str], split: str | None) -> list[str]:
    return [f"{name}_{split}" for name in known] if split else [*known, *(f"{name}_train" for name in known)]


def _like(image_key: str, name: str) -> str:
    """What an array is called that stands beside images called x, or x_SPLIT."""
    _, mark, split = image_key.partition("_")
    return name + mark + split


def _images(images: NDArray[np.generic], key: str) -> Pixels:
    pixels = images[..., None] if images.ndim == 3 else images
    if pixels.ndim == 4 and pixels.shape[3] not in (1, 3) and pixels.shape[1] in (1, 3):
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or pixels.size == 0:
        raise InputError(
            f"{key} should be uint8 of shape (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w); "
            f"{images.dtype} of shape {images.shape} came."
        )
    return pixels.view(np.uint8)


def _labels(labels: NDArray[np.generic], n: int) -> Sequence[int | str | None]:
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.shape != (n,):
        raise InputError(f"there are {n} images, but the labels have the shape {labels.shape}. Give one per image.")
    return plain_labels(flat.tolist(), "the label array")


def _boxes(boxes: NDArray[np.generic], key: str, n: int) -> PixelBoxes:
    if boxes.shape != (n, 4) or boxes.dtype.kind not in "uif":
        raise InputError(
            f"{key} should be numbers of shape ({n}, 4), x0, y0, x1, y1 of each image; {boxes.dtype} of shape "
            f"{boxes.shape} came."
        )
    return boxes_of_corners(boxes.astype(np.float64))
