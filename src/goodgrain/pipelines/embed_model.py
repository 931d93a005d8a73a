"""Which model is meant: one of ours, one of anyone's, or one in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Predictor
from goodgrain.learn.trained import load
from goodgrain.models.encoders import Encoded, Encoder, Examples, load_encoder
from goodgrain.models.encoders.function import FunctionEncoder
from goodgrain.pipelines.prune_inputs import IN_MEMORY
from goodgrain.run import CONFIG

Model = str | Path | Predictor | Callable[[Any], Any]

_PARTS_OF_A_MODEL = ("*.json", "*.safetensors", "*.txt", "*.model")


class PredictorEncoder:
    """A trained model of ours as an encoder.

    Args:
        model: trained; `classes` and `image_shape` are understood where it has them.
    """

    def __init__(self, model: Predictor) -> None:
        self._model = model
        names, shape = getattr(model, "classes", None), getattr(model, "image_shape", None)
        self.classes: tuple[str, ...] | None = None if names is None else tuple(names)
        self.image_size: tuple[int, int] | None = None if shape is None else (int(shape[0]), int(shape[1]))
        self._channels: int | None = None if shape is None else int(shape[2])

    def __call__(self, examples: Examples) -> Encoded:
        """Images (b, h, w, c) uint8 -> features (b, d) and probabilities (b, classes)."""
        images = np.asarray(examples)
        channels = images.shape[3]
        if self._channels == 3 and channels == 1:
            images = np.repeat(images, 3, axis=3)
        elif self._channels not in (None, channels):
            raise InputError(f"the model takes gray images, but the data have {channels} channels. Convert them first.")
        log_probabilities, features = self._model.infer(to_pixels(images, self._model.device))
        return Encoded(features.float().cpu().numpy(), log_probabilities.float().exp().cpu().numpy())


def find_encoder(model: Model, *, texts: bool, device: str) -> Encoder:
    """The encoder that a user means.

    Raises:
        InputError: no such model, or one for images where the data are texts.
        MissingExtra: the library that it needs is not installed.
    """
    if isinstance(model, str | Path) and _is_ours(Path(model)):
        model = load(model, device=device)
    if isinstance(model, str | Path):
        return load_encoder(str(model), texts=texts, device=Engine(device).device)
    if hasattr(model, "infer"):
        if texts:
            raise InputError("the model takes images, but the data are texts. Give a model for texts.")
        return PredictorEncoder(cast("Predictor", model))
    if not callable(model):
        raise InputError(f"model should be a name, a function or a trained learner; a {type(model).__name__} came.")
    return FunctionEncoder(model, name_of(model))


def name_of(model: Model) -> str:
    """How the configuration calls a model."""
    if isinstance(model, str | Path):
        return str(model)
    return getattr(model, "__qualname__", type(model).__name__) + IN_MEMORY


def fingerprint_of(model: Model) -> str | None:
    """A sha256 over a model's files or weights, so that other weights in the same place are another run.

    None for functions and for names that a hub resolves: they are known by their name alone.
    """
    if hasattr(model, "infer"):
        return _weights_of(model)
    if not isinstance(model, str | Path) or not Path(model).exists():
        return None
    place = Path(model)
    files = [place] if place.is_file() else sorted({file for kind in _PARTS_OF_A_MODEL for file in place.rglob(kind)})
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(place)).encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _weights_of(model: object) -> str | None:
    """A sha256 over every tensor that a learner or a loaded model consists of."""
    digest = hashlib.sha256()
    parts = list(model.saved().values()) if hasattr(model, "saved") else [getattr(model, "networks", None)]
    modules = [part for part in parts if isinstance(part, torch.nn.Module)]
    if not modules:
        return None
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_ours(path: Path) -> bool:
    return (path.is_file() and path.suffix == ".safetensors") or (path / CONFIG).is_file()
