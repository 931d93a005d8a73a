"""Rows in Parquet files and in Hugging Face datasets on disk: read by groups, written with the schema that came."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goodgrain.data.instructions.layouts import Unusable
from goodgrain.errors import InputError
from goodgrain.files import whole_file

_GROUPS = 8  # that are held in memory
_WRITE = 4096  # rows at a time


class ArrowRows:
    """Rows in groups, of which the last few that were asked for are held in memory."""

    schema: pa.Schema

    def __init__(self, sizes: Sequence[int]) -> None:
        self._ends = np.cumsum(np.asarray(sizes, dtype=np.int64))
        self._held: OrderedDict[tuple[int, tuple[str, ...]], Any] = OrderedDict()

    def _group(self, number: int, columns: Sequence[str]) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        """How many there are."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def columns(self) -> list[str]:
        """Their columns."""
        return list(self.schema.names)

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | Unusable]:
        """Every row in order, of these columns."""
        for number in range(len(self._ends)):
            for batch in self._group(number, columns).to_batches(max_chunksize=_WRITE):
                yield from _rows_of(batch)

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:
        """These rows, of these columns."""
        return [row for row in _rows_of(self._table(rows, columns)) if isinstance(row, dict)]

    def _table(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Any:
        groups = np.searchsorted(self._ends, rows, side="right")
        order = np.argsort(groups, kind="stable")
        parts = []
        for number in np.unique(groups):
            there = rows[order][groups[order] == number]
            first = self._ends[number - 1] if number else 0
            parts.append(self._kept(int(number), tuple(columns)).take(there - first))
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.arange(len(rows))
        return pa.concat_tables(parts).take(back) if parts else self.schema.empty_table().select(columns)

    def _kept(self, number: int, columns: tuple[str, ...]) -> Any:
        key = (number, columns)
        if key not in self._held:
            self._held[key] = self._group(number, columns)
            if len(self._held) > _GROUPS:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]

    def _blocks(self, rows: NDArray[np.int64]) -> Iterator[Any]:
        for start in range(0, len(rows), _WRITE):
            yield self._table(rows[start : start + _WRITE], self.schema.names)


class ParquetRows(ArrowRows):
    """The rows of a Parquet file.

    Raises:
        InputError: the file cannot be read as Parquet, or holds no rows.
    """

    @property
    def suffix(self) -> str:
        """Of files in this format."""
        return ".parquet"

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as reason:
            raise InputError(f"{path} cannot be read as Parquet: {reason}.") from reason
        self.schema = self._file.schema_arrow
        super().__init__([self._file.metadata.row_group(g).num_rows for g in range(self._file.num_row_groups)])

    def _group(self, number: int, columns: Sequence[str]) -> Any:
        return self._file.read_row_group(number, columns=list(columns))

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
        try:
            self._state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            names = [entry["filename"] for entry in self._state["_data_files"]]
            batches = [batch for name in names for batch in _mapped(folder, name)]
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as reason:
            raise InputError(
                f"{folder} is no Hugging Face dataset on disk: {reason}. Give the folder that save_to_disk wrote, one "
                "split of it."
            ) from reason
        if not batches:
            raise InputError(f"{folder} holds no rows.")
        self._batches = [pa.Table.from_batches([batch]) for batch in batches]
        self.schema = self._batches[0].schema
        super().__init__([table.num_rows for table in self._batches])

    def _group(self, number: int, columns: Sequence[str]) -> Any:
        return self._batches[number].select(list(columns))

    def write(self, rows: NDArray[np.int64], target: Path) -> None:
        """These rows as such a folder; it appears whole."""
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


def _mapped(folder: Path, name: str) -> list[Any]:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of the folder")
    return list(pa.ipc.open_stream(pa.memory_map(str(folder / name), "r")))


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
