"""What a layout finds on disk before any image is decoded."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from goodgrain.data.images import ImageSource
from goodgrain.data.pool import OOD, UNLABELED
from goodgrain.data.read.boxes import PixelBoxes
from goodgrain.errors import InputError

Label = int | str | None  # None: the row has no label
Labeled = bool | Literal["partly"]  # whether each image needs a label, none does, or those count that are there

_OPEN: dict[str, Label] = {str(UNLABELED): UNLABELED, str(OOD): OOD}
_MOST_DIGITS = 18  # of an int64; longer numbers are names

ID_COLUMNS = ("id", "index", "file", "filename", "file_name", "image_id", "path", "image")


@dataclass(frozen=True)
class Listing:
    """The rows of a dataset, in its own order.

    Args:
        ids: n names, each once.
        source: the n images, not decoded yet.
        labels: n labels as they stand in the dataset; none where the dataset has no labels.
        clean_labels: likewise, the truth where the dataset states it.
        classes: their names, where the dataset states them.
        problems: row -> why it cannot be used, for what is known without decoding.
        boxes: one per image, where the dataset states them.
    """

    ids: Sequence[str]
    source: ImageSource
    labels: Sequence[Label] | None
    clean_labels: Sequence[Label] | None = None
    classes: tuple[str, ...] | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    boxes: PixelBoxes | None = None


def check_unique(ids: Sequence[str], where: str) -> None:
    """Refuse ids that stand for two rows."""
    if len(set(ids)) != len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise InputError(f"{name!r} comes {count} times in {where}. Every image needs an id of its own.")


def find_column(columns: Sequence[str], known: Sequence[str]) -> str | None:
    """The first of the known names that a table has, whatever its case."""
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    return next((by_name[name] for name in known if name in by_name), None)


def check_column(column: str, columns: Sequence[str], where: str) -> str:
    """A column that was asked for by name, or a sentence that lists what is there."""
    if column not in columns:
        raise InputError(f"{where} has no column {column!r}. Its columns are {', '.join(columns)}.")
    return column


def check_split(split: str | None, known: Sequence[str], folder: Path) -> str:
    """A split that was asked for, "train" without one, or a sentence that lists what is there."""
    chosen = split or "train"
    if chosen not in known:
        raise InputError(f"{folder} holds the splits {', '.join(known)}. Name one of them: '{folder.name}#SPLIT'.")
    return chosen


def read_csv(path: Path) -> dict[str, list[str]]:
    """Columns of a CSV file with a header, as stripped strings; rows that are too short are filled with "".

    Raises:
        InputError: no such file, not UTF-8, no header, or damaged.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise InputError(f"{path} cannot be read as a CSV file in UTF-8: {reason}.") from reason
    if len(rows) < 2:
        raise InputError(f"{path} is empty: a line with column names and one line per image are needed.")
    header = [name.strip() for name in rows[0]]
    if len(set(header)) != len(header):
        raise InputError(f"{path} names a column twice: {', '.join(header)}.")
    return {
        name: [row[place].strip() if place < len(row) else "" for row in rows[1:]] for place, name in enumerate(header)
    }


def plain_labels(values: Sequence[object], where: str) -> list[Label]:
    """Labels as int, str or None: whole floats and strings that are all numbers become int, "" and NaN None.

    Among names, -1 and -2 alone are numbers, as in a text file they could not be written in another way.

    Raises:
        InputError: a label that is neither a whole number nor a name.
    """
    labels = [_plain(value, where) for value in values]
    names = [label for label in labels if isinstance(label, str)]
    if all(_is_integer(name) for name in names):
        return [None if label is None else int(label) for label in labels]
    return [_OPEN.get(label, label) if isinstance(label, str) else label for label in labels]


def _plain(value: object, where: str) -> Label:
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    if value is None or (isinstance(value, str) and value == ""):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise InputError(f"{where} holds {value!r}; a label should be a class name or a whole number.")


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
