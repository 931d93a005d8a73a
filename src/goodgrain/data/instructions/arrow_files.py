"""Rows in Parquet files and in Hugging Face datasets on disk: mapped by batches, written with the schema that came."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goodgrain.data.instructions.layouts import Unusable
from goodgrain.errors import DiskFull, InputError
from goodgrain.files import whole_file

_BATCH = 1024  # rows at a time; of a megabyte each they still fit into one Arrow array
_BUFFER = 1 << 20  # bytes of a Parquet column that are read at a time


class ArrowRows:
    """Rows in record batches that are mapped from disk, so that the system holds only those in use."""

    schema: pa.Schema

    def _load(self) -> list[Any]:
        raise NotImplementedError

    @cached_property
    def _batches(self) -> list[Any]:
        return self._load()

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        """How many there are."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def columns(self) -> list[str]:
        """Their columns."""
        return list(self.schema.names)

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | Unusable]:
        """Every row in order, of these columns where there are such."""
        for batch in self._batches:
            yield from _rows_of(batch.select(self._known(columns)))

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:
        """These rows, of these columns where there are such."""
        records: list[dict[str, Any]] = []
        for row, record in zip(rows, _rows_of(self._table(rows, self._known(columns))), strict=True):
            if isinstance(record, Unusable):
                raise InputError(f"row {row} of {', '.join(columns)}: {record}")
            records.append(record)
        return records

    def _known(self, columns: Sequence[str]) -> list[str]:
        return [name for name in columns if name in self.schema.names]

    def _table(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Any:
        numbers = np.searchsorted(self._ends, rows, side="right")
        order = np.argsort(numbers, kind="stable")
        parts = []
        for number in np.unique(numbers):
            batch = self._batches[number].select(columns)
            first = self._ends[number] - batch.num_rows
            parts.append(batch.take(rows[order][numbers[order] == number] - first))
        if len(parts) < 2:  # stable: they are in the order that was asked for
            return parts[0] if parts else self.schema.empty_table().select(columns)
        return pa.Table.from_batches(parts).take(np.argsort(order))

    def _blocks(self, rows: NDArray[np.int64]) -> Iterator[Any]:
        for start in range(0, len(rows), _BATCH):
            table = self._table(rows[start : start + _BATCH], self.schema.names)
            yield pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table


class ParquetRows(ArrowRows):
    """The rows of a Parquet file, unpacked once into the folder for temporary files (TMPDIR).

    Row groups can be read only whole, and often there is but one: ten rows at random would cost a pass over the file,
    or the file would have to lie in memory.

    Raises:
        InputError: the file cannot be read as Parquet.
    """

    @property
    def suffix(self) -> str:
        """Of files in this format."""
        return ".parquet"

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)  # else a row group is held whole
        except (OSError, pa.ArrowException) as reason:
            raise InputError(f"{path} cannot be read as Parquet: {reason}.") from reason
        self.schema = self._file.schema_arrow

    def __len__(self) -> int:
        """How many there are."""
        return int(self._file.metadata.num_rows)

    def _load(self) -> list[Any]:
        with tempfile.NamedTemporaryFile(prefix="goodgrain-", suffix=".arrow") as unpacked:
            try:
                with pa.OSFile(unpacked.name, "wb") as sink, pa.ipc.new_stream(sink, self.schema) as stream:
                    for batch in self._file.iter_batches(_BATCH):
                        stream.write_batch(batch)
            except (OSError, pa.ArrowException) as reason:
                if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise DiskFull(
                        f"there is no room to unpack {self._path} in {tempfile.gettempdir()}. Name a folder with "
                        "more in TMPDIR, or give JSONL."
                    ) from reason
                raise InputError(f"{self._path} cannot be read as Parquet: {reason}.") from reason
            return _mapped(Path(unpacked.name))  # what is mapped stays until it is let go, with no name on disk

    def write(self, rows: NDArray[np.int64], target: Path) -> None:
        """These rows as a Parquet file of the same schema."""
        with whole_file(target) as part, pq.ParquetWriter(part, self.schema) as writer:
            for block in self._blocks(rows):
                writer.write_table(block)


class DatasetRows(ArrowRows):
    """The rows of a folder that `datasets.Dataset.save_to_disk` wrote, mapped into memory.

    Raises:
        InputError: a folder of another kind.
    """

    @property
    def suffix(self) -> str:
        """A folder has none."""
        return ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if (folder / "dataset_dict.json").is_file():
            splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
            raise InputError(f"{folder} holds several splits. Give the folder of one: {', '.join(splits)}.")
        try:
            self._state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            self._files = [_inside(folder, entry["filename"]) for entry in self._state["_data_files"]]
            self.schema = _schema(self._files[0])
            self._batches  # noqa: B018 (mapped now, so that a broken file is told here)
        except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as reason:
            raise InputError(
                f"{folder} is no Hugging Face dataset on disk: {reason}. Give the folder that save_to_disk wrote."
            ) from reason

    def _load(self) -> list[Any]:
        return [batch for file in self._files for batch in _mapped(file)]

    def write(self, rows: NDArray[np.int64], target: Path) -> None:
        """These rows as such a folder; it appears whole, and replaces only a dataset or an empty folder."""
        if target.exists() and not _is_dataset(target):
            raise InputError(f"{target} holds other things than a Hugging Face dataset. Name another folder.")
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        name = "data-00000-of-00001.arrow"
        with pa.OSFile(str(part / name), "wb") as sink, pa.ipc.new_stream(sink, self.schema) as stream:
            for block in self._blocks(rows):
                stream.write_table(block)
        if (self._folder / "dataset_info.json").is_file():
            shutil.copyfile(self._folder / "dataset_info.json", part / "dataset_info.json")
        state = {
            **self._state,
            "_data_files": [{"filename": name}],
            "_fingerprint": hashlib.sha256(rows.tobytes()).hexdigest()[:16],
        }
        (part / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)


def _is_dataset(path: Path) -> bool:
    """Whether a folder holds a saved dataset and nothing else, or nothing at all."""
    return path.is_dir() and all(
        file.is_file() and (file.suffix == ".arrow" or file.name in ("state.json", "dataset_info.json"))
        for file in path.iterdir()
    )


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of the folder")
    return folder / name


def _schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return stream.schema


def _mapped(path: Path) -> list[Any]:
    return list(pa.ipc.open_stream(pa.memory_map(str(path), "r")))


def _rows_of(table: Any) -> Iterator[dict[str, Any] | Unusable]:
    """Rows as Python values; a text that is no UTF-8 makes its row unusable."""
    try:
        yield from table.to_pylist()
    except UnicodeDecodeError:
        for place in range(table.num_rows):
            try:
                yield table.slice(place, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield Unusable("a text of the row is not UTF-8.")
