"""Embeddings of instructions: each text once, kept as it comes, the same whether or not a run was stopped."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions, check_embeddings
from goodgrain.data.instructions import Instructions
from goodgrain.errors import DiskFull, InputError
from goodgrain.pipelines.instruct_embedders import Embedder, Vectors, column_vectors
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.pace import Pace
from goodgrain.run import RunFolder

PARTS = ("request", "both")

_BATCH = 64
_FILE = "embeddings.npy"
_LONGEST = 100_000  # characters; models see some hundred words, and a longer text would only cost time


def embed_instructions(
    run: RunFolder,
    instructions: Instructions,
    embedder: Embedder | None,
    *,
    spec: str,
    part: str,
    vectors: Path | None,
    watch: Monitor,
) -> Vectors:
    """Rows as points: near where they say alike; made once for a run, and mapped into memory.

    Texts are embedded in batches of like length. The batches depend on the texts alone, and each is kept when it is
    done, so that a run that was stopped ends with the same bits.

    Args:
        run: keeps the result.
        instructions: n rows.
        embedder: None for a column.
        spec: how the embedder was named.
        part: "request", or "both" for request and response.
        vectors: a file of vectors that runs share; None for one in the run folder.
        watch: is told rate and time left.

    Returns:
        (n, d) float32 of length 1; zeros stay zeros.

    Raises:
        InputError: vectors that are not finite or not of one length.
        DiskFull: a batch could not be kept.
    """
    if not run.has(_FILE):
        if embedder is None:
            x = column_vectors(instructions, spec.partition(":")[2])
        elif embedder.alone:
            with VectorCache(vectors or run.path("vectors.sqlite"), embedder.identity) as cache:
                x = _one_by_one(instructions, embedder, part, cache, watch)
        else:
            watch.stage(f"embedding {len(instructions):,} texts with {spec}")
            x = embedder.embed([text for texts in _texts(instructions, part) for text in texts])
        run.write_array(_FILE, _unit(check_embeddings(x, n=len(instructions))))
    found: Vectors = np.load(run.folder / _FILE, mmap_mode="r")
    return found


def text_of(row: tuple[str, str], part: str) -> str:
    """What of a (request, response) is embedded."""
    text = row[0] if part == "request" else "\n\n".join(row)
    return text[:_LONGEST]


def _texts(instructions: Instructions, part: str) -> Iterator[list[str]]:
    for _, rows in instructions.blocks():
        yield [text_of(row, part) for row in rows]


def _one_by_one(
    instructions: Instructions, embedder: Embedder, part: str, cache: VectorCache, watch: Monitor
) -> Vectors:
    n = len(instructions)
    keys, lengths = np.empty(n, dtype="V16"), np.empty(n, dtype=np.int64)
    start = 0
    for texts in _texts(instructions, part):
        for text in texts:
            keys[start], lengths[start] = np.void(cache.key(text)), len(text)
            start += 1

    def some(rows: Positions) -> list[str]:
        return [text_of(row, part) for row in instructions.rows(rows)]

    return _by_batches(keys, lengths, some, embedder, cache, watch)


def embed_texts(texts: Sequence[str], embedder: Embedder, cache: VectorCache, watch: Monitor) -> Vectors:
    """Texts as vectors, each different one embedded once and kept.

    Args:
        texts: n of them.
        embedder: one whose vectors depend on a text alone.
        cache: what was embedded before.
        watch: is told rate and time left.

    Returns:
        (n, d).
    """
    keys = np.array([np.void(cache.key(text)) for text in texts], dtype="V16")
    lengths = np.array([len(text) for text in texts])
    return _by_batches(keys, lengths, lambda rows: [texts[row] for row in rows], embedder, cache, watch)


def _by_batches(
    keys: NDArray[np.void],
    lengths: Positions,
    texts: Callable[[Positions], list[str]],
    embedder: Embedder,
    cache: VectorCache,
    watch: Monitor,
) -> Vectors:
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.lexsort((first, lengths[first]))  # like lengths side by side: little padding
    pace = Pace("texts embedded", len(first), watch)
    watch.stage(f"embedding {len(first):,} different texts")
    found: Vectors | None = None
    for begin in range(0, len(order), _BATCH):
        places = order[begin : begin + _BATCH]
        rows = first[places]
        there = cache.get([bytes(keys[row]) for row in rows])
        missing = [place for place, vector in enumerate(there) if vector is None]
        if missing:
            # the whole batch, though some may be known: a batch of others would round differently
            made = embedder.embed(texts(rows))
            check_embeddings(made, n=len(rows), name=f"vectors of {embedder.identity}")
            cache.put([(bytes(keys[rows[place]]), made[place]) for place in missing])
            there = [made[place] if vector is None else vector for place, vector in enumerate(there)]
        known = [vector for vector in there if vector is not None]
        if found is None:
            found = np.empty((len(first), len(known[0])), dtype=np.float32)
        if any(len(vector) != found.shape[1] for vector in known):
            raise InputError(f"{embedder.identity} gives vectors of different lengths. Use another embedder.")
        found[places] = np.stack(known)
        pace.add(len(rows), new=bool(missing))
    assert found is not None
    return found[inverse]


class VectorCache:
    """Vectors by text and embedder in one SQLite file, kept batch by batch.

    Args:
        path: the file, made if it is not there.
        identity: of the embedder.

    Raises:
        InputError: the file is none of vectors, or its folder is missing.

    Example:
        >>> with VectorCache(Path(":memory:"), "a model") as cache:
        ...     cache.put([(cache.key("text"), np.float32([1, 2]))])
        ...     cache.get([cache.key("text"), cache.key("other")])
        [array([1., 2.], dtype=float32), None]
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._identity = identity.encode()
        try:
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        except sqlite3.DatabaseError as reason:
            raise InputError(f"{path} cannot hold vectors: {reason}. Give another file.") from reason

    def key(self, text: str) -> bytes:
        """16 bytes that stand for a text as this embedder sees it."""
        return hashlib.sha256(self._identity + b"\0" + text.encode("utf-8", "replace")).digest()[:16]

    def get(self, keys: Sequence[bytes]) -> list[Vectors | None]:
        """The vectors that are there."""
        marks = ", ".join("?" * len(keys))
        rows = self._base.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", keys)  # noqa: S608
        found = {key: np.frombuffer(vector, dtype="<f4") for key, vector in rows}
        return [found.get(key) for key in keys]

    def put(self, vectors: Sequence[tuple[bytes, Vectors]]) -> None:
        """Keep vectors, all or none; those that are there stay."""
        rows = [(key, np.asarray(vector, dtype="<f4").tobytes()) for key, vector in vectors]
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
            self._base.execute("COMMIT")
        except sqlite3.OperationalError as reason:
            raise DiskFull(f"vectors could not be kept: {reason}. Free some room and repeat the command.") from reason

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _unit(x: Any) -> Vectors:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Vectors = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0).astype(np.float32)
    return unit
