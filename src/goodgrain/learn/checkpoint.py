"""Checkpoints: a training that was killed goes on from its last whole epoch, and never from someone else's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.files import whole_file

_FORMAT = "goodgrain-checkpoint-1"


def stamp(pool: Pool, *, seed: int, epochs: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a training is recognised by: seed, epochs, the learner's config, and the pool's ids, labels and classes."""
    digest = hashlib.sha256()
    for name in pool.ids.tolist():
        digest.update(repr(name).encode())
    digest.update(pool.labels.tobytes())
    digest.update(repr((pool.classes, pool.image_shape)).encode())
    return {"seed": seed, "epochs": epochs, **config, "pool": digest.hexdigest()}


def write(path: Path, mark: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Put tensors and plain values into a file that is there whole or not at all.

    Args:
        path: the file; its folder is made where missing.
        mark: the training's stamp.
        content: nested dicts and lists of tensors and plain values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # torch's own writer hides why a disk refused
    torch.save({"format": _FORMAT, "stamp": dict(mark), "content": dict(content)}, buffer)
    with whole_file(path) as part:
        part.write_bytes(buffer.getbuffer())


def read(path: Path, mark: Mapping[str, Any]) -> dict[str, Any] | None:
    """The content of a checkpoint, or None where there is none yet.

    Args:
        path: the file.
        mark: the stamp of the training that wants to go on.

    Raises:
        InputError: the file is no checkpoint, or one of another training.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        known = saved["format"] == _FORMAT
    except Exception as reason:  # a foreign file can fail in any way
        raise InputError(f"{path} is no checkpoint of this library. Remove it or give another path.") from reason
    if not known:
        raise InputError(f"{path} was written by another version. Remove it or give another path.")
    theirs: dict[str, Any] = saved["stamp"]
    for name in [*mark, *theirs]:
        if name not in mark or name not in theirs or theirs[name] != mark[name]:
            difference = (
                "its images or labels are others"
                if name == "pool"
                else f"there, {name} is {theirs.get(name)!r}; here, {mark.get(name)!r}"
            )
            raise InputError(
                f"{path} belongs to another training: {difference}. Remove it to start over, or give another path."
            )
    content: dict[str, Any] = saved["content"]
    return content
