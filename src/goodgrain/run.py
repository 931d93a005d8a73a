"""The run folder: who owns it, and files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from numpy.typing import ArrayLike, NDArray

from goodgrain.errors import InputError
from goodgrain.files import is_part, whole_file

CONFIG = "config.toml"
LOG = "log.jsonl"
_LOCK = ".lock"


def check_outside(output: str | Path, *sources: object) -> None:
    """Refuse a run folder among the images: its own files would be read as images when the run is continued.

    Args:
        output: where the run will live.
        sources: data of the run; what is no folder on disk is passed over.

    Raises:
        InputError: the run folder lies within one of them, or is one.
    """
    place = Path(output).resolve()
    for source in sources:
        if not isinstance(source, str | Path) or not Path(source).is_dir():
            continue
        folder = Path(source).resolve()
        if folder == place or folder in place.parents:
            raise InputError(
                f"the run folder {output} lies within the data ({source}), whose files it would become. Give one "
                "beside it, such as -o ../run."
            )


class RunFolder:
    """One folder holds one run: all that was asked, what was made, and what is needed to go on after a kill.

    The same command opens the same run again; another command is refused. While one process works in the folder, a
    second is refused too. Use it as a context manager.

    Args:
        folder: where the run lives; made if it is not there.
        config: all that was asked, defaults included: values that TOML can hold, nested in tables.
        open_until: a file before whose appearance the settings in `may_change` are not settled, such as the first
            answer that was paid for.
        may_change: names of settings, those in tables with a point ("prune.seed").

    Raises:
        InputError: the folder holds another run or other files, or is being worked in.
    """

    def __init__(
        self, folder: str | Path, config: Mapping[str, Any], *, open_until: str = "", may_change: Collection[str] = ()
    ) -> None:
        self.folder = Path(folder)
        self.config = _plain(config)
        self._open_until, self._may_change = open_until, may_change
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Claim the folder, or find that it is ours."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file. Give a folder for the run.")
        there = self.folder.is_dir() and any(
            entry.name not in (_LOCK, LOG) and not is_part(entry) for entry in self.folder.iterdir()
        )
        if there and not (self.folder / CONFIG).is_file():
            raise InputError(f"{self.folder} holds files that are no run. Give a new or an empty folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as reason:
            self._lock.close()
            raise InputError(
                f"another process is working in {self.folder}. Wait for it, or give another folder."
            ) from reason
        try:
            self._claim()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let others in again."""
        if self._lock is not None:
            self._lock.close()

    def _claim(self) -> None:
        path = self.folder / CONFIG
        if not path.is_file():
            self.write_text(CONFIG, tomli_w.dumps(self.config))
            return
        try:
            there = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
            raise InputError(f"{path} cannot be read: {reason}. Give another folder.") from reason
        changed = list(_differences(self.config, there))
        if changed and not self.has(self._open_until) and all(name in self._may_change for name, _, _ in changed):
            self.write_text(CONFIG, tomli_w.dumps(self.config))
            return
        for name, ours, theirs in changed:
            kind, _, what = name.partition(".")
            hint = f" What {what} holds has changed since." if kind == "fingerprint" else ""
            raise InputError(
                f"{self.folder} holds another run: its {name} is {theirs}, this one asks for {ours}.{hint} "
                "Give another folder, or repeat the command that made it."
            )

    def path(self, name: str) -> Path:
        """Where a file of the run is or will be; its folder is made."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def has(self, name: str) -> bool:
        """Whether a file or folder is there, and so is whole."""
        return (self.folder / name).exists()

    def write(self, name: str, fill: Callable[[Path], object]) -> Path:
        """Let `fill` write a file under a temporary name, then give it its own.

        Example:
            >>> import tempfile
            >>> with RunFolder(tempfile.mkdtemp(), {"keep": 0.2}) as run:
            ...     run.write("note.txt", lambda path: path.write_text("whole")).name
            'note.txt'
        """
        target = self.path(name)
        with whole_file(target) as part:
            fill(part)
        return target

    def fill(self, name: str, make: Callable[[Path], object]) -> None:
        """Let `make` write a folder that appears whole by itself; one that is there already stays."""
        if not self.has(name):
            make(self.path(name))

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file."""
        return self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def write_json(self, name: str, values: object) -> Path:
        """Write JSON that a person can read."""
        return self.write_text(name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def write_table(self, name: str, columns: Mapping[str, Any]) -> Path:
        """Write a Parquet file of these columns."""
        return self.write(name, lambda path: pq.write_table(pa.table(dict(columns)), path))

    def write_array(self, name: str, array: NDArray[Any]) -> Path:
        """Write a .npy file."""
        return self.write(name, lambda path: _save(path, lambda file: np.save(file, array)))

    def write_arrays(self, name: str, arrays: Mapping[str, ArrayLike]) -> Path:
        """Write an .npz file."""
        return self.write(name, lambda path: _save(path, lambda file: np.savez(file, **arrays)))  # type: ignore[arg-type]

    def read_json(self, name: str) -> Any:
        """Read back what `write_json` wrote."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def log(self, event: str, **values: object) -> None:
        """Add one line to the log: when, what, and any plain values."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **values})
        with self.path(LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class FollowedRun(RunFolder):
    """The run folder of another process that computes the same: what that one writes is read, nothing is written.

    For the processes of one training beside the main one. They share its steps, so that each sees the same files.
    """

    def __enter__(self) -> Self:
        """Nothing is claimed."""
        return self

    def write(self, name: str, fill: Callable[[Path], object]) -> Path:  # noqa: ARG002  (the other process fills it)
        """Where the file will be."""
        return self.folder / name

    def fill(self, name: str, make: Callable[[Path], object]) -> None:
        """Nothing."""

    def path(self, name: str) -> Path:
        """Where a file of the run is or will be."""
        return self.folder / name

    def log(self, event: str, **values: object) -> None:
        """Nothing."""


def _save(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """NumPy would add a suffix to a name, but not to an open file."""
    with path.open("wb") as file:
        fill(file)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What TOML can hold: None is left out, tuples become lists, paths become strings."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain[name] = _plain(value)
        elif isinstance(value, Path):
            plain[name] = str(value)
        elif isinstance(value, list | tuple):
            plain[name] = list(value)
        elif value is not None:
            plain[name] = value
    return plain


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(name), theirs.get(name)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differences(left, right, f"{prefix}{name}.")
        elif left != right:
            yield prefix + name, "nothing" if left is None else repr(left), "nothing" if right is None else repr(right)
