"""Rows in JSON and JSONL files: found once, read when they are asked for, and copied byte for byte."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.data.instructions.layouts import Unusable
from goodgrain.errors import InputError
from goodgrain.files import whole_file

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{}"]', re.DOTALL)
_BLANK = b" \t\r\n"
_SAMPLE = 100  # rows whose keys are looked at to find the columns


class JsonFile:
    """The rows of a JSON array or of a JSONL file; only where each begins and ends is held in memory.

    Args:
        path: a file that begins with "[" (an array of tables) or "{" (a table per line).

    Raises:
        InputError: no such file, or one that is neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as reason:
            raise InputError(f"{path} cannot be read: {reason.strerror}.") from reason
        except ValueError as reason:
            raise InputError(f"{path} is empty.") from reason
        start = len(_BOM) if self._bytes[:3] == _BOM else 0
        first = re.compile(rb"\S").search(self._bytes, start)
        if first is None:
            raise InputError(f"{path} is empty.")
        self.is_array = first[0] == b"["
        if not self.is_array and first[0] != b"{":
            raise InputError(f"{path} holds no JSON tables: it begins with {first[0]!r}, not with '[' or '{{'.")
        spans = self._elements(first.start()) if self.is_array else self._lines(start)
        self._spans = np.fromiter(spans, dtype=np.dtype((np.int64, 2)))
        if not len(self._spans):
            raise InputError(f"{path} holds no rows.")

    @property
    def suffix(self) -> str:
        """Of files in this format."""
        return ".json" if self.is_array else ".jsonl"

    def __len__(self) -> int:
        """Rows, unusable ones included."""
        return len(self._spans)

    def columns(self) -> list[str]:
        """Keys of the first rows."""
        names: dict[str, None] = {}
        for row in range(min(_SAMPLE, len(self))):
            try:
                names |= dict.fromkeys(self._record(row))
            except Unusable:
                continue
        return list(names)

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | Unusable]:  # noqa: ARG002 (a row is parsed whole)
        """Every row in order, or why it cannot be used."""
        for row in range(len(self)):
            try:
                yield self._record(row)
            except Unusable as reason:
                yield reason

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:  # noqa: ARG002
        """These rows."""
        return [self._record(int(row)) for row in rows]

    def write(self, rows: NDArray[np.int64], target: Path) -> None:
        """Copy these rows into a file of the same format."""
        with whole_file(target) as part, part.open("wb") as file:
            for place, row in enumerate(rows):
                start, end = self._spans[row]
                between = b"[\n" if self.is_array and place == 0 else b",\n" if self.is_array else b""
                file.write(between + self._bytes[start:end] + (b"" if self.is_array else b"\n"))
            if self.is_array:
                file.write(b"\n]\n" if len(rows) else b"[]\n")

    def _record(self, row: int) -> dict[str, Any]:
        start, end = self._spans[row]
        try:
            record = json.loads(self._bytes[start:end].decode("utf-8"))
        except UnicodeDecodeError as reason:
            raise Unusable(f"byte {reason.start} of the row is not UTF-8.") from reason
        except (ValueError, RecursionError) as reason:
            raise Unusable(f"the row is no JSON: {reason}.") from reason
        if not isinstance(record, dict):
            raise Unusable(f"the row is no table but a {type(record).__name__}.")
        return record

    def _lines(self, start: int) -> Iterator[tuple[int, int]]:
        """Where each line that holds something begins and ends."""
        size = len(self._bytes)
        while start < size:
            end = self._bytes.find(b"\n", start)
            end = size if end < 0 else end
            line = self._bytes[start:end]
            inner = line.strip(_BLANK)
            if inner:
                first = start + line.index(inner[:1])
                yield first, first + len(inner)
            start = end + 1

    def _elements(self, opening: int) -> Iterator[tuple[int, int]]:
        """Where each element of the array begins and ends: brackets are counted, strings are passed over."""
        depth, begins = 1, 0
        for token in _TOKEN.finditer(self._bytes, opening + 1):
            sign = token[0]
            if sign == b'"':
                raise InputError(f"{self.path} ends within a text that begins at byte {token.start()}.")
            if sign in b"{[":
                depth += 1
                if depth == 2:
                    begins = token.start()
            elif sign in b"}]":
                depth -= 1
                if depth == 1:
                    yield begins, token.end()
                elif depth == 0:
                    return
        raise InputError(f"{self.path} ends before its array does. Is it cut off?")
