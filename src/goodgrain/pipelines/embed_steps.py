"""The steps of an embedding run: parts that are written whole, and the observations that they make together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from goodgrain.checks import Floats
from goodgrain.data.views import strong, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.streams import stream_seed
from goodgrain.models.encoders import Encoded, Encoder, Examples
from goodgrain.observations import Observations
from goodgrain.pipelines.embed_config import EmbedConfig
from goodgrain.pipelines.embed_inputs import Source
from goodgrain.pipelines.embed_probe import check_probe, out_of_fold
from goodgrain.pipelines.monitor import Monitor
from goodgrain.run import RunFolder

DONE = "schema.json"  # the file that makes a folder one of observations; it comes last

_PARTS = "parts"
_PART = 1024  # examples, about: what a kill may cost

Part = dict[str, NDArray[np.float32]]


def embed_parts(run: RunFolder, source: Source, encoder: Encoder, asked: EmbedConfig, watch: Monitor) -> None:
    """Encode all parts that are not there yet."""
    n = len(source)
    view = None if source.size is None or not asked.views else strong(source.size, flip=asked.flip)
    for start in range(0, n, _rows(asked)):
        stop = min(start + _rows(asked), n)
        name = _name(start, asked)
        if not run.has(name):
            batches = [
                _batch(source, encoder, asked, view, first, min(first + asked.batch_size, stop))
                for first in range(start, stop, asked.batch_size)
            ]
            run.write(name, lambda path: path.write_bytes(save(_joined(batches))))  # noqa: B023
        if stop * 10 // n > start * 10 // n:
            watch.stage(f"embedded {stop:,} of {n:,}")


def assemble(run: RunFolder, source: Source, asked: EmbedConfig, watch: Monitor) -> None:
    """Join the parts, add labels, probabilities of a probe and losses, and let the observations appear."""
    names = [run.path(_name(start, asked)) for start in range(0, len(source), _rows(asked))]
    columns: dict[str, Any] = _merged(names, len(source))
    if source.labels is not None:
        columns["labels"] = source.labels
    if _wants_probe(asked, source, columns, watch):
        watch.stage("asking a linear probe for probabilities")
        others = [columns["strong_features"]] if asked.views else []
        made = out_of_fold(
            columns["features"], columns["labels"], classes=len(source.classes), seed=asked.seed, others=others
        )
        columns |= dict(zip(("probabilities", "strong_probabilities"), made, strict=False))
    if "labels" in columns and "probabilities" in columns:
        given = columns["probabilities"][np.arange(len(source)), columns["labels"]]
        columns["losses"] = -np.log(np.maximum(given, np.finfo(np.float32).tiny))
    shutil.rmtree(run.path(f"{_PARTS}/whole"), ignore_errors=True)  # what a kill left of it may be no observations
    made_at = Observations(ids=source.ids, **columns).save(run.path(f"{_PARTS}/whole"))
    for file in sorted(made_at.iterdir(), key=lambda file: file.name == DONE):
        os.replace(file, run.path(file.name))


def drop_parts(run: RunFolder) -> None:
    """Remove what the observations were made from."""
    shutil.rmtree(run.folder / _PARTS, ignore_errors=True)


def _rows(asked: EmbedConfig) -> int:
    return asked.batch_size * max(1, _PART // asked.batch_size)


def _name(start: int, asked: EmbedConfig) -> str:
    return f"{_PARTS}/{start // _rows(asked):07}.safetensors"


def _batch(
    source: Source,
    encoder: Encoder,
    asked: EmbedConfig,
    view: Callable[[torch.Tensor, int], torch.Tensor] | None,
    start: int,
    stop: int,
) -> Part:
    examples = source.take(start, stop)
    seen = [_encoded(encoder, examples, source, start)]
    if view is not None:
        pixels = to_pixels(np.asarray(examples))
        for number in range(asked.views):
            changed = view(pixels.clone(), stream_seed(asked.seed, "strong", number, start))
            images = changed.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
            seen.append(_encoded(encoder, images, source, start))
    part = _columns("", seen[:1], asked)
    return part | (_columns("strong_", seen[1:], asked) if view is not None else {})


def _encoded(encoder: Encoder, examples: Examples, source: Source, start: int) -> Encoded:
    encoded = encoder(examples)
    if not np.isfinite(encoded.features).all():
        bad = np.flatnonzero(~np.isfinite(encoded.features).all(axis=1))
        raise InputError(
            f"the model's features are NaN or infinite for {len(bad)} of {len(examples)} examples from "
            f"{str(source.ids[start])!r} on, the first is {str(source.ids[start + bad[0]])!r}. Remove these, or give "
            "another model."
        )
    wanted = None if encoded.probabilities is None else _known(encoded.probabilities, encoder.classes, source.classes)
    return Encoded(encoded.features, wanted)


def _columns(prefix: str, seen: list[Encoded], asked: EmbedConfig) -> Part:
    """Means over the views."""
    features = _mean([one.features for one in seen])
    if asked.normalize:
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        features /= np.where(lengths > 0, lengths, 1)
    part = {f"{prefix}features": features}
    given = [one.probabilities for one in seen if one.probabilities is not None]
    if given and not asked.probe:
        part[f"{prefix}probabilities"] = _mean(given)
    return part


def _mean(views: list[Floats]) -> NDArray[np.float32]:
    return np.asarray(np.mean(views, axis=0), dtype=np.float32)


def _known(probabilities: Floats, names: tuple[str, ...] | None, classes: tuple[str, ...]) -> Floats | None:
    """The model's probabilities of the data's classes, given that it is one of them; None where it knows others."""
    if not classes:
        return probabilities
    if names is not None and set(classes) <= set(names):
        among = probabilities[:, [names.index(name) for name in classes]]
        total = among.sum(axis=1, keepdims=True)
        return np.where(total > 0, among / np.where(total > 0, total, 1), 1 / len(classes))
    unnamed = names is None or all(name.isdecimal() for name in classes)
    return probabilities if unnamed and probabilities.shape[1] == len(classes) else None


def _wants_probe(asked: EmbedConfig, source: Source, columns: dict[str, Any], watch: Monitor) -> bool:
    if asked.probe is not None or "probabilities" in columns:
        return bool(asked.probe)
    try:
        check_probe(source.labels)
    except InputError as reason:
        watch.stage(f"there are no probabilities: {reason}")
        return False
    return True


def _joined(batches: list[Part]) -> Part:
    _check_alike(batches)
    return {name: np.ascontiguousarray(np.concatenate([batch[name] for batch in batches])) for name in batches[0]}


def _merged(parts: list[Path], n: int) -> dict[str, NDArray[np.float32]]:
    """Each column of all parts, mapped into memory from a file of its own."""
    first = load_file(parts[0])
    merged = {}
    for name in sorted(first):
        target = parts[0].with_name(f"{name}.npy")
        with target.open("wb") as file:
            shape = (n, first[name].shape[1])
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for part in parts:
                there = load_file(part)
                _check_alike([first, there])
                file.write(there[name].tobytes())
        merged[name] = np.load(target, mmap_mode="r")
    return merged


def _check_alike(parts: list[Part]) -> None:
    forms = {tuple(sorted((name, values.shape[1]) for name, values in part.items())) for part in parts}
    if len(forms) > 1:
        words = " and ".join(", ".join(f"{name} ({width})" for name, width in form) for form in sorted(forms))
        raise InputError(f"the model returns now {words}: the same columns are needed for every batch.")
