"""Labels become positions into the classes, from the dataset itself or from a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from goodgrain.checks import Positions
from goodgrain.data.pool import OOD, UNLABELED
from goodgrain.data.read.label_arrays import column_values, read_npy, read_torch
from goodgrain.data.read.listing import ID_COLUMNS, Label, check_column, check_unique, plain_labels, read_csv
from goodgrain.data.read.parquet import class_names, named_values, read_schema, read_table
from goodgrain.errors import InputError, UnknownName

MISSING = -3  # where a label should be and is not
TRUTHS = ("clean_label", "clean_coarse_label")  # of fine and of coarse classes

Column = Callable[[str], Sequence[object]]  # the values of a column by its name


def read_labels(
    spec: str | Path, ids: Sequence[str], problems: Mapping[int, str], own: Sequence[Label] | None = None
) -> list[Label]:
    """One label per image out of "FILE" or "FILE:COLUMN" (CSV, Parquet, NPY or PT).

    Rows are matched by a column of ids where the file has one that knows the images, else by their order. In the
    latter case the file's clean labels, where it has them, tell whether the order can be right.

    Args:
        spec: the file and, after a colon, the column; not needed where only one column can be meant.
        ids: the n images of the dataset.
        problems: rows of the dataset that are not used and need no label.
        own: the labels that the dataset itself has.

    Raises:
        InputError: no such file or column, ids that match in part only, another number of rows, or another order.
    """
    path, column = _parse(spec)
    columns, values_of = _open_table(path)
    keys = [name for name in columns if name.lower() in ID_COLUMNS]
    column = _choose_column(columns, column, keys, path)
    values = plain_labels(values_of(column), f"column {column!r} of {path.name}")
    for key in keys:
        if key == column:
            continue
        names = [str(name) for name in values_of(key)]
        place = {name: row for row, name in enumerate(names)}
        known = [name in place for name in ids]
        if not any(known):
            continue
        check_unique(names, f"column {key!r} of {path.name}")
        lost = [name for row, name in enumerate(ids) if not known[row] and row not in problems]
        if lost:
            raise InputError(
                f"{path.name} has no label for {len(lost)} of the {len(ids)} images, the first is {lost[0]!r}: its "
                f"column {key!r} names only some of them. Add the missing rows."
            )
        return [values[place[name]] if known[row] else None for row, name in enumerate(ids)]
    if len(values) != len(ids):
        raise InputError(
            f"{path.name} has {len(values)} labels for {len(ids)} images, and no column that holds the images' ids. "
            "Give one row per image in the same order, or add a column 'id'."
        )
    if own is not None:
        _check_order([values_of(name) for name in TRUTHS if name in columns], own, path)
    return values


def encode(
    labels: Sequence[Label], clean: Sequence[Label] | None, classes: tuple[str, ...] | None
) -> tuple[Positions, Positions | None, tuple[str, ...]]:
    """Labels as positions into the classes, MISSING where there is none.

    Names are looked up; integers are positions, unless the classes themselves are named by numbers. Where the classes
    are not stated, they are the sorted names, or all integers up to the largest one.

    Raises:
        InputError: a label outside the classes, or numbers on one side and names on the other.
        UnknownName: a name that is no class.
    """
    if classes is None:
        classes = _infer_classes([*labels, *(clean or [])], len(labels))
    known = _lookup(classes)
    given = _positions(labels, known, classes)
    truth = None if clean is None else _positions(clean, known, classes)
    if truth is not None:
        truth[truth == MISSING] = UNLABELED
    return given, truth, classes


def _infer_classes(labels: Sequence[Label], n: int) -> tuple[str, ...]:
    names = {label for label in labels if isinstance(label, str)}
    numbers = {label for label in labels if isinstance(label, int)} - {UNLABELED, OOD}
    if names and numbers:
        raise InputError(
            f"labels should be all names or all integers; there are {min(names)!r} and {min(numbers)}. Use one kind."
        )
    if names:
        return tuple(sorted(names))
    top = max(numbers, default=-1)
    if top >= n:
        raise InputError(f"label {top} cannot be a class of {n} images: labels should be 0..c-1. Are these ids?")
    return tuple(str(label) for label in range(top + 1))


def _lookup(classes: tuple[str, ...]) -> dict[Label, int]:
    by_name: dict[Label, int] = {name: place for place, name in enumerate(classes)}
    if all(name.isdecimal() for name in classes):  # folders 0, 1, ..., 10 sort as text: 10 is the name, not the place
        numbers: dict[Label, int] = {int(name): place for place, name in enumerate(classes)}
    else:
        numbers = {place: place for place in range(len(classes))}
    return {**by_name, **numbers, UNLABELED: UNLABELED, OOD: OOD, None: MISSING}


def _positions(labels: Sequence[Label], known: Mapping[Label, int], classes: tuple[str, ...]) -> Positions:
    try:
        return np.array([known[label] for label in labels], dtype=np.int64)
    except KeyError:
        wrong = [(row, label) for row, label in enumerate(labels) if label not in known]
    row, label = wrong[0]
    if isinstance(label, str):
        raise UnknownName("class", label, classes)
    raise InputError(
        f"labels should be 0..{len(classes) - 1} ({UNLABELED} is not labeled, {OOD} is out of distribution); "
        f"{len(wrong)} are not, the first is {label} at row {row}."
    )


def _parse(spec: str | Path) -> tuple[Path, str | None]:
    path = Path(spec)
    if path.is_file():
        return path, None
    name, colon, column = str(spec).rpartition(":")
    if colon and Path(name).is_file():
        return Path(name), column
    raise InputError(f"there is no label file {name or str(spec)}. Give FILE or FILE:COLUMN (CSV, Parquet, NPY or PT).")


def _open_table(path: Path) -> tuple[list[str], Column]:
    kind = path.suffix.lower()
    if kind == ".csv":
        table = read_csv(path)
        return list(table), table.__getitem__
    if kind == ".parquet":
        return read_schema(path).names, lambda name: _parquet_values(path, name)
    if kind in (".npy", ".pt", ".pth"):
        arrays = read_npy(path) if kind == ".npy" else read_torch(path)
        return list(arrays), lambda name: column_values(arrays, name, path)
    raise InputError(f"{path} is no label file: a .csv, .parquet, .npy or .pt file is needed.")


def _parquet_values(path: Path, column: str) -> Sequence[object]:
    return named_values(read_table(path, [column]).column(0).to_pylist(), class_names(read_schema(path), column))


def _check_order(truths: Sequence[Sequence[object]], own: Sequence[Label], path: Path) -> None:
    """Refuse a file whose true labels contradict the data's own: its rows are those of other images."""
    if not truths or not all(isinstance(label, int) for values in (own, *truths) for label in values):
        return
    lengths = {len(truth) for truth in truths} - {len(own)}
    if lengths:
        raise InputError(
            f"{path.name} has {lengths.pop()} clean labels for {len(own)} images. Give the file of this set."
        )
    different = min(sum(mine != theirs for mine, theirs in zip(own, truth, strict=True)) for truth in truths)
    if different > len(own) / 2:
        raise InputError(
            f"{path.name} follows another order than the images: its clean labels differ from the data's own in "
            f"{different} of {len(own)} rows. Give the file for this layout: of CIFAR-N the .pt file for CIFAR as "
            "published, as its .npy files follow TensorFlow."
        )


def _choose_column(columns: list[str], asked: str | None, keys: Sequence[str], path: Path) -> str:
    if asked is not None:
        return check_column(asked, columns, path.name)
    others = [name for name in columns if name not in keys]
    if len(others) == 1 or "label" in others:
        return "label" if "label" in others else others[0]
    raise InputError(f"{path.name} has the columns {', '.join(columns)}. Say which one: {path.name}:COLUMN.")
