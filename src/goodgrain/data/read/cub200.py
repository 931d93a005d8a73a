"""CUB-200-2011 as published (Wah et al. 2011): photographs of birds with one box each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goodgrain.data.images import FileSource
from goodgrain.data.read.boxes import PixelBoxes
from goodgrain.data.read.file_lists import find_problems, read_lines
from goodgrain.data.read.listing import Listing, check_split, check_unique
from goodgrain.errors import InputError

_IMAGES, _LABELS, _SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
_CLASSES, _BOXES = "classes.txt", "bounding_boxes.txt"
_MARKS = {"train": "1", "test": "0"}


def is_cub200(folder: Path) -> bool:
    """Whether a folder holds the lists of images, of their labels, and of who is in which split."""
    return all((folder / name).is_file() for name in (_IMAGES, _LABELS, _SPLIT))


def list_cub200(folder: Path, split: str | None) -> Listing:
    """Images of the published split `train` (the default) or `test`, with their boxes where the list of boxes is there.

    Ids are the files as `images.txt` names them. Boxes are told as left, top, width and height in pixels.

    Raises:
        InputError: no such split, or a list that cannot be read or knows other images.
    """
    mark = _MARKS[check_split(split, list(_MARKS), folder)]
    files, marks = _table(folder / _IMAGES), _table(folder / _SPLIT)
    rows = [key for key in files if marks.get(key) == mark]
    unknown = next((key for key in files if marks.get(key) not in _MARKS.values()), None)
    if unknown is not None:
        raise InputError(f"{folder / _SPLIT} should say 1 or 0 for image {unknown}; {marks.get(unknown)!r} came.")
    names, classes = _table(folder / _LABELS), _table(folder / _CLASSES)
    for key in rows:
        if key in names and names[key] not in classes:
            raise InputError(f"{folder / _LABELS} has class {names[key]!r}, which {_CLASSES} does not know.")
    ids = [files[key] for key in rows]
    check_unique(ids, _IMAGES)
    root = folder / "images"
    return Listing(
        ids,
        FileSource(root, tuple(ids)),
        [classes[names[key]] if key in names else None for key in rows],
        classes=tuple(classes.values()),
        problems=find_problems(root, ids),
        boxes=_boxes(folder / _BOXES, rows) if (folder / _BOXES).is_file() else None,
    )


def _table(file: Path) -> dict[str, str]:
    """Number -> what stands behind it, line by line."""
    lines = [line.partition(" ") for line in read_lines(file)]
    bare = next((key for key, _, value in lines if not value), None)
    if bare is not None:
        raise InputError(f"{file} should hold lines that begin with a number and go on; {bare!r} came.")
    check_unique([key for key, _, _ in lines], file.name)
    return {key: value.strip() for key, _, value in lines}


def _boxes(file: Path, rows: list[str]) -> PixelBoxes:
    table = _table(file)
    lines: list[NDArray[np.float64]] = []
    for key in rows:
        told = table.get(key)
        try:
            numbers = np.full(4, np.nan) if told is None else np.array(told.split(), dtype=np.float64)
        except ValueError:
            numbers = np.empty(0)
        if numbers.shape != (4,):
            raise InputError(f"{file} should hold lines that read ID X Y WIDTH HEIGHT; {key} {told} came.")
        lines.append(numbers)
    x, y, width, height = np.array(lines).reshape(-1, 4).T
    return PixelBoxes(np.stack([x, y, x + width, y + height], axis=1))
