"""What comes into an embedding run: images or a table of texts, with ids and labels, handed out in batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.data.read.labels import encode, read_labels
from goodgrain.data.read.listing import (
    ID_COLUMNS,
    check_column,
    check_unique,
    find_column,
    plain_labels,
    read_csv,
)
from goodgrain.data.read.parquet import LABEL_COLUMNS, class_names, read_schema, read_table
from goodgrain.data.read.table import FILE_COLUMNS
from goodgrain.errors import InputError
from goodgrain.models.encoders import Examples

TEXT_COLUMNS = ("text", "sentence", "content", "instruction", "prompt", "question", "review", "document")

_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, eq=False)
class Source:
    """Examples with ids and labels.

    Args:
        ids: (n,) each once.
        labels: (n,) classes; None unless every example has one.
        clean_labels: (n,) the truth where it is known, or a negative number; for reporting only.
        classes: their names.
        take: (start, stop) -> the examples between.
        fingerprint: a sha256 of ids, labels, classes and examples.
        size: (height, width) of images; None for texts.
    """

    ids: NDArray[Any]
    labels: Positions | None
    clean_labels: Positions | None
    classes: tuple[str, ...]
    take: Callable[[int, int], Examples]
    fingerprint: str
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.ids)


def of_pool(pool: Pool) -> Source:
    """The images of a pool."""
    return Source(
        pool.ids,
        _complete(pool.labels),
        pool.clean_labels,
        pool.classes,
        lambda start, stop: pool.images(np.arange(start, stop)),
        pool.fingerprint(),
        (pool.image_shape[0], pool.image_shape[1]),
    )


def holds_texts(path: str | Path, text_column: str | None) -> bool:
    """Whether a path names a table of texts: it was said so, or the table has texts and neither images nor files."""
    table = Path(path)
    kind = table.suffix.lower()
    if text_column is not None or kind in _LINES:
        return True
    if not table.is_file() or kind not in (".csv", ".parquet"):
        return False
    columns = list(read_csv(table)) if kind == ".csv" else read_schema(table).names
    return find_column(columns, TEXT_COLUMNS) is not None and find_column(columns, FILE_COLUMNS) is None


def read_texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    labels: str | None = None,
    clean_labels: str | None = None,
) -> Source:
    """The texts of a CSV, JSONL or Parquet table; without a column of ids, rows are numbered.

    Args:
        path: the table.
        text_column: found by its name by default.
        label_column: likewise; a table may have none.
        id_column: likewise.
        labels: "FILE[:COLUMN]" with labels that take the place of the table's own.
        clean_labels: "FILE[:COLUMN]" with true labels.

    Raises:
        InputError: no such table or column, rows without text, ids that repeat, or labels that are no classes.
    """
    table = _Table(Path(path))
    texts = table.column(table.find(text_column, TEXT_COLUMNS, "texts"))
    empty = [row for row, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if empty:
        raise InputError(
            f"{table.name} has {len(empty)} rows without text, the first is row {empty[0]}. Remove or fill them."
        )
    ids = [str(value) for value in _ids(table, id_column, len(texts))]
    named = label_column or find_column(table.columns, LABEL_COLUMNS)
    given = None
    if labels is not None:
        given = read_labels(labels, ids, {})
    elif named is not None:
        given = plain_labels(table.column(named), f"column {named!r} of {table.name}")
    clean = None if clean_labels is None else read_labels(clean_labels, ids, {})
    positions, truth = None, None
    classes: tuple[str, ...] = ()
    if given is not None:
        positions, truth, classes = encode(given, clean, table.classes(named))
    stated = json.dumps([ids, texts, list(classes), [] if positions is None else positions.tolist()])
    return Source(
        np.array(ids, dtype=np.str_),
        _complete(positions),
        truth,
        classes,
        lambda start, stop: texts[start:stop],
        hashlib.sha256(stated.encode()).hexdigest(),
    )


def _complete(labels: Positions | None) -> Positions | None:
    """Labels where every example has a class, else none."""
    return labels if labels is not None and bool((labels >= 0).all()) else None


class _Table:
    """A table whose columns are read by name."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise InputError(f"{path} is a folder. For texts give one CSV, JSONL or Parquet file in it.")
        if not path.is_file():
            raise InputError(f"{path} does not exist. Give a CSV, JSONL or Parquet file with a column of texts.")
        self.path, self.name, self._kind = path, path.name, path.suffix.lower()
        self._rows: dict[str, Any] = {}
        if self._kind == ".parquet":
            self.columns: list[str] = list(read_schema(path).names)
            return
        if self._kind in _LINES:
            self._rows = _read_lines(path)
        elif self._kind == ".csv":
            self._rows = dict(read_csv(path))
        else:
            raise InputError(f"{path} is no table of texts: a .csv, .jsonl or .parquet file is needed.")
        self.columns = list(self._rows)

    def find(self, asked: str | None, known: Sequence[str], what: str) -> str:
        """The column that was asked for, or the first of the known ones."""
        if asked is not None:
            return check_column(asked, self.columns, self.name)
        found = find_column(self.columns, known)
        if found is None:
            raise InputError(
                f"{self.name} has no column of {what} ({', '.join(known)}). Its columns are "
                f"{', '.join(self.columns)}; say which with text_column."
            )
        return found

    def column(self, name: str) -> list[Any]:
        """The values of a column."""
        check_column(name, self.columns, self.name)
        if self._kind == ".parquet":
            return list(read_table(self.path, [name]).column(0).to_pylist())
        return list(self._rows[name])

    def classes(self, column: str | None) -> tuple[str, ...] | None:
        """The names that a Parquet file states for the classes of a column."""
        if column is None or self._kind != ".parquet":
            return None
        return class_names(read_schema(self.path), column)


def _ids(table: _Table, asked: str | None, n: int) -> list[Any]:
    column = find_column(table.columns, ("id", "index")) if asked is None else table.find(asked, ID_COLUMNS, "ids")
    if column is None:
        return list(range(n))
    values = table.column(column)
    check_unique([str(value) for value in values], f"column {column!r} of {table.name}")
    return values


def _read_lines(path: Path) -> dict[str, list[Any]]:
    """Columns of a file with one JSON object per line; None where a line lacks a name."""
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InputError(f"line {number} of {path.name} is no JSON object with named values.")
                    rows.append(row)
    except InputError:
        raise
    except (OSError, ValueError) as reason:
        raise InputError(f"{path} cannot be read as one JSON object per line: {reason}.") from reason
    if not rows:
        raise InputError(f"{path} is empty: at least one line is needed.")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
