"""Where images come from, and how they become pixels."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from goodgrain.checks import Positions

MEMORY_CAP = 2**30  # bytes of decoded images that are kept

Shape = tuple[int, int, int]
Pixels = NDArray[np.uint8]

_ORIENTATION = 0x0112  # the EXIF tag; 5..8 lie on their side
_SIDEWAYS = 5


class ImageSource(Protocol):
    """Where images come from."""

    def __len__(self) -> int:
        """How many images there are."""

    def open(self, position: int) -> Image.Image:
        """One image at its own size; OSError, ValueError or SyntaxError where it cannot be read."""


@runtime_checkable
class HasOriginals(Protocol):
    """A source whose images were stored in some encoding."""

    def original(self, position: int) -> bytes | Path | None:
        """The encoded bytes, or the file that holds them; None where there are only pixels."""


@dataclass(frozen=True)
class ArraySource:
    """Images that are in memory already.

    Args:
        images: (n, h, w, c) uint8, c = 1 or 3.
    """

    images: Pixels

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def open(self, position: int) -> Image.Image:
        """One image; mode L for one channel, RGB for three."""
        pixels = self.images[position]
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


@dataclass(frozen=True)
class FileSource:
    """Images in files of their own.

    Args:
        root: the folder that they are in.
        files: their paths under it.
    """

    root: Path
    files: tuple[str, ...]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.files)

    def open(self, position: int) -> Image.Image:
        """One image at its own size."""
        return open_image(self.original(position))

    def original(self, position: int) -> Path:
        """The file of an image."""
        return self.root / self.files[position]


@dataclass(frozen=True)
class EncodedSource:
    """Images as a column of encoded bytes, decoded one by one.

    Args:
        column: (n,) binary; a missing value is an image that cannot be read.
    """

    column: pa.ChunkedArray[Any]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.column)

    def open(self, position: int) -> Image.Image:
        """One image at its own size."""
        data = self.original(position)
        if data is None:
            raise ValueError("the row holds no image bytes")
        return open_image(data)

    def original(self, position: int) -> bytes | None:
        """The encoded bytes of an image."""
        data: bytes | None = self.column[position].as_py()
        return data


@dataclass(frozen=True)
class PickedSource:
    """Some images of another source.

    Args:
        source: where they come from.
        positions: (m,) which ones, in order.
    """

    source: ImageSource
    positions: Positions

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.positions)

    def open(self, position: int) -> Image.Image:
        """One image at its own size."""
        return self.source.open(int(self.positions[position]))

    def original(self, position: int) -> bytes | Path | None:
        """The encoded image, where the other source has it."""
        return original(self.source, int(self.positions[position]))


def original(source: ImageSource, position: int) -> bytes | Path | None:
    """The encoded bytes of an image or the file that holds them; None where a source has only pixels."""
    return source.original(position) if isinstance(source, HasOriginals) else None


def open_image(data: bytes | Path) -> Image.Image:
    """Decode an encoded image completely and turn it upright.

    Raises:
        OSError: the file cannot be read, is no image, or ends too early.
        ValueError, SyntaxError: the image is damaged, or decodes to more pixels than is safe.
    """
    with _quiet(), Image.open(_checked(data)) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image


def look_at(data: bytes | Path) -> tuple[int, int, bool]:
    """(height, width, whether it is grayscale) from the header of an encoded image; raises like `open_image`."""
    with _quiet(), Image.open(_checked(data)) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) >= _SIDEWAYS:
            width, height = height, width
        return height, width, is_gray(image)


def is_gray(image: Image.Image) -> bool:
    """Whether an image has no colour by its format, whatever its pixels are."""
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def as_mode(image: Image.Image, channels: int) -> Image.Image:
    """The image as 8-bit L (1 channel) or RGB (3); 16-bit images keep their upper 8 bits.

    Raises:
        ValueError: pixels of a kind that has no fixed range.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floats without a known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ValueError("its pixels are 32-bit integers; save it with 8 or 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # PIL warns of the direct way, which it cannot take for a palette with alpha
    return image.convert("L" if channels == 1 else "RGB")


def fit_image(image: Image.Image, shape: Shape) -> Pixels:
    """(h, w, c) uint8 pixels of an image, converted and resized where it needs to be."""
    height, width, channels = shape
    fitted = as_mode(image, channels)
    if fitted.size != (width, height):
        fitted = fitted.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(shape)


def fits_memory(n: int, shape: Shape) -> bool:
    """Whether n decoded images are few enough to be kept."""
    return n * math.prod(shape) <= MEMORY_CAP


class UnreadableImage(Exception):
    """An image failed to decode; `index` is its place among those that were asked for."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class Decoded:
    """The images of a source at one shape, each decoded once if there is room for all of them.

    Args:
        source: where they come from.
        shape: (height, width, channels).
    """

    def __init__(self, source: ImageSource, shape: Shape) -> None:
        self.source = source
        self.shape = shape
        self.keeps = fits_memory(len(source), shape)
        self._rows: Positions | None = None  # None: all rows of the source
        self._store: dict[str, NDArray[Any]] = {}  # shared with everything that was picked from this one

    def picked(self, rows: Positions) -> Decoded:
        """Some of these images, sharing what is decoded where it is kept."""
        if not self.keeps:
            return Decoded(PickedSource(self.source, rows), self.shape)
        part = Decoded(self.source, self.shape)
        part._rows = rows if self._rows is None else self._rows[rows]
        part._store = self._store
        return part

    def take(self, positions: Positions) -> Pixels:
        """(m, h, w, c) copies of some images; UnreadableImage where one fails."""
        rows = positions if self._rows is None else self._rows[positions]
        if isinstance(self.source, ArraySource) and self.source.images.shape[1:] == self.shape:
            return self.source.images[rows]
        if not self.keeps:
            pixels = np.empty((len(rows), *self.shape), dtype=np.uint8)
            for index, row in enumerate(rows.tolist()):
                pixels[index] = self._decode(row, index)
            return pixels
        if not self._store:
            self._store["pixels"] = np.empty((len(self.source), *self.shape), dtype=np.uint8)
            self._store["there"] = np.zeros(len(self.source), dtype=bool)
        pixels, there = self._store["pixels"], self._store["there"]
        for index in np.flatnonzero(~there[rows]).tolist():
            row = int(rows[index])
            pixels[row] = self._decode(row, index)
            there[row] = True
        return pixels[rows]

    def _decode(self, row: int, index: int) -> Pixels:
        try:
            return fit_image(self.source.open(row), self.shape)
        except (OSError, ValueError, SyntaxError) as problem:
            raise UnreadableImage(index, sentence(problem)) from problem


def sentence(problem: Exception) -> str:
    """Why an image cannot be read, without object addresses and paths."""
    if isinstance(problem, UnidentifiedImageError):
        return "it is not an image in a known format"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror[0].lower() + problem.strerror[1:]
    return str(problem) or type(problem).__name__


def _checked(data: bytes | Path) -> io.BytesIO | Path:
    if isinstance(data, Path):
        if data.stat().st_size == 0:
            raise ValueError("the file is empty")
        return data
    if not data:
        raise ValueError("it has no bytes")
    return io.BytesIO(data)


@contextmanager
def _quiet() -> Iterator[None]:
    """Decoders' remarks are silenced, bombs are refused, and whatever damaged bytes provoke becomes a ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as bomb:
            raise ValueError("it decodes to more pixels than is safe (a decompression bomb)") from bomb
        except (OSError, ValueError, SyntaxError, MemoryError):
            raise
        except Exception as problem:
            raise ValueError(f"it is damaged ({type(problem).__name__}: {problem})") from problem


def blocks(n: int, size: int = 1024) -> Iterator[Positions]:
    """0..n-1 in blocks, for walks over all images that hold only some at a time."""
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))
