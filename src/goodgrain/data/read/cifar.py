"""CIFAR-10 and CIFAR-100 as published: the Python version and the binary version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.data.images import ArraySource, Pixels
from goodgrain.data.read.file_lists import read_lines
from goodgrain.data.read.listing import Label, Listing, check_column, check_split, plain_labels
from goodgrain.data.read.plain_pickle import load_plain, names_of
from goodgrain.errors import InputError

_SIDE = 32
_IMAGE = 3 * _SIDE * _SIDE  # bytes: all red ones, row by row, then the green, then the blue


@dataclass(frozen=True)
class _Version:
    """The files of one version.

    Args:
        parts: split -> its files, in order.
        marks: groups of files; a folder that has all of one group holds this version.
        names: label column -> where the class names are: a key of `meta`, or a text file. The first is the default.
        meta: the pickle with the class names; None in the binary versions.
        record: the label bytes before each image, in the binary versions.
    """

    parts: dict[str, tuple[str, ...]]
    marks: tuple[tuple[str, ...], ...]
    names: dict[str, str]
    meta: str | None = None
    record: tuple[str, ...] = ()


_VERSIONS = (
    _Version(
        {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
        (("data_batch_1",), ("test_batch",)),
        {"labels": "label_names"},
        meta="batches.meta",
    ),
    _Version(
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
        (("data_batch_1.bin",), ("test_batch.bin",)),
        {"labels": "batches.meta.txt"},
        record=("labels",),
    ),
    _Version(
        {"train": ("train",), "test": ("test",)},
        (("train", "meta"), ("test", "meta")),
        {"fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"},
        meta="meta",
    ),
    _Version(
        {"train": ("train.bin",), "test": ("test.bin",)},
        (("train.bin",), ("test.bin",)),
        {"fine_labels": "fine_label_names.txt", "coarse_labels": "coarse_label_names.txt"},
        record=("coarse_labels", "fine_labels"),
    ),
)


def is_cifar(folder: Path) -> bool:
    """Whether a folder holds one of the versions."""
    return _version(folder) is not None


def list_cifar(folder: Path, split: str | None, *, label_column: str | None = None) -> Listing:
    """The images of one split in their published order; ids are the row numbers.

    Args:
        folder: `cifar-10-batches-py`, `cifar-10-batches-bin`, `cifar-100-python` or `cifar-100-binary`.
        split: train (the default) or test.
        label_column: of CIFAR-100: fine_labels (the default) or coarse_labels.

    Raises:
        InputError: a file is missing, cut off, holds images of another size, or asks for more than arrays.
    """
    version = _version(folder)
    assert version is not None
    column = next(iter(version.names))
    if label_column is not None:
        column = check_column(label_column, list(version.names), folder.name)
    parts = version.parts[check_split(split, list(version.parts), folder)]
    missing = [name for name in parts if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {', '.join(missing)}: {len(parts)} files make up this part. Unpack it again.")
    images, labels = [], []
    for name in parts:
        read = _read_records if version.record else _read_batch
        pixels, given = read(folder / name, column, version.record)
        images.append(pixels)
        labels += given
    planes = np.concatenate(images).reshape(-1, 3, _SIDE, _SIDE)
    return Listing(
        [str(row) for row in range(len(planes))],
        ArraySource(np.ascontiguousarray(planes.transpose(0, 2, 3, 1))),
        labels,
        classes=_class_names(folder, version, column),
    )


def _version(folder: Path) -> _Version | None:
    for version in _VERSIONS:
        if any(all((folder / name).is_file() for name in group) for group in version.marks):
            return version
    return None


def _read_batch(file: Path, column: str, _: Sequence[str]) -> tuple[Pixels, list[Label]]:
    """((n, 3072) pixels, n labels) of a pickled batch."""
    entries = _entries(file)
    for name in ("data", column):
        if name not in entries:
            raise InputError(f"{file.name} has no {name!r}. Its entries are {', '.join(map(str, entries))}.")
    data, labels = entries["data"], entries[column]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (_IMAGE,):
        found = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise InputError(
            f"'data' of {file.name} should be uint8 of shape (n, {_IMAGE}), one row per image of {_SIDE} x {_SIDE} "
            f"pixels in three colours; {found} came."
        )
    given = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(given, list) or len(given) != len(data):
        found = f"{len(given)} labels" if isinstance(given, list) else type(given).__name__
        raise InputError(
            f"{column!r} of {file.name} should hold one label for each of {len(data)} images; {found} came."
        )
    return data, plain_labels(given, f"{column!r} of {file.name}")


def _read_records(file: Path, column: str, record: Sequence[str]) -> tuple[Pixels, list[Label]]:
    """((n, 3072) pixels, n labels) of a binary file."""
    data = np.fromfile(file, dtype=np.uint8)
    length = len(record) + _IMAGE
    if len(data) == 0 or len(data) % length:
        raise InputError(
            f"{file.name} has {len(data)} bytes, which is no whole number of records: one takes {length}, "
            f"{len(record)} for the labels and 3 x {_SIDE} x {_SIDE} for the image. It is cut off, or of another size."
        )
    rows = data.reshape(-1, length)
    return rows[:, len(record) :], rows[:, record.index(column)].tolist()


def _class_names(folder: Path, version: _Version, column: str) -> tuple[str, ...] | None:
    stated = version.names[column]
    if version.meta is None:
        return tuple(read_lines(folder / stated)) if (folder / stated).is_file() else None
    if not (folder / version.meta).is_file():
        return None
    names = names_of(_entries(folder / version.meta).get(stated))
    if names is None:
        raise InputError(
            f"{version.meta} of {folder} should hold a list of class names under {stated!r}. Get it again."
        )
    return names


def _entries(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        entries = load_plain(opened, file.name, "a CIFAR file")
    if not isinstance(entries, dict):
        raise InputError(f"{file.name} should be a dictionary; {type(entries).__name__} came. Is it a CIFAR file?")
    return entries
