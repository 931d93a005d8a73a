"""Trained models back from disk: ask them about any images."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import budget_count, lookup
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
from goodgrain.data.views import Normalize, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.learn.model_file import read_model
from goodgrain.models import Split
from goodgrain.models.onnx_file import export_onnx

_BATCH = 512
_SUFFIX = ".safetensors"

AnyImages = Pool | NDArray[Any] | Image.Image | str | Path | Iterable[Any]
"""A pool; uint8 arrays (n, h, w), (n, h, w, 1) or (n, h, w, 3), CPU tensors included; one PIL image or path, or any
number of them, or of uint8 arrays, each of its own size."""


class Averaged(nn.Module):
    """Networks that answer as one: the mean of their probabilities, and their features side by side.

    Args:
        members: each network with the pixel statistics that it was trained with.
    """

    def __init__(self, members: Sequence[tuple[Normalize, Split]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Sequential(normalize, network) for normalize, network in members)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        answers = [member(pixels) for member in self.members]
        logs = torch.stack([functional.log_softmax(logits, dim=1) for logits, _ in answers])  # (networks, b, classes)
        return logs.logsumexp(dim=0) - math.log(len(answers)), torch.cat([features for _, features in answers], dim=1)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model, ready to be asked; `goodgrain.learn.observe` and `predict` take it where they take a learner.

    Args:
        networks: what answers, on the device.
        classes: c names, in the order of the probabilities' columns.
        image_shape: (height, width, channels) of the images that it was trained on.
        flip: whether views may swap left and right.
        device: where it is.
    """

    networks: Averaged = field(repr=False)
    classes: tuple[str, ...]
    image_shape: Shape
    flip: bool
    device: torch.device

    def predict(self, images: AnyImages) -> NDArray[np.str_]:
        """Name the most probable class of each image.

        Args:
            images: a pool; uint8 arrays (n, h, w), (n, h, w, 1) or (n, h, w, 3); one PIL image or path, or many of
                them. Other sizes than the model's are resized, colours are converted.

        Returns:
            (n,) class names.

        Raises:
            InputError: no images, images of another kind, or one that cannot be read.

        Example:
            >>> import tempfile
            >>> from goodgrain.learn import Standard, fit
            >>> from goodgrain.learn.model_file import save_model
            >>> images = np.zeros((20, 8, 8), np.uint8)
            >>> images[1::2] = 200
            >>> pool = Pool.from_arrays(images, np.arange(20) % 2, classes=["dark", "bright"])
            >>> learner, path = Standard(), Path(tempfile.mkdtemp(), "my.safetensors")
            >>> history = fit(learner, pool, epochs=20, seed=0, device="cpu")
            >>> save_model(path, learner, pool)
            >>> load(path, device="cpu").predict([Image.new("RGB", (30, 40), "black"), Image.new("L", (9, 9), 200)])
            array(['dark', 'bright'], dtype='<U6')
        """
        names: NDArray[np.str_] = np.asarray(self.classes)[self.probabilities(images).argmax(axis=1)]
        return names

    def probabilities(self, images: AnyImages) -> NDArray[np.float32]:
        """(n, c), one column per class; images as in `predict`."""
        return np.concatenate([np.exp(logs.cpu().numpy()) for logs, _ in self._answers(images)])

    def features(self, images: AnyImages) -> NDArray[np.float32]:
        """(n, d), the pooled penultimate layer; images as in `predict`."""
        return np.concatenate([features.cpu().numpy() for _, features in self._answers(images)])

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] of the model's shape -> log-probabilities (b, classes), features (b, d).

        Raises:
            InputError: images of another shape, which `predict` would have resized.
        """
        height, width, channels = self.image_shape
        if pixels.shape[1:] != (channels, height, width):
            raise InputError(
                f"the model was trained on images of shape {(channels, height, width)} (channels, height, width); "
                f"{tuple(pixels.shape[1:])} came. Read the images with image_size={(height, width)}."
            )
        with torch.no_grad():
            log_probabilities, features = self.networks(pixels)
        return log_probabilities, features

    def to_onnx(self, path: str | Path) -> Path:
        """Write the model as ONNX, for any runtime; see `goodgrain.models.onnx_file.export_onnx`."""
        return export_onnx(path, self.networks, image_shape=self.image_shape, classes=self.classes)

    def _answers(self, images: AnyImages) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in _batches(images, self.image_shape):
            yield self.infer(to_pixels(batch, self.device))


def load(
    path: str | Path,
    *,
    which: str | None = None,
    network: str | nn.Module | None = None,
    trust_code: bool = False,
    device: str = "auto",
) -> TrainedModel:
    """Load a trained model from a run or from a file.

    Args:
        path: a run folder, or a .safetensors file that a run wrote.
        which: the model's name in the run, such as "prune4rel-1000-0" (method, count, repeat); by default the run's own
            method at the first budget, first repeat.
        network: what the network is, where it was a module of your own: anything that `load_network` takes.
        trust_code: whether the file may name a function to import (`package.module:function`), or a network that timm
            asks a hub for. A file from elsewhere could name any function.
        device: "auto" (a GPU where there is one), or a torch device such as "cpu" or "cuda".

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: nothing to load there, a file that does not fit, or code that is not trusted.
        UnknownName: the run has no such model.

    Example:
        >>> load("photos/run")
        Traceback (most recent call last):
        ...
        goodgrain.errors.InputError: photos/run does not exist. Give a run folder or a .safetensors file.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place} does not exist. Give a run folder or a {_SUFFIX} file.")
    if not place.is_dir() and which is not None:
        raise InputError(f"which={which!r} names a model of a run, but {place} is one file. Leave it out.")
    where = Engine(device).device
    saved = read_model(_model_of(place, which) if place.is_dir() else place)
    networks = Averaged(saved.members(network, trust_code=trust_code)).eval().to(where)
    return TrainedModel(networks, saved.classes, saved.image_shape, saved.flip, where)


def _model_of(run: Path, which: str | None) -> Path:
    there = {path.stem: path for path in sorted((run / "models").glob(f"*{_SUFFIX}"))}
    if not there:
        raise InputError(
            f"{run} holds no models/*{_SUFFIX}. Give the folder of a run that trained (pruning with epochs=0 does not)."
        )
    if which is not None:
        return lookup("model in this run", there, which.removesuffix(_SUFFIX))
    if len(there) == 1:
        return next(iter(there.values()))
    own = _first_of_own_method(run)
    if own not in there:
        raise InputError(f"{run} holds several models; say which: {', '.join(there)}.")
    return there[own]


def _first_of_own_method(run: Path) -> str | None:
    """The name that a pruning run gives its first model; None where the folder does not tell."""
    try:
        asked = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))["prune"]
        rows = pq.read_metadata(run / "selection.parquet").num_rows
        return f"{asked['method']}-{budget_count(asked['keep'][0], n=rows)}-0"
    except (OSError, KeyError, ValueError):
        return None


def _batches(images: AnyImages, shape: Shape) -> Iterator[Pixels]:
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
