"""Embed: read, let any model look at every example, part by part, and keep what it saw as Observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from goodgrain.data.pool import Pool
from goodgrain.data.read import read
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.learner import Predictor
from goodgrain.metrics import accuracy
from goodgrain.observations import Observations
from goodgrain.pipelines.embed_config import EmbedConfig
from goodgrain.pipelines.embed_inputs import Source, holds_texts, of_pool, read_texts
from goodgrain.pipelines.embed_model import find_encoder, fingerprint_of, name_of
from goodgrain.pipelines.embed_probe import check_probe
from goodgrain.pipelines.embed_steps import DONE, assemble, drop_parts, embed_parts
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.prune_inputs import source_name
from goodgrain.run import RunFolder, check_outside


def embed(
    data: str | Path | Pool,
    *,
    model: str | Path | Predictor | Callable[[Any], Any],
    output: str | Path,
    labeled: bool = True,
    labels: str | None = None,
    clean_labels: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    image_size: int | None = None,
    max_bad: float = 0.01,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> Observations:
    """Let any model look at every example of a dataset, for `goodgrain.prune(observations=...)` and all selections.

    Works in parts that are written whole: a run that was stopped in any way continues when it is called again with the
    same arguments, and ends with the same result. Memory grows with a part, not with the dataset, but for a probe.

    Args:
        data: images (see `goodgrain.data.read`) or a pool, or a CSV, JSONL or Parquet table of texts.
        model: "hf:NAME", "timm:NAME", a folder with a saved model, a goodgrain run or .safetensors file,
            "package.module:function" (see `goodgrain.models.encoders.load_encoder`), such a function itself, or a
            trained learner.
        output: the folder of the observations.
        labeled: False for images of which labels are not looked at: a folder then needs no class folders.
        labels: "FILE[:COLUMN]" with labels that take the place of the data's own.
        clean_labels: "FILE[:COLUMN]" with true labels, for reporting only.
        text_column: makes a table one of texts; found by its name by default.
        label_column: where the readers cannot tell.
        image_column: likewise.
        id_column: likewise.
        image_size: pixels of a square; what the model expects by default.
        max_bad: the largest share of unreadable images that is put up with.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.
        **config: everything in `goodgrain.pipelines.embed_config.EmbedConfig`.

    Returns:
        ids and features, mapped into memory. Where every example has a label also labels; where the model or a probe
        gives them also probabilities; with both also losses; with `views` also the strong counterparts.

    Raises:
        InputError: anything about data, model or arguments that cannot work.
        UnknownName: an argument or a class that there is not.
        MissingExtra: the library that the model needs is not installed.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> pool = Pool.from_arrays(np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8), np.arange(20) % 2)
        >>> seen = embed(pool, model=lambda images: images.mean(axis=1)[..., 0], output=tempfile.mkdtemp())
        >>> seen.columns, seen.features.shape
        (('ids', 'labels', 'probabilities', 'features', 'losses'), (20, 8))
    """
    asked = _check_config(config)
    check_outside(output, data)
    watch = monitor or Silent()
    texts = not isinstance(data, Pool) and holds_texts(data, text_column)
    if texts and (asked.views or image_size or image_column or not labeled):
        raise InputError(
            "views, image_size, image_column and labeled are for images, but the data are texts. Leave them out."
        )
    watch.stage("loading the model")
    encoder = find_encoder(model, texts=texts, device=device)
    columns: dict[str, Any] = {
        "label_column": label_column,
        "id_column": id_column,
        "labels": labels,
        "clean_labels": clean_labels,
    }
    watch.stage(f"reading the {'texts' if texts else 'images'}")
    if isinstance(data, Pool):
        source = of_pool(data)
    elif texts:
        source = read_texts(data, text_column=text_column, **columns)
    else:
        size = image_size or encoder.image_size
        reading: dict[str, Any] = {"image_column": image_column, "image_size": size, "max_bad": max_bad, **columns}
        source = of_pool(read(data, labeled=labeled, **reading))
    if asked.probe:
        check_probe(source.labels)
    table = {
        "job": "embed",
        "data": source_name(data),
        "model": name_of(model),
        **columns,
        "text_column": text_column,
        "image_column": image_column,
        "image_size": image_size,
        "max_bad": max_bad,
        "classes": source.classes,
        "embed": asked.table(),
        "fingerprint": {"data": source.fingerprint, "model": fingerprint_of(model)},
    }
    if not labeled:
        table["labeled"] = False  # said only here: what was begun before this could be asked goes on
    with RunFolder(output, table) as run:
        if not run.has(DONE):
            run.log("started", n=len(source))
            embed_parts(run, source, encoder, asked, watch)
            assemble(run, source, asked, watch)
            run.log("finished")
        drop_parts(run)
    seen = Observations.read(output)
    watch.stage(_summary(seen, source))
    return seen


def _check_config(config: dict[str, Any]) -> EmbedConfig:
    known = EmbedConfig.__dataclass_fields__
    for name in config:
        if name not in known:
            raise UnknownName("argument of embed", name, known)
    return EmbedConfig(**config)


def _summary(seen: Observations, source: Source) -> str:
    assert seen.features is not None
    words = f"embedded {len(seen):,} examples, {seen.features.shape[1]:,} numbers each"
    if seen.probabilities is None or seen.labels is None:
        return words
    predicted = seen.probabilities.argmax(axis=1)
    words += f"; predictions agree with {accuracy(predicted, seen.labels):.1%} of the labels"
    if source.clean_labels is None or not (known := source.clean_labels >= 0).any():
        return words
    return words + f", and with {accuracy(predicted[known], source.clean_labels[known]):.1%} of the clean ones"
