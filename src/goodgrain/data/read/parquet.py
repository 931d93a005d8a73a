"""Parquet files with image bytes and labels, as Hugging Face datasets export them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goodgrain.data.images import EncodedSource
from goodgrain.data.read.boxes import COLUMNS, PixelBoxes, boxes_of_corners
from goodgrain.data.read.folder import SPLITS
from goodgrain.data.read.listing import (
    ID_COLUMNS,
    Labeled,
    Listing,
    check_column,
    check_unique,
    find_column,
    plain_labels,
)
from goodgrain.errors import InputError

LABEL_COLUMNS = ("label", "labels", "class", "target", "y", "fine_label")
IMAGE_COLUMNS = ("image", "img", "image_jpeg", "image_png", "picture")

_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d+)-of-(?P<count>\d+)")


def list_parquet(
    files: Sequence[Path],
    *,
    label_column: str | None,
    image_column: str | None,
    id_column: str | None,
    labeled: Labeled,
) -> Listing:
    """The rows of some files, one after the other; image bytes are kept encoded.

    Ids come from an id or index column where there is one without gaps and repeats, else they are "file.parquet:row".
    Columns x0, y0, x1 and y1 of numbers are boxes; a row without them has none.

    Raises:
        InputError: a file that cannot be read, files that differ in their columns, or columns that cannot be told.
    """
    schema = read_schema(files[0])
    names = schema.names
    where = files[0].name
    image = _image_column(schema, where) if image_column is None else check_column(image_column, names, where)
    if not _holds_images(schema.field(image).type):
        raise InputError(f"column {image!r} of {where} holds {schema.field(image).type}, not encoded images.")
    wanted = [image]
    label = None
    if label_column is not None or labeled is True or (labeled and find_column(names, LABEL_COLUMNS)):
        label = _label_column(schema, where) if label_column is None else check_column(label_column, names, where)
        wanted.append(label)
    named = label or find_column(names, LABEL_COLUMNS)  # labels from elsewhere are still positions into these classes
    clean = find_column(names, ("clean_label",))
    id_name = find_column(names, ID_COLUMNS) if id_column is None else check_column(id_column, names, where)
    if id_name == image:
        id_name = None
    corners = _box_columns(schema)
    wanted += [name for name in (clean, id_name, *corners) if name is not None and name not in wanted]
    table = _read(files, wanted)
    classes = None if named is None else class_names(schema, named)
    return Listing(
        _ids(table, id_name, files, demanded=id_column is not None),
        EncodedSource(_bytes(table.column(image))),
        None if label is None else plain_labels(table.column(label).to_pylist(), f"column {label!r}"),
        None if clean is None else _clean_labels(table, clean, schema, classes),
        classes=classes,
        boxes=_boxes(table, corners) if corners else None,
    )


def choose_files(folder: Path, split: str | None) -> list[Path]:
    """The Parquet files of a folder (or of its folder `data`) that belong to one split; none where it has none.

    Raises:
        InputError: no such split, several splits and none named "train", or shards that are missing.
    """
    home = folder if any(_parquet_files(folder)) else folder / "data"
    by_split: dict[str, list[Path]] = {}
    for file in _parquet_files(home):
        by_split.setdefault(_split(file), []).append(file)
    if not by_split:
        return []
    chosen = split or ("train" if "train" in by_split else "")
    if not split and len(by_split) == 1:
        chosen = next(iter(by_split))
    if chosen not in by_split:
        known = ", ".join(sorted(name or "(other files)" for name in by_split))
        raise InputError(f"{folder} holds the splits {known}. Name one of them: '{folder.name}#SPLIT'.")
    files = by_split[chosen]
    shard = _SHARD.fullmatch(files[0].stem)
    if shard and len(files) != int(shard["count"]):
        raise InputError(f"{home} has {len(files)} of the {int(shard['count'])} files of {shard['split']!r}.")
    return files


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Class names that Hugging Face datasets leave in the schema; None without them, or where they are damaged."""
    try:
        stated = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        names = tuple(str(name) for name in stated["names"])
    except (KeyError, TypeError, ValueError):
        return None
    return names or None


def named_values(values: Sequence[object], names: Sequence[str] | None) -> list[object]:
    """Integers that stand for names, by a column's own order, as these names; everything else as it is."""
    known = names or ()
    return [known[value] if isinstance(value, int) and 0 <= value < len(known) else value for value in values]


