"""What was paid for: raw answers and a ledger of calls in one SQLite file, written down call by call."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from goodgrain.errors import DiskFull, InputError

_APPLICATION = 0x67726163  # tells a cache from any other SQLite file
_VERSION = 1
_PATIENCE = 30.0  # seconds for another process to finish its step
_SCHEMA = """
CREATE TABLE calls (
    number INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'paid')),
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    time REAL NOT NULL
);
CREATE INDEX calls_of_model ON calls (server, model, state);
CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    call INTEGER NOT NULL REFERENCES calls
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Ledger:
    """What the calls to one model took.

    Args:
        paid_calls: calls that were answered.
        input_tokens: of their prompts.
        output_tokens: of their answers.
        lost_calls: calls whose end nobody knows: under way now, or broken off by a kill or a cut connection.
        lost_input_tokens: at most so many tokens of their prompts.
        lost_output_tokens: at most so many tokens of their answers.
    """

    paid_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    lost_calls: int = 0
    lost_input_tokens: int = 0
    lost_output_tokens: int = 0


class AnswerCache:
    """Answers by key, and a ledger in which each call stands before it is sent.

    A kill at any moment loses at most the answers of calls under way; these stay in the ledger as lost, since they may
    have been billed. An answer is on the disk when `commit` returns. Threads and processes may share the
    file. Failures are never kept, nor keys of an API.

    Args:
        path: the file, made if it is not there; ":memory:" keeps nothing.

    Raises:
        InputError: the folder is missing, or the file is no cache or of another version.
        DiskFull: no room; also from every method that writes.

    Example:
        >>> with AnswerCache(":memory:") as cache:
        ...     call = cache.begin("https://example.org/v1", "tiny", 90, 64)
        ...     cache.commit(call, [("a key", b"an answer")], 12, 5)
        ...     cache.get("a key"), cache.ledger("https://example.org/v1", "tiny").input_tokens
        (b'an answer', 12)
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        in_memory = str(path) == ":memory:"
        if not in_memory and not self.path.parent.is_dir():
            raise InputError(f"{self.path.parent} is no folder, so {self.path.name} cannot be made there.")
        self._turn = threading.RLock()
        with self._sentences():
            self._db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self._share()
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        with self._step():
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if application == 0 and not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            elif application != _APPLICATION:
                raise InputError(f"{self.path} is no cache of answers. Give another file.")
            elif version != _VERSION:
                raise InputError(f"{self.path} is of version {version}; this is version {_VERSION}. Give another file.")

    def _share(self) -> None:
        """Readers and one writer at a time; SQLite does not wait by itself while two processes switch this on."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def get(self, key: str) -> bytes | None:
        """The answer of this key; None where there is none."""
        with self._turn, self._sentences():
            row = self._db.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def begin(self, server: str, model: str, input_tokens: int, output_tokens: int) -> int:
        """Write down that a call is about to be sent.

        Args:
            server: its address.
            model: who is asked.
            input_tokens: at most so many will be billed for the prompt.
            output_tokens: and for the answer.

        Returns:
            The call's number, for commit or cancel.
        """
        row = (server, model, input_tokens, output_tokens, time.time())
        with self._step():
            number = self._db.execute(
                "INSERT INTO calls (server, model, state, input_tokens, output_tokens, time)"
                " VALUES (?, ?, 'sent', ?, ?, ?)",
                row,
            ).lastrowid
        assert number is not None
        return number

    def commit(self, call: int, answers: Sequence[tuple[str, bytes]], input_tokens: int, output_tokens: int) -> None:
        """Keep the answers of a call and what it took, in one step; an answer that is there already stays."""
        with self._step(outlast_power_cuts=True):
            self._db.execute(
                "UPDATE calls SET state = 'paid', input_tokens = ?, output_tokens = ? WHERE number = ?",
                (input_tokens, output_tokens, call),
            )
            self._db.executemany(
                "INSERT INTO answers (key, body, call) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                [(key, body, call) for key, body in answers],
            )

    def cancel(self, call: int) -> None:
        """Forget a call that was surely not billed."""
        with self._step():
            self._db.execute("DELETE FROM calls WHERE number = ? AND state = 'sent'", (call,))

    def ledger(self, server: str, model: str) -> Ledger:
        """What all calls to a model took, of every run that used this file."""
        with self._turn, self._sentences():
            rows = self._db.execute(
                "SELECT state, count(*), sum(input_tokens), sum(output_tokens) FROM calls"
                " WHERE server = ? AND model = ? GROUP BY state",
                (server, model),
            ).fetchall()
        totals = {state: (calls, given, made) for state, calls, given, made in rows}
        return Ledger(*totals.get("paid", (0, 0, 0)), *totals.get("sent", (0, 0, 0)))

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._db.close()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _step(self, *, outlast_power_cuts: bool = False) -> Iterator[None]:
        """One transaction, seen whole or not at all; each outlasts a kill, only what was paid for needs more."""
        with self._turn, self._sentences():
            self._db.execute(f"PRAGMA synchronous = {'FULL' if outlast_power_cuts else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """SQLite's errors in words that say what to do."""
        try:
            yield
        except sqlite3.Error as reason:
            if "full" in str(reason) or "disk I/O" in str(reason):
                raise DiskFull(f"{self.path} cannot be written: {reason}. Make room and run again.") from reason
            if "locked" in str(reason):
                raise InputError(f"{self.path} was locked by another process for {_PATIENCE:g} seconds.") from reason
            raise InputError(f"{self.path} cannot be used as a cache of answers: {reason}.") from reason
