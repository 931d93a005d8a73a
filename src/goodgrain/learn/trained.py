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
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import budget_count, lookup
from goodgrain.data.images import Shape
from goodgrain.data.views import Normalize, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.any_images import AnyImages, in_batches
from goodgrain.learn.engine import Engine
from goodgrain.learn.model_file import read_model
from goodgrain.metrics.localization import box_around
from goodgrain.models import Split, class_activation_maps
from goodgrain.models.onnx_file import export_onnx

_SUFFIX = ".safetensors"


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
        outputs: "classes", or "boxes" of a box regression, which names no classes.
    """

    networks: Averaged = field(repr=False)
    classes: tuple[str, ...]
    image_shape: Shape
    flip: bool
    device: torch.device
    outputs: str = "classes"

    def predict(self, images: AnyImages) -> NDArray[np.str_]:
        """Name the most probable class of each image.

        Args:
            images: a pool; uint8 arrays (n, h, w), (n, h, w, 1) or (n, h, w, 3); one PIL image or path, or many of
                them. Other sizes than the model's are resized, colours are converted.

        Returns:
            (n,) class names.

        Raises:
            InputError: no images, images of another kind, or one that cannot be read; a model of boxes.

        Example:
            >>> import tempfile
            >>> from PIL import Image
            >>> from goodgrain.data.pool import Pool
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
        self._needs_classes()
        return np.concatenate([np.exp(logs.cpu().numpy()) for logs, _ in self._answers(images)])

    def features(self, images: AnyImages) -> NDArray[np.float32]:
        """(n, d), the pooled penultimate layer; images as in `predict`."""
        return np.concatenate([features.cpu().numpy() for _, features in self._answers(images)])

    def boxes(self, images: AnyImages) -> NDArray[np.float32]:
        """Tell where the object of each image is.

        Args:
            images: as in `predict`.

        Returns:
            (n, 4) left, top, right, bottom as shares of width and height: of a box regression what it has learned, of a
            classifier the box around what it sees of the class that it predicts (class activation maps).

        Raises:
            InputError: as in `predict`, several networks, or a classifier without maps.
        """
        if len(self.networks.members) > 1:
            raise InputError("boxes are asked of one network; this model has several.")
        return np.concatenate(
            [self._boxes(to_pixels(batch, self.device)) for batch in in_batches(images, self.image_shape)]
        )

    def _boxes(self, pixels: Tensor) -> NDArray[np.float32]:
        member: Any = self.networks.members[0]
        normalize, network = member
        with torch.no_grad():
            told, _ = network(normalize(pixels))
            if self.outputs == "boxes":
                return np.asarray(told.clamp(0, 1).float().cpu().numpy(), dtype=np.float32)
            maps = class_activation_maps(network, normalize(pixels), told.argmax(dim=1))
        return np.array([box_around(cam) for cam in maps.float().cpu().numpy()], dtype=np.float32)

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
        if self.outputs != "classes":
            log_probabilities = log_probabilities.new_empty(len(pixels), 0)
        return log_probabilities, features

    def to_onnx(self, path: str | Path) -> Path:
        """Write the model as ONNX, for any runtime; see `goodgrain.models.onnx_file.export_onnx`.

        Raises:
            InputError: a model of boxes.
        """
        self._needs_classes()
        return export_onnx(path, self.networks, image_shape=self.image_shape, classes=self.classes)

    def _needs_classes(self) -> None:
        if self.outputs != "classes":
            raise InputError("this model tells boxes and no classes. Ask for boxes(images).")

    def _answers(self, images: AnyImages) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in in_batches(images, self.image_shape):
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
        which: the model's name in the run, such as "prune4rel-1000-0" (method, count, repeat), "taufe-0" or
            "round-003"; by default the run's own method, first repeat, at the first budget where there are several, or
            the last round of a labelling run.
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
    return TrainedModel(networks, saved.classes, saved.image_shape, saved.flip, where, saved.outputs)


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
    own = _own_model(run, there)
    if own not in there:
        raise InputError(f"{run} holds several models; say which: {', '.join(there)}.")
    return there[own]


def _own_model(run: Path, there: Iterable[str]) -> str | None:
    """The first model of a run's own method, or the last round's of a labelling run; None where nothing tells."""
    try:
        config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        if "label" in config:
            return max(there)
        if "train" in config:
            return f"{config['train']['method']}-0"
        asked = config["prune"]
        rows = pq.read_metadata(run / "selection.parquet").num_rows
        return f"{asked['method']}-{budget_count(asked['keep'][0], n=rows)}-0"
    except (OSError, KeyError, ValueError):
        return None