def read_schema(file: Path) -> pa.Schema:
    """The columns of a Parquet file, or an InputError."""
    try:
        schema: pa.Schema = pq.read_schema(file)
        _ = schema.names  # decoded here and not before
    except (OSError, UnicodeDecodeError, pa.ArrowException) as reason:
        raise InputError(f"{file} cannot be read as Parquet: {reason}.") from reason
    return schema


def read_table(file: Path, columns: list[str] | None = None) -> pa.Table:
    """Some columns of one Parquet file, or an InputError."""
    try:
        table = pq.ParquetFile(file, memory_map=True).read(columns=columns)
        table.validate(full=True)  # text that is not UTF-8
    except (OSError, pa.ArrowException) as reason:
        raise InputError(f"{file} cannot be read as Parquet: {reason}.") from reason
    return table


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix.lower() == ".parquet" and file.name[0] != ".")


def _split(file: Path) -> str:
    shard = _SHARD.fullmatch(file.stem)
    if shard:
        return shard["split"]
    return file.stem if file.stem.lower() in SPLITS else ""


def _read(files: Sequence[Path], columns: list[str]) -> pa.Table:
    parts = []
    for file in files:
        missing = [column for column in columns if column not in read_schema(file).names]
        if missing:
            raise InputError(f"{file.name} has no column {missing[0]!r}, but {files[0].name} has.")
        parts.append(read_table(file, columns).select(columns).replace_schema_metadata(None))
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as reason:
        raise InputError(f"the columns of {files[0].name} and its neighbours differ in type: {reason}.") from reason


def _clean_labels(
    table: pa.Table, column: str, schema: pa.Schema, classes: Sequence[str] | None
) -> Sequence[int | str | None]:
    """True labels; by name where the column orders the classes in its own way."""
    values: list[object] = table.column(column).to_pylist()
    names = None if classes is None else class_names(schema, column)
    return plain_labels(named_values(values, names), f"column {column!r}")


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_bytes(kind.field(place).type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _image_column(schema: pa.Schema, where: str) -> str:
    found = [name for name in schema.names if _holds_images(schema.field(name).type)]
    named = find_column(found, IMAGE_COLUMNS)
    if len(found) == 1:
        return found[0]
    if named is not None:
        return named
    if found:
        raise InputError(f"{where} has several columns of bytes: {', '.join(found)}. Say which with image_column.")
    raise InputError(f"{where} has no column of encoded images (binary). Its columns are {', '.join(schema.names)}.")


def _box_columns(schema: pa.Schema) -> list[str]:
    """The four columns of boxes, or none of them."""
    found = [find_column(schema.names, (name,)) for name in COLUMNS]
    names = [name for name in found if name is not None and _is_number(schema.field(name).type)]
    return names if len(names) == len(COLUMNS) else []


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _boxes(table: pa.Table, columns: Sequence[str]) -> PixelBoxes:
    corners = [table.column(name).cast(pa.float64()).to_numpy() for name in columns]  # NaN for a missing value
    return boxes_of_corners(np.stack(corners, axis=1))


def _label_column(schema: pa.Schema, where: str) -> str:
    found = [name for name in schema.names if name.lower() in LABEL_COLUMNS]
    if len(found) == 1 or "label" in found:
        return "label" if "label" in found else found[0]
    if found:
        raise InputError(f"{where} has several label columns: {', '.join(found)}. Say which with label_column.")
    raise InputError(
        f"{where} has no label column ({', '.join(LABEL_COLUMNS)}). Its columns are {', '.join(schema.names)}; "
        "say which with label_column."
    )


def _ids(table: pa.Table, column: str | None, files: Sequence[Path], *, demanded: bool) -> list[str]:
    if column is not None:
        values = cast("list[Any]", table.column(column).to_pylist())
        names = [str(value) for value in values]
        usable = None not in values and isinstance(values[0] if values else "", int | str)
        if demanded:
            if not usable:
                raise InputError(f"column {column!r} cannot give ids: it has gaps, or neither numbers nor text.")
            check_unique(names, f"column {column!r}")
        if usable and len(set(names)) == len(names):
            return names
    rows = [(file.name, pq.read_metadata(file).num_rows) for file in files]
    return [f"{name}:{row}" for name, count in rows for row in range(count)]


def _bytes(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    if pa.types.is_struct(column.type):
        return cast("pa.ChunkedArray[Any]", pc.struct_field(column, "bytes"))
    return column
