"""Observations: what a model saw of every example, the one thing that models hand to scores and selections."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_embeddings, check_labels, check_numbers, check_probabilities, check_rows
from goodgrain.errors import InputError, UnknownName
from goodgrain.files import whole_file

FORMAT = "goodgrain-observations"
VERSION = 1
_SCHEMA = "schema.json"
_PLAIN = {"id": "ids", "label": "labels"}  # the singular is understood
_BY_EPOCH = ("correct", "margin", "gradient_norms")


@dataclass(frozen=True, eq=False)
class Observations:
    """One row per example: who it is, how it is labelled, and what a model made of it.

    Everything but `ids` is optional; a selection says what it needs. Every array is checked on the way in.

    Args:
        ids: (n,) unique strings or integers that stay with the examples.
        labels: (n,) int64 classes 0..c-1, possibly wrong.
        probabilities: (n, c) predictions on the plain view; rows sum to 1.
        features: (n, d) embeddings of the plain view (penultimate layer, or anyone's).
        strong_probabilities: (n, c) predictions on a strongly augmented view, or the mean of several.
        strong_features: (n, d) embeddings likewise.
        losses: (n,) loss of the given label on the plain view.
        correct: (e, n) bool, whether the given label was predicted, per training epoch.
        margin: (e, n) given label's logit minus the best other, per training epoch.
        gradient_norms: (m, n) norm of the last layer's gradient, one row per independently initialised model.
        self_supervised: (n, d') embeddings that were learned without labels.

    Raises:
        InputError: lengths differ, NaN or infinite values, probability rows that do not sum to 1, labels outside
            0..c-1, ids that repeat.

    Example:
        >>> Observations(ids=["a", "b"], labels=[0, 1], probabilities=[[0.9, 0.1], [0.4, 0.6]]).columns
        ('ids', 'labels', 'probabilities')
    """

    ids: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    probabilities: NDArray[np.floating[Any]] | None = None
    features: NDArray[np.floating[Any]] | None = None
    strong_probabilities: NDArray[np.floating[Any]] | None = None
    strong_features: NDArray[np.floating[Any]] | None = None
    losses: NDArray[np.floating[Any]] | None = None
    correct: NDArray[np.bool_] | None = None
    margin: NDArray[np.floating[Any]] | None = None
    gradient_norms: NDArray[np.floating[Any]] | None = None
    self_supervised: NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        """Check every column and store it in its canonical type."""
        checked: dict[str, Any] = {"ids": _check_ids(self.ids)}
        n = len(checked["ids"])
        for name in ("probabilities", "strong_probabilities"):
            if (values := getattr(self, name)) is not None:
                checked[name] = check_probabilities(values, name=name, n=n)
        for name in ("features", "strong_features", "self_supervised"):
            if (values := getattr(self, name)) is not None:
                checked[name] = check_embeddings(values, name=name, n=n)
        if self.losses is not None:
            checked["losses"] = check_numbers("losses", self.losses, dimensions=1, n=n)
        for name in ("margin", "gradient_norms"):
            if (values := getattr(self, name)) is not None:
                checked[name] = _check_history(name, check_numbers(name, values, dimensions=2), n)
        if self.correct is not None:
            hits = check_numbers("correct", self.correct, dimensions=2)
            if not np.isin(hits, (0.0, 1.0)).all():
                raise InputError("correct should be True or False, or 0 or 1, per epoch and example.")
            checked["correct"] = _check_history("correct", hits.astype(bool), n)
        widths = {checked[name].shape[1] for name in ("probabilities", "strong_probabilities") if name in checked}
        if len(widths) > 1:
            raise InputError(f"probabilities and strong_probabilities should agree on c; they have {sorted(widths)}.")
        if self.labels is not None:
            checked["labels"] = check_labels(self.labels, n=n, classes=min(widths) if widths else None)
        for name, values in checked.items():
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        """How many examples were observed."""
        return len(self.ids)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that are there."""
        return tuple(spec.name for spec in fields(self) if getattr(self, spec.name) is not None)

    def items(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Name and array of every column that is there."""
        for name in self.columns:
            yield name, getattr(self, name)

    def rows(self, positions: ArrayLike) -> Observations:
        """The observations of some examples, in the order of these positions."""
        chosen = np.asarray(positions, dtype=np.int64)
        taken = {name: values[:, chosen] if name in _BY_EPOCH else values[chosen] for name, values in self.items()}
        return Observations(**taken)

    def with_columns(self, **columns: ArrayLike) -> Observations:
        """The same observations with some columns added or replaced."""
        merged: dict[str, Any] = {**dict(self.items()), **columns}
        return Observations(**merged)

    def fingerprint(self) -> str:
        """A sha256 over all columns."""
        digest = hashlib.sha256()
        for name, values in self.items():
            digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write a folder of .npy files that `read` maps into memory instead of loading.

        The folder appears whole or not at all; an older one of the same name is replaced.

        Raises:
            InputError: the name is taken by something that is no observations folder.
        """
        target = Path(folder)
        if target.exists() and not (target / _SCHEMA).is_file():
            raise InputError(f"{target} exists and holds no observations. Choose another name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            schema: dict[str, Any] = {"format": FORMAT, "version": VERSION, "rows": len(self), "columns": {}}
            for name, values in self.items():
                with (made / f"{name}.npy").open("wb") as file:
                    # given a real file, NumPy hides why a disk refused
                    np.save(cast("Any", SimpleNamespace(write=file.write)), values, allow_pickle=False)
                schema["columns"][name] = {"dtype": values.dtype.str, "shape": list(values.shape)}
            (made / _SCHEMA).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            os.replace(made, target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return target

    def to_parquet(self, path: str | Path) -> Path:
        """Write one Parquet row per example; per-epoch columns become one list per example."""
        target = Path(path)
        table: dict[str, pa.Array[Any]] = {"ids": pa.array(self.ids)}
        for name, values in self.items():
            if name in _BY_EPOCH:
                table[name] = _list_column(np.ascontiguousarray(values.T))
            elif values.ndim == 2:
                table[name] = _list_column(values)
            elif name != "ids":
                table[name] = pa.array(values)
        with whole_file(target) as part:
            pq.write_table(pa.table(cast("Mapping[str, Any]", table)), part)
        return target

    @classmethod
    def read(cls, path: str | Path) -> Observations:
        """Read a saved folder (memory-mapped), a Parquet table or an NPZ archive, ours or anyone's.

        Column names are those of this class; `id` and `label` are understood too. Without ids, rows are numbered.

        Raises:
            InputError: no such file, another kind of file, or columns that fail the checks.
            UnknownName: a column that means nothing here.
        """
        source = Path(path)
        if not source.exists():
            raise InputError(f"{source} does not exist. Give a folder, a .parquet or an .npz file of observations.")
        if source.is_dir():
            return cls(**_read_folder(source))
        if source.suffix == ".parquet":
            return cls(**_named(_read_parquet(source)))
        if source.suffix == ".npz":
            return cls(**_named(_read_npz(source)))
        raise InputError(f"{source} is no observations: expected a saved folder, a .parquet or an .npz file.")


def _check_ids(values: ArrayLike) -> NDArray[Any]:
    try:
        ids = np.asarray(values)
    except ValueError as reason:
        raise InputError(f"ids should be one value per example: {reason}.") from reason
    if ids.ndim != 1:
        raise InputError(f"ids should have 1 axis; their shape is {ids.shape}.")
    check_rows("ids", len(ids), None)
    if np.issubdtype(ids.dtype, np.integer):
        ids = ids.astype(np.int64)
    elif ids.dtype.kind not in "U":
        ids = ids.astype(np.str_)
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) != len(ids):
        raise InputError(f"ids should be unique; {unique[counts > 1][0]!s} stands {counts.max()} times.")
    return ids


def _check_history(name: str, values: NDArray[Any], n: int) -> NDArray[Any]:
    if values.ndim != 2 or values.shape[1] != n or values.shape[0] == 0:
        raise InputError(f"{name} should be (epochs or models, {n}); its shape is {values.shape}.")
    return values


def _list_column(values: NDArray[Any]) -> pa.Array[Any]:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    schema_file = folder / _SCHEMA
    if not schema_file.is_file():
        raise InputError(f"{folder} holds no observations: {_SCHEMA} is missing.")
    try:
        schema = json.loads(schema_file.read_text(encoding="utf-8"))
        kind, version, columns = schema["format"], schema["version"], schema["columns"]
    except (ValueError, KeyError, TypeError) as reason:
        raise InputError(f"{schema_file} cannot be read: {reason!r}. Write the observations again.") from reason
    if kind != FORMAT or version != VERSION:
        raise InputError(f"{schema_file} says {kind} version {version}; this release reads {FORMAT} version {VERSION}.")
    known = {spec.name for spec in fields(Observations)}
    for name in columns:
        if name not in known:
            raise UnknownName("observations column", name, known)
    try:
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in columns}
    except (OSError, ValueError) as reason:
        raise InputError(f"{folder} cannot be read: {reason}. Write the observations again.") from reason


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as reason:
        raise InputError(
            f"{path} cannot be read as an NPZ archive of plain arrays: {reason}. Save ids as text or integers, "
            "not as objects."
        ) from reason
    for name, values in columns.items():
        if values.ndim == 0:
            raise InputError(f"column {name} of {path} is a single value; give one row per example.")
    return columns


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as reason:
        raise InputError(f"{path} cannot be read as Parquet: {reason}.") from reason
    if table.num_rows == 0:
        raise InputError(f"{path} has no rows: at least one example is needed.")
    for name in table.column_names:
        _check_name(name)
    columns = {name: _column(name, table.column(name)) for name in table.column_names}
    return {name: values.T if name in _BY_EPOCH else values for name, values in columns.items()}


def _column(name: str, column: pa.ChunkedArray[Any]) -> NDArray[Any]:
    if column.null_count:
        raise InputError(f"column {name} has {column.null_count} empty rows. Fill or remove them first.")
    array = cast("Any", column.combine_chunks())
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if pa.types.is_nested(array.type) and not any(kind(array.type) for kind in lists):
        raise InputError(f"column {name} holds {array.type}; numbers, or lists of them, are needed.")
    if pa.types.is_nested(array.type):
        widths = np.asarray(pc.list_value_length(array))
        if len(np.unique(widths)) > 1:
            raise InputError(
                f"the lists of column {name} should be equally long; they have {widths.min()} to {widths.max()}."
            )
        return np.asarray(array.flatten()).reshape(len(array), -1)
    return np.asarray(array)


def _check_name(name: str) -> str:
    """The name that a column goes by here."""
    known = {spec.name for spec in fields(Observations)}
    if _PLAIN.get(name, name) not in known:
        raise UnknownName("observations column", name, known | set(_PLAIN))
    return _PLAIN.get(name, name)


def _named(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    named = {_check_name(name): values for name, values in columns.items()}
    by_row = [values for name, values in named.items() if name not in _BY_EPOCH]
    if not by_row:
        raise InputError("the table has neither ids, labels, probabilities nor features.")
    named.setdefault("ids", np.arange(len(by_row[0])))
    return named
