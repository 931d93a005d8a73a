"""Trained networks as safetensors, with what is needed to use them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from goodgrain.data.images import Shape
from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.learner import Stateful
from goodgrain.models import Split, load_network
from goodgrain.models.load import fetches_or_runs, without_weights

_FORMAT = "goodgrain-model-2"
_FIRST_FORMAT = "goodgrain-model-1"  # one key per fact, and always one network
HEAD_FORMAT = "goodgrain-head-1"
"""Of a linear head alone, which a labelling run fits on embeddings."""
_KEY = "goodgrain"  # one key for everything: safetensors puts several into an order that changes from run to run
_NETWORK, _NORMALIZE = "network", "normalize"
_WIDTHS: dict[str, int | None] = {"classes": None, "boxes": 4}  # of the head; None for one output per class


class Trained(Protocol):
    """A learner after training.

    Every `Split` among its `saved` parts answers in `infer`, all with equal weight. Its name there is "network", that
    of its pixel statistics "normalize"; where there are several, both begin with one prefix.
    """

    @property
    def flip(self) -> bool:
        """Whether views may swap left and right."""

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything it was asked for; "network" is what `load_network` was given."""

    def saved(self) -> Mapping[str, Stateful]:
        """All that changes in training, by name."""


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What a model file holds.

    Args:
        path: the file.
        network: what `load_network` was given, or the name of the class of a module.
        classes: c names, in the order of the logits.
        image_shape: (height, width, channels) that the networks were trained on.
        flip: whether views may swap left and right.
        outputs: "classes", or "boxes" of a box regression.
        prefixes: of the networks; one, empty as a rule.
        tensors: the networks' weights and pixel statistics, by name.
    """

    path: Path
    network: str
    classes: tuple[str, ...]
    image_shape: Shape
    flip: bool
    outputs: str
    prefixes: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    def members(self, network: str | torch.nn.Module | None, *, trust_code: bool) -> list[tuple[Normalize, Split]]:
        """Build the networks again and give them their weights.

        Args:
            network: what they are; None for what the file says.
            trust_code: whether the file may name a function to import, or a network to ask a hub for.

        Raises:
            InputError: the file names code that is not trusted, a module that nobody can rebuild, or weights that do
                not fit.
        """
        if network is None and fetches_or_runs(without_weights(self.network)) and not trust_code:
            raise InputError(
                f"{self.path} asks to run code that is not in it: its network is made by {self.network}. "
                "If you trust the file, load it with trust_code=True."
            )
        what = without_weights(self.network) if network is None else network
        height, width, channels = self.image_shape
        outputs = _WIDTHS[self.outputs] or len(self.classes)
        pairs = []
        for prefix in self.prefixes:
            try:
                parts = load_network(what, classes=outputs, channels=channels, seed=0, size=(height, width))
            except UnknownName as reason:
                if network is not None:
                    raise
                raise InputError(
                    f"the network in {self.path} was a module of your own ({what}), which no file can rebuild. "
                    "Give the module: load(..., network=...)."
                ) from reason
            statistics = dict.fromkeys(("mean", "deviation"), torch.zeros(channels, 1, 1))
            parts.load_state_dict(self._fitting(f"{prefix}{_NETWORK}.", parts.state_dict(), what))
            pairs.append((Normalize(**self._fitting(f"{prefix}{_NORMALIZE}.", statistics, what)), parts))
        return pairs

    def _fitting(self, prefix: str, wanted: Mapping[str, Tensor], what: object) -> dict[str, Tensor]:
        """The tensors under a prefix, without it, when they are those that are wanted."""
        found = {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}
        for name in [*wanted, *found]:
            theirs, ours = found.get(name), wanted.get(name)
            if theirs is None or ours is None or theirs.shape != ours.shape:
                shapes = ["none" if one is None else str(tuple(one.shape)) for one in (theirs, ours)]
                kind = what if isinstance(what, str) else type(what).__name__
                raise InputError(
                    f"the weights in {self.path} are not those of the network {kind}: "
                    f"of {prefix}{name}, the file has {shapes[0]}, the network {shapes[1]}."
                )
        return found


def save_model(path: Path, learner: Trained, pool: Pool) -> None:
    """Write a trained learner's networks and pixel statistics, and in the metadata what is needed to build them again.

    The same learner gives the same bytes.

    Args:
        path: the file.
        learner: what was trained.
        pool: what it was trained on: its class names and the shape of its images.

    Raises:
        InputError: the learner holds no network.
    """
    parts: dict[str, Any] = dict(learner.saved())
    prefixes = [name.removesuffix(_NETWORK) for name, part in parts.items() if isinstance(part, Split)]
    if not prefixes:
        raise InputError(f"{type(learner).__name__} has no Split among its saved parts: there is no network to save.")
    tensors = {
        f"{prefix}{part}.{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for prefix in prefixes
        for part in (_NETWORK, _NORMALIZE)
        for name, tensor in parts[f"{prefix}{part}"].state_dict().items()
    }
    config = dict(learner.config())
    about = {
        "format": _FORMAT,
        "network": config["network"],
        "classes": list(pool.classes),
        "image_shape": list(pool.image_shape),
        "flip": learner.flip,
        "outputs": getattr(learner, "outputs", "classes"),
        "prefixes": prefixes,
        "config": config,
    }
    path.write_bytes(save(tensors, {_KEY: json.dumps(about)}))  # the library's own writer hides why a disk refused


def read_model(path: Path) -> SavedModel:
    """Read what `save_model` wrote.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, or is no model of this library.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (OSError, SafetensorError) as reason:
        raise InputError(f"{path} cannot be read as a model: {reason}. Give a .safetensors file of a run.") from reason
    try:
        about = json.loads(metadata[_KEY]) if _KEY in metadata else _first_format(metadata)
        if about["format"] == HEAD_FORMAT:
            raise InputError(
                f"{path} is the head of a labelling run: it knows embeddings, and no images. Read its weight, bias, "
                "mean and scale with safetensors, or label with target network."
            )
        if about["format"] != _FORMAT:
            raise InputError(
                f"{path} has the format {about['format']!r}, this version reads {_FORMAT!r}. "
                "Load it with the version that wrote it."
            )
        height, width, channels = (int(side) for side in about["image_shape"])
        saved = SavedModel(
            path=path,
            network=str(about["network"]),
            classes=tuple(str(name) for name in about["classes"]),
            image_shape=(height, width, channels),
            flip=bool(about["flip"]),
            outputs=str(about.get("outputs", "classes")),
            prefixes=tuple(str(prefix) for prefix in about["prefixes"]),
            tensors=tensors,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as reason:
        if isinstance(reason, InputError):
            raise
        missing = (
            f"its metadata lacks {reason}" if isinstance(reason, KeyError) else f"its metadata is damaged: {reason}"
        )
        raise InputError(f"{path} is no model of this library: {missing}. Give a file that a run wrote.") from reason
    if saved.outputs not in _WIDTHS:
        raise InputError(f"{path} is a model of {saved.outputs!r}, which this version does not know. Update goodgrain.")
    if min(saved.image_shape) < 1 or channels not in (1, 3) or not saved.classes or not saved.prefixes:
        raise InputError(
            f"{path} is no model of this library: it speaks of {len(saved.classes)} classes, {len(saved.prefixes)} "
            f"networks and images of shape {saved.image_shape}. Give a file that a run wrote."
        )
    return saved


def _first_format(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The metadata of the first files, as it is written today."""
    config = json.loads(metadata["config"])
    same = {"network": config["network"], "flip": config["flip"], "prefixes": [""]}
    renamed = _FORMAT if metadata["format"] == _FIRST_FORMAT else metadata["format"]
    return {**same, "format": renamed, **{name: json.loads(metadata[name]) for name in ("classes", "image_shape")}}
