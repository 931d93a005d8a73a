"""Rows in JSON and JSONL files: found once, read when they are asked for, and copied byte for byte."""

from __future__ import annotations

import json
import mmap
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.data.instructions.layouts import Unusable
from goodgrain.errors import InputError
from goodgrain.files import whole_file

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + rb'|[][{}"]', re.DOTALL)
_INK = re.compile(rb"[^ \t\r\n]")
_LINE_END = re.compile(rb"\n")
_LEVELS = 4  # of brackets within a row that one match takes in; deeper rows are counted bracket by bracket
_SAMPLE = 100  # readable rows whose keys are looked at to find the layout
_HELD = 4096  # rows until pages that were read are let go
_SHOWN = 20  # bytes in a message


def _nested(levels: int) -> bytes:
    inside = rb'(?:[^][{}"]++|' + _STRING + rb")*+"
    for _ in range(levels - 1):
        inside = rb'(?:[^][{}"]++|' + _STRING + rb"|[{[]" + inside + rb"[]}])*+"
    return inside


_ELEMENT = re.compile(rb"[{[]" + _nested(_LEVELS) + rb"[]}]|" + _STRING + rb'|[^][{}", \t\r\n]++', re.DOTALL)


class JsonFile:
    """The rows of a JSON array or of a JSONL file; only where each begins and ends is held in memory.

    Args:
        path: a file that begins with "[" (an array of tables) or "{" (a table per line, commas at line ends ignored).

    Raises:
        InputError: no such file, one that is neither, or one in which no row is JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as reason:
            raise InputError(f"{path} cannot be read: {reason.strerror}.") from reason
        weakref.finalize(self, os.close, self._file)
        self._as_read = _state(self._file)
        if not self._as_read[0]:
            raise InputError(f"{path} is empty.")
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as data:
            start = _past_blanks(data, len(_BOM) if data[:3] == _BOM else 0)
            first = data[start : start + 1]
            if not first:
                raise InputError(f"{path} is empty.")
            if first not in (b"[", b"{"):
                raise InputError(
                    f"{path} holds no JSON tables: it begins with {first!r}, not with '[' or '{{'. Give UTF-8 text: an "
                    "array of tables, or one table a line."
                )
            self.is_array = first == b"["
            spans = self._elements(data, start + 1) if self.is_array else _lines(data, start)
            self._spans = np.fromiter(spans, dtype=np.dtype((np.int64, 2)))
        self._names = self._first_names() if len(self) else {}

    @property
    def suffix(self) -> str:
        """Of files in this format."""
        return ".json" if self.is_array else ".jsonl"

    def __len__(self) -> int:
        """Rows, unusable ones included."""
        return len(self._spans)

    def columns(self) -> list[str]:
        """Keys of the first rows, and of all once they have been scanned."""
        return list(self._names)

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | Unusable]:  # noqa: ARG002 (a row is parsed whole)
        """Every row in order, or why it cannot be used."""
        for row in range(len(self)):
            try:
                record = self._record(row)
            except Unusable as reason:
                yield reason
                continue
            if not self._names.keys() >= record.keys():
                self._names |= dict.fromkeys(record)
            yield record
        self._check_same()

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:  # noqa: ARG002
        """These rows."""
        self._check_same()
        return [self._record(int(row)) for row in rows]

    def write(self, rows: NDArray[np.int64], target: Path) -> None:
        """Copy these rows into a file of the same format."""
        self._check_same()
        with whole_file(target) as part, part.open("wb") as file:
            for place, row in enumerate(rows):
                between = b"[\n" if self.is_array and place == 0 else b",\n" if self.is_array else b""
                file.write(between + self._raw(int(row)) + (b"" if self.is_array else b"\n"))
            if self.is_array:
                file.write(b"\n]\n" if len(rows) else b"[]\n")

    def _check_same(self) -> None:
        if _state(self._file) != self._as_read:
            raise InputError(f"{self.path} has changed since it was read. Read it again.")

    def _first_names(self) -> dict[str, None]:
        names: dict[str, None] = {}
        found, bad = 0, None
        for row in range(len(self)):
            try:
                names |= dict.fromkeys(self._record(row))
                found += 1
            except Unusable as reason:
                bad = bad or (row, reason)
            if found == _SAMPLE:
                break
        if bad is not None and not found:
            byte = int(self._spans[bad[0], 0])
            raise InputError(
                f"{self.path} holds no JSON tables. The first row, on line {self._line(byte)} (byte {byte}): {bad[1]} "
                "Give an array of tables, or one table a line."
            )
        return names

    def _raw(self, row: int) -> bytes:
        start, end = self._spans[row]
        return os.pread(self._file, int(end - start), int(start))

    def _record(self, row: int) -> dict[str, Any]:
        try:
            record = json.loads(self._raw(row).decode("utf-8"))
        except UnicodeDecodeError as reason:
            raise Unusable(f"byte {reason.start} of the row is not UTF-8.") from reason
        except (ValueError, RecursionError) as reason:
            raise Unusable(f"the row is no JSON: {reason}.") from reason
        if not isinstance(record, dict):
            raise Unusable(f"the row is no table but a {type(record).__name__}.")
        return record

    def _line(self, byte: int) -> int:
        """Of the file, 1 first."""
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as data:
            return 1 + sum(1 for _ in _LINE_END.finditer(data, 0, byte))

    def _elements(self, data: mmap.mmap, place: int) -> Iterator[tuple[int, int]]:
        """Where each element of the array begins and ends."""
        comma, rows = True, 0
        while True:
            start = _past_blanks(data, place)
            sign = data[start : start + 1]
            if sign == b"]":
                rest = _past_blanks(data, start + 1)
                if rest < len(data):
                    raise self._misplaced(data, rest, "nothing more, as the array has ended,")
                return
            if not sign:
                raise InputError(f"{self.path} ends before its array does. Is it cut off?")
            if sign == b"," and not comma:
                place, comma = start + 1, True
                continue
            if not comma:
                raise self._misplaced(data, start, "',' or ']'")
            place, comma = self._end_of(data, start), False
            yield start, place
            rows += 1
            if rows % _HELD == 0:
                data.madvise(mmap.MADV_DONTNEED)

    def _end_of(self, data: mmap.mmap, start: int) -> int:
        element = _ELEMENT.match(data, start)
        if element is not None:
            return element.end()
        if data[start : start + 1] not in (b"[", b"{", b'"'):
            raise self._misplaced(data, start, "a row")
        depth = 0
        for token in _TOKEN.finditer(data, start):
            sign = token[0]
            if sign == b'"':
                raise InputError(f"{self.path} ends within a text that begins at byte {token.start()}.")
            depth += (sign in b"{[") - (sign in b"}]")
            if depth == 0:
                return token.end()
        raise InputError(f"{self.path} ends before its array does: the row at byte {start} is cut off.")

    def _misplaced(self, data: mmap.mmap, place: int, expected: str) -> InputError:
        came = data[place : place + _SHOWN].decode("utf-8", "replace")
        return InputError(
            f"{self.path} is no JSON: {expected} should stand on line {self._line(place)} (byte {place}); "
            f"{came!r} came."
        )


def _state(file: int) -> tuple[int, int]:
    """Size and time of the last change."""
    state = os.fstat(file)
    return state.st_size, state.st_mtime_ns


def _past_blanks(data: mmap.mmap, place: int) -> int:
    ink = _INK.search(data, place)
    return ink.start() if ink else len(data)


def _lines(data: mmap.mmap, start: int) -> Iterator[tuple[int, int]]:
    """Where each line that holds something begins and ends, without spaces and a comma behind it."""
    data.seek(start)
    for number, line in enumerate(iter(data.readline, b"")):
        inner = line.rstrip(_BLANK + b",")
        begins = start + len(inner) - len(inner.lstrip(_BLANK))
        if begins < start + len(inner):
            yield begins, start + len(inner)
        start += len(line)
        if number % _HELD == 0:
            data.madvise(mmap.MADV_DONTNEED)
