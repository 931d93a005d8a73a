"""Instructions: rows of requests and responses that stay on disk."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_positions
from goodgrain.data.instructions.arrow_files import DatasetRows, ParquetRows
from goodgrain.data.instructions.json_files import JsonFile
from goodgrain.data.instructions.layouts import Layout, Turn, Unusable, find_layout, normal, request_of
from goodgrain.errors import InputError

_SHOWN = 3  # examples in a message


class Rows(Protocol):
    """Rows of some file format."""

    @property
    def suffix(self) -> str:
        """Of files in this format; "" for a folder."""

    def __len__(self) -> int:
        """Rows, unusable ones included."""

    def columns(self) -> list[str]:
        """Their columns."""

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | Unusable]:
        """Every row in order, or why it cannot be used."""

    def take(self, rows: Positions, columns: Sequence[str]) -> list[dict[str, Any]]:
        """These rows, of these columns at least."""

    def write(self, rows: Positions, target: Path) -> None:
        """These rows in a file of the same format."""


@dataclass(frozen=True)
class Problem:
    """A row that cannot be used.

    Args:
        row: its number in the file, 0 first.
        reason: a sentence.
    """

    row: int
    reason: str


class Instructions:
    r"""The usable rows of an instruction set, by position; texts stay on disk.

    Memory grows by 16 bytes a row, and by the ids once they are asked for.

    Args:
        path: where they lie.
        layout: which columns hold what.
        source: the rows of the file.
        usable: (n,) the file's row of each position.
        digests: (n,) 64 bits of what each row says.
        problems: of the rows that are left out.
        given_ids: (n,) ids of the data's own; None to make them from what rows say.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp(), "set.json")
        >>> _ = path.write_text(json.dumps([{"instruction": "Add.", "input": "2, 2", "output": "4"}]))
        >>> read_instructions(path).row(0)
        ('Add.\n\n2, 2', '4')
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        source: Rows,
        usable: Positions,
        digests: NDArray[np.uint64],
        problems: tuple[Problem, ...],
        given_ids: NDArray[np.str_] | None = None,
    ) -> None:
        self.path, self.columns, self.problems = path, layout, problems
        self._source, self._usable, self._digests, self._given = source, usable, digests, given_ids

    def __repr__(self) -> str:
        return f"Instructions({len(self):,} rows of {self.path.name}, {self.layout})"

    @property
    def layout(self) -> str:
        """Its name: "alpaca", "chat" or "pair"."""
        return self.columns.name

    @property
    def suffix(self) -> str:
        """Of files that `write` makes; "" for a folder."""
        return self._source.suffix

    @property
    def digests(self) -> NDArray[np.uint64]:
        """(n,) 64 bits of what each row says; rows that say the same have the same."""
        return self._digests

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """(n,) names by content: the same row has the same id in every file; further copies end in -2, -3, ..."""
        if self._given is not None:
            return self._given
        order = np.argsort(self._digests, kind="stable")
        sorted_digests = self._digests[order]
        new = np.r_[True, sorted_digests[1:] != sorted_digests[:-1]]
        starts = np.flatnonzero(new)
        which = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        copies = np.empty(len(order), dtype=np.int64)
        copies[order] = which
        return np.array(
            [
                f"{digest:016x}" + (f"-{copy + 1}" if copy else "")
                for digest, copy in zip(self._digests, copies, strict=True)
            ]
        )

    def __len__(self) -> int:
        """How many rows can be used."""
        return len(self._usable)

    def fingerprint(self) -> str:
        """A digest of what all rows say and in which order, the same on every machine."""
        return hashlib.sha256(self.layout.encode() + self._digests.astype("<u8").tobytes()).hexdigest()[:16]

    def row(self, position: int) -> tuple[str, str]:
        """(request, response) as a teacher is shown them."""
        return self.rows([position])[0]

    def rows(self, positions: ArrayLike) -> list[tuple[str, str]]:
        """(request, response) at these positions, in their order."""
        return [_pair(turns) for turns in self._turns(self._checked(positions))]

    def blocks(self, size: int = 1024) -> Iterator[tuple[slice, list[tuple[str, str]]]]:
        """All rows in order, some at a time: the slice of positions, and their (request, response)."""
        for start in range(0, len(self), size):
            there = slice(start, min(start + size, len(self)))
            yield there, [_pair(turns) for turns in self._turns(np.arange(there.start, there.stop))]

    def messages(self, position: int) -> list[dict[str, str]]:
        """The row as a chat: tables of role and content, in any layout."""
        return [{"role": role, "content": content} for role, content in self._turns(self._checked([position]))[0]]

    def column(self, name: str) -> list[Any]:
        """Another column of the file, one value for each position.

        Raises:
            InputError: there is no such column.
        """
        if name not in self._source.columns():
            raise InputError(f"there is no column {name!r}. The columns: {', '.join(self._source.columns())}.")
        values: list[Any] = []
        for start in range(0, len(self), 4096):
            values += [record.get(name) for record in self._source.take(self._usable[start : start + 4096], [name])]
        return values

    def write(self, positions: ArrayLike, target: str | Path) -> Path:
        """Write these rows, every column untouched, in the format that came in; the file appears whole.

        Args:
            positions: in the order of the new file.
            target: the file; for a Hugging Face dataset, the folder.

        Raises:
            InputError: the target is the data itself, or a folder that holds other things than a dataset.
        """
        place = Path(target)
        if place.exists() and place.samefile(self.path):
            raise InputError(
                f"{place} is where the data lies: writing there would lose the rows left out. Name another."
            )
        self._source.write(self._usable[self._checked(positions)], place)
        return place

    def _checked(self, positions: ArrayLike) -> Positions:
        return check_positions(positions, n=len(self), distinct=False)

    def _turns(self, positions: Positions) -> list[list[Turn]]:
        records = self._source.take(self._usable[positions], self.columns.columns)
        return [self.columns.turns(record) for record in records]


