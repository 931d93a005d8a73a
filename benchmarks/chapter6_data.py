"""The instruction sets of chapter 6's stand-ins, as files that the readers take."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from goodgrain.data.instructions import Instructions, read_instructions
from goodgrain.pipelines.instruct_embedders import find_embedder
from goodgrain.pipelines.instruct_space import VectorCache, embed_texts
from goodgrain.pipelines.monitor import Silent


def source() -> Path:
    """The folder of the data files."""
    place = os.environ.get("GOODGRAIN_DATA")
    if not place:
        raise SystemExit("Set GOODGRAIN_DATA to the folder of the datasets; benchmarks/README.md names them.")
    return Path(place)


@cache
def alpaca() -> Instructions:
    """15,121 usable rows of Alpaca, of which 9,229 were drawn at random."""
    return read_instructions(source() / "alpaca_subset.parquet")


@cache
def halueval() -> Instructions:
    """4,507 of Alpaca's requests with ChatGPT's responses."""
    return read_instructions(source() / "halueval_general.parquet")


@cache
def hallucinated() -> np.ndarray:
    """(4507,) whether people found the response hallucinated."""
    return np.array([value == "yes" for value in halueval().column("hallucination")])


def embed(texts: list[str], work: Path, embedder: str = "minilm") -> np.ndarray:
    """(n, d) of unit length, each text embedded once and kept in `work`."""
    found = find_embedder(embedder)
    assert found is not None
    work.mkdir(parents=True, exist_ok=True)
    with VectorCache(work / "vectors.sqlite", found.identity) as vectors:
        x = embed_texts(texts, found, vectors, Silent())
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Twins:
    """Rows of Alpaca and responses of HaluEval to the same requests.

    Args:
        rows: (m,) positions into Alpaca.
        responses: (m,) what HaluEval has ChatGPT say.
        hallucinated: (m,) bool.
    """

    rows: np.ndarray
    responses: list[str]
    hallucinated: np.ndarray


@cache
def twins() -> Twins:
    """HaluEval's responses whose request is one of Alpaca's, instruction and input in one line."""
    table = pq.read_table(source() / "alpaca_subset.parquet", columns=["instruction", "input", "output"]).to_pylist()
    known = {" ".join(f"{row['instruction']} {row['input']}".split()): row["output"] for row in table if row["output"]}
    at = {}
    for position, (request, _) in enumerate(row for _, rows in alpaca().blocks() for row in rows):
        at[" ".join(request.split())] = position
    rows, responses, bad = [], [], []
    for place, (request, response) in enumerate(row for _, rows in halueval().blocks() for row in rows):
        name = " ".join(request.split())
        if name in known and name in at:
            rows.append(at[name])
            responses.append(response)
            bad.append(hallucinated()[place])
    return Twins(np.array(rows), responses, np.array(bad))


def as_file(rows: list[dict[str, object]], path: Path) -> Instructions:
    """Rows as a JSONL file, read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_instructions(path)
