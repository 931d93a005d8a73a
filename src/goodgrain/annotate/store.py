"""The session's file: one SQLite database, one writer, one transaction a step, sentences for what goes wrong."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from goodgrain.errors import DiskFull, InputError
from goodgrain.files import whole_file

FILE = "session.db"
SCHEMA_VERSION = 1
_LOCK = ".session.lock"  # not that of a run folder, in which a session may live
_APPLICATION = 0x67726169  # "grai": tells a session from any other SQLite file

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE classes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    known TEXT CHECK (known IN ('class', 'ood')),
    class INTEGER REFERENCES classes CHECK ((class IS NOT NULL) = (known IS 'class'))
);
CREATE TABLE rounds (
    number INTEGER PRIMARY KEY,
    strategy TEXT NOT NULL,
    parameters TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    random_state TEXT NOT NULL,
    budget REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed'))
);
CREATE TABLE ranking (
    round INTEGER NOT NULL REFERENCES rounds,
    place INTEGER NOT NULL,
    item INTEGER NOT NULL REFERENCES items,
    score REAL,
    PRIMARY KEY (round, place)
) WITHOUT ROWID;
CREATE TABLE queries (
    number INTEGER PRIMARY KEY,
    round INTEGER NOT NULL REFERENCES rounds,
    annotator TEXT NOT NULL,
    time REAL NOT NULL
);
CREATE TABLE query_items (
    query INTEGER NOT NULL REFERENCES queries,
    place INTEGER NOT NULL,
    item INTEGER NOT NULL REFERENCES items,
    PRIMARY KEY (query, place)
) WITHOUT ROWID;
CREATE INDEX queries_of_item ON query_items (item, query);
CREATE TABLE leases (
    item INTEGER PRIMARY KEY REFERENCES items,
    annotator TEXT NOT NULL,
    query INTEGER NOT NULL REFERENCES queries,
    until REAL NOT NULL
);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES items,
    annotator TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('class', 'ood', 'unsure', 'skip')),
    class INTEGER REFERENCES classes CHECK ((class IS NOT NULL) = (kind = 'class')),
    time REAL NOT NULL,
    round INTEGER NOT NULL REFERENCES rounds,
    query INTEGER NOT NULL REFERENCES queries
);
CREATE INDEX answers_of_item ON answers (item, annotator, number);
CREATE INDEX answers_of_round ON answers (round);
CREATE INDEX answers_of_annotator ON answers (annotator, number);
CREATE TABLE undone (answer INTEGER PRIMARY KEY REFERENCES answers, time REAL NOT NULL);
CREATE TRIGGER answers_are_kept BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'answers are only added'); END;
CREATE TRIGGER answers_stay BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'answers are only added'); END;
CREATE VIEW standing AS  -- what counts: of each item, the last answer of each annotator that was not taken back
SELECT a.* FROM answers a
WHERE a.number NOT IN (SELECT answer FROM undone) AND NOT EXISTS (
    SELECT 1 FROM answers later
    WHERE later.item = a.item AND later.annotator = a.annotator AND later.number > a.number
        AND later.number NOT IN (SELECT answer FROM undone)
);
"""


class Store:
    """The open database of a session folder.

    Writing, it keeps every other writer out until it is closed. Threads may share it: they take turns.

    Args:
        folder: where the session lives.
        read_only: look at a session that another process may be writing.

    Raises:
        InputError: there is no session, it is open already, of another version, or damaged.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / FILE
        if not self.path.is_file():
            raise InputError(f"{folder} holds no session: there is no {FILE}. Make one with Session.create.")
        self._turn = threading.RLock()
        self._lock = None if read_only else _claim(folder)
        self._connection: sqlite3.Connection | None = None
        try:
            with _sentences(self.path):
                self._connection = self._connect(read_only=read_only)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(folder: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
        """Make the file of a new session, whole or not at all.

        Args:
            folder: where the session will live; made if it is not there.
            fill: writes what the session starts from.

        Raises:
            InputError: there is a session already, or the folder cannot be made.
            DiskFull: no room.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            raise InputError(f"{folder} cannot be a session's folder: {reason.strerror}. Give another one.") from reason
        path = folder / FILE
        with _claim(folder):
            if path.exists():
                raise InputError(f"{folder} holds a session already. Open it, or give another folder.")
            with _sentences(path), whole_file(path) as part:
                part.unlink(missing_ok=True)  # of a process that was killed
                with closing(sqlite3.connect(part, isolation_level=None)) as db:
                    db.execute("PRAGMA journal_mode = OFF")  # nobody sees the file before it is whole
                    db.execute("PRAGMA synchronous = OFF")
                    db.executescript(_SCHEMA)
                    db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    db.execute("BEGIN")
                    fill(db)
                    db.execute("COMMIT")

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        closed_well = not self.path.with_name(f"{FILE}-wal").exists()
        size = self.path.stat().st_size
        address = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        try:
            if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise InputError(f"{self.path} is no session of goodgrain. Give the folder of a session.")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise InputError(
                    f"{self.path} has schema version {version}; this goodgrain reads {SCHEMA_VERSION}. "
                    f"Use the goodgrain that made it{', or a newer one' if version > SCHEMA_VERSION else ''}."
                )
            if closed_well and size % db.execute("PRAGMA page_size").fetchone()[0]:
                raise InputError(_damaged(self.path, "its last page is cut off"))
            problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise InputError(_damaged(self.path, problem.splitlines()[-1]))
            db.execute("PRAGMA foreign_keys = ON")
            if read_only:
                db.execute("PRAGMA query_only = ON")
            else:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Let others in; what was written is on disk already."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    @contextmanager
    def step(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk when the block ends, or without any effect if it ends in an error.

        Raises:
            DiskFull: there was no room; nothing was written.
            InputError: the session is closed, or another program writes into its file.
        """
        with self._transaction("BEGIN IMMEDIATE") as db:
            yield db

    @contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """One moment of the session, however many questions are asked."""
        with self._transaction("BEGIN") as db:
            yield db

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._turn, _sentences(self.path):
            db = self._connection
            if db is None:
                raise InputError(f"the session in {self.path.parent} is closed. Open it again with Session.open.")
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")


def setting(db: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """What was written with `settings`; the default where the file was made before there was such a setting."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def settings(db: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Write plain values that stay as they are."""
    db.executemany("INSERT INTO settings VALUES (?, ?)", [(name, json.dumps(value)) for name, value in values.items()])


def _claim(folder: Path) -> IO[str]:
    """Keep other writers out for as long as this file is open; the system closes it if the process is killed."""
    try:
        lock = (folder / _LOCK).open("w")
    except OSError as reason:
        raise InputError(f"{folder} cannot be written: {reason.strerror}. Give a folder of your own.") from reason
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        lock.close()
        raise InputError(
            f"the session in {folder} is open already, here or in another process. Close it there."
        ) from reason
    return lock


def _damaged(path: Path, reason: object) -> str:
    return f"{path} is no whole session file ({reason}). Put back a copy of the whole folder."


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """SQLite's errors in words that say what to do; what only a fault in our code can cause stays as it is."""
    try:
        yield
    except sqlite3.Error as problem:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF  # the rest says which system call it was
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise DiskFull(
                f"{path} cannot be written ({problem}): nothing of this step was kept. Make room, and repeat it."
            ) from problem
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise InputError(_damaged(path, problem)) from problem
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            raise InputError(f"{path} cannot be opened ({problem}). Its folder has to be yours to write.") from problem
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise InputError(
                f"{path} is being written by another program. Close that, and repeat the step."
            ) from problem
        raise