def read_instructions(
    path: str | Path, *, request: str | None = None, response: str | None = None, id_column: str | None = None
) -> Instructions:
    """Read an instruction set in any usual layout; rows that cannot be used are told in `problems`.

    Args:
        path: JSON (an array), JSONL, Parquet, or a folder of a Hugging Face dataset. Layouts: Alpaca (instruction,
            input, output), chat (messages, conversations), or two columns such as prompt and response.
        request: the column of requests, where its name is not a usual one.
        response: likewise of responses.
        id_column: a column of your own ids, each once.

    Returns:
        Instructions; texts stay in the file, which has to stay as it is.

    Raises:
        InputError: a file that is not there, of another kind, without a known layout, or without one usable row.
    """
    place = Path(path)
    source = _open(place)
    if not len(source):
        raise InputError(f"{place} holds no rows.")
    names = source.columns()
    layout = find_layout(names, request, response)
    if id_column is not None and id_column not in names:
        raise InputError(f"there is no column {id_column!r} in the data. Its columns: {', '.join(names)}.")
    usable, digests = array("q"), array("Q")  # a list would take four times the memory
    problems: list[Problem] = []
    ids: list[str] = []
    wanted = [*dict.fromkeys([*layout.columns, *([id_column] if id_column else [])])]
    for row, record in enumerate(source.scan(wanted)):
        try:
            if isinstance(record, Unusable):
                raise record
            if id_column is not None and record.get(id_column) is None:
                raise Unusable(f"it has no {id_column}.")
            digest = _digest(layout.turns(record))
        except Unusable as reason:
            problems.append(Problem(row, str(reason)))
            continue
        usable.append(row)
        digests.append(digest)
        if id_column is not None:
            ids.append(str(record[id_column]))
    if not usable:
        raise InputError(f"{place} has no row that can be used. The first: {problems[0].reason}")
    return Instructions(
        place,
        layout,
        source,
        np.array(usable, dtype=np.int64),
        np.array(digests, dtype=np.uint64),
        tuple(problems),
        _own_ids(ids, id_column),
    )


def _open(path: Path) -> Rows:
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a JSON, JSONL or Parquet file, or a dataset on disk.")
    if path.is_dir():
        return DatasetRows(path)
    with path.open("rb") as file:
        parquet = file.read(4) == b"PAR1"
    return ParquetRows(path) if parquet else JsonFile(path)


def _own_ids(ids: list[str], column: str | None) -> NDArray[np.str_] | None:
    if column is None:
        return None
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        twice = names[counts > 1][:_SHOWN]
        raise InputError(f"column {column!r} names rows twice, such as {', '.join(twice)}. Ids should differ.")
    return np.array(ids)


def _digest(turns: Sequence[Turn]) -> int:
    said = "\x1e".join(f"{role}\x1f{normal(content)}" for role, content in turns)
    try:
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
    except UnicodeEncodeError as reason:
        raise Unusable("a text of the row holds half a character (a lone surrogate).") from reason


def _pair(turns: Sequence[Turn]) -> tuple[str, str]:
    return request_of(turns), turns[-1][1]
