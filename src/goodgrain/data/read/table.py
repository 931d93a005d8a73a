"""A folder of images with a CSV file that labels them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from goodgrain.data.images import FileSource
from goodgrain.data.read.boxes import COLUMNS, PixelBoxes, boxes_of_corners
from goodgrain.data.read.folder import leads_inside
from goodgrain.data.read.listing import (
    Labeled,
    Listing,
    check_column,
    check_unique,
    find_column,
    plain_labels,
    read_csv,
)
from goodgrain.errors import InputError

FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")
LABEL_COLUMNS = ("label", "class")


def list_csv(
    path: Path,
    *,
    label_column: str | None,
    image_column: str | None,
    id_column: str | None,
    labeled: Labeled,
) -> Listing:
    """One row per line of the table; files are relative to the table's folder, and ids are the file entries.

    Columns x0, y0, x1 and y1 are boxes; a line that leaves them empty has none.

    Raises:
        InputError: no column of files or labels, a file that is listed twice, or a box that is no numbers.
    """
    table = read_csv(path)
    columns = list(table)
    file_column = _column(image_column, FILE_COLUMNS, columns, path, "files")
    files = table[file_column]
    ids = files if id_column is None else table[check_column(id_column, columns, path.name)]
    ids = [name or f"{path.name}, row {row}" for row, name in enumerate(ids, start=1)]
    check_unique(ids, path.name)
    labels = None
    if label_column is not None or labeled is True or (labeled and find_column(columns, LABEL_COLUMNS)):
        labels = plain_labels(table[_column(label_column, LABEL_COLUMNS, columns, path, "labels")], path.name)
    clean_column = find_column(columns, ("clean_label",))
    clean = None if clean_column is None else plain_labels(table[clean_column], path.name)
    root = path.parent
    problems = {row: problem for row, file in enumerate(files) if (problem := _problem(root, file))}
    return Listing(ids, FileSource(root, tuple(files)), labels, clean, problems=problems, boxes=_boxes(table, path))


def _column(asked: str | None, known: tuple[str, ...], columns: list[str], path: Path, what: str) -> str:
    if asked is not None:
        return check_column(asked, columns, path.name)
    found = find_column(columns, known)
    if found is None:
        raise InputError(
            f"{path.name} has no column of {what} ({' or '.join(known)}). Its columns are {', '.join(columns)}."
        )
    return found


def _boxes(table: dict[str, list[str]], path: Path) -> PixelBoxes | None:
    columns = [name for known in COLUMNS if (name := find_column(list(table), (known,))) is not None]
    if len(columns) < len(COLUMNS):
        return None
    corners = np.empty((len(table[columns[0]]), len(columns)))
    for place, name in enumerate(columns):
        for row, text in enumerate(table[name]):
            try:
                corners[row, place] = float(text or "nan")
            except ValueError as reason:
                raise InputError(f"{path.name}, row {row + 1}: {name} should be a number; {text!r} came.") from reason
    return boxes_of_corners(corners)


def _problem(root: Path, file: str) -> str | None:
    if not file:
        return "the line names no file"
    if "\0" in file or not leads_inside(root, root / file):
        return "the file is outside the folder"
    if not os.path.isfile(root / file):  # unlike Path.is_file, False for names that are too long
        return "the file is missing"
    return None
