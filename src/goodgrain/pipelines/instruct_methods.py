"""Selections of instructions without clusters: what FP-Instruction is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions, budget_count, lookup
from goodgrain.data.instructions import Instructions, normal, read_instructions
from goodgrain.errors import InputError
from goodgrain.pipelines.instruct_steps import Embeddings
from goodgrain.select import k_center, min_cover, random, top_k


@dataclass(frozen=True, eq=False)
class Picks:
    """What a method keeps.

    Args:
        positions: (k,) rows of the data, in the order picked.
        scores: (n,) what it went by, higher = picked first; NaN where a row has none; None where there are no scores.
        score: what the scores are, in words.
        words: of each row what a teacher said about it.
    """

    positions: Positions
    scores: NDArray[np.float64] | None = None
    score: str = ""
    words: dict[int, str] | None = None


def by_score(scores: NDArray[np.float64], budget: int | float, dropped: Positions, score: str) -> Picks:
    """The rows of the highest scores; rows without one are never kept."""
    missing = np.flatnonzero(np.isnan(scores))
    out = np.union1d(dropped, missing)
    left = len(scores) - len(out)
    if not left:
        raise InputError(f"no row has a {score}. Look at what the teacher or the model said.")
    count = budget_count(budget, n=len(scores))
    filled = np.where(np.isnan(scores), -np.inf, scores)
    filled[out] = np.nanmin(scores[~np.isnan(scores)])
    return Picks(top_k(filled, min(count, left), must_drop=out).positions, scores, score)


def reaching(scores: NDArray[np.float64], least: float, dropped: Positions, score: str) -> Picks:
    """The rows whose score reaches a threshold, the highest first (Alpagasus)."""
    good = np.nan_to_num(scores, nan=-np.inf) >= least
    good[dropped] = False
    kept = np.flatnonzero(good)
    if not len(kept):
        raise InputError(f"no {score} reaches {least:g}. Ask for less, or give keep.")
    return Picks(kept[np.argsort(-scores[kept], kind="stable")], scores, score)


def free(
    method: str,
    instructions: Instructions,
    embeddings: Embeddings | None,
    budget: int | float,
    dropped: Positions,
    seed: int,
) -> Picks:
    """A method that costs nothing beyond embeddings.

    Args:
        method: a key of `goodgrain.pipelines.instruct_config.FREE`.
        instructions: the data, of n rows.
        embeddings: (n, d) for the methods that go by them.
        budget: how many to keep.
        dropped: positions that are never kept.
        seed: of what is drawn.
    """
    return lookup("method", _FREE, method)(instructions, embeddings, budget, dropped, seed)


def _random(instructions: Instructions, _: Any, budget: int | float, dropped: Positions, seed: int) -> Picks:
    return Picks(random(len(instructions), budget, must_drop=dropped, seed=seed).positions)


def _longest(instructions: Instructions, _: Any, budget: int | float, dropped: Positions, __: int) -> Picks:
    scores = np.array([len(response) for _, rows in instructions.blocks() for _, response in rows], dtype=np.float64)
    return by_score(scores, budget, dropped, "length of the response in characters")


def _max_cover(_: Instructions, x: Embeddings | None, budget: int | float, dropped: Positions, seed: int) -> Picks:
    assert x is not None
    return Picks(k_center(x, budget, must_drop=dropped, seed=seed).positions)


def _min_cover(_: Instructions, x: Embeddings | None, budget: int | float, dropped: Positions, seed: int) -> Picks:
    assert x is not None
    return Picks(min_cover(x, budget, must_drop=dropped, seed=seed).positions)


_FREE: dict[str, Callable[[Instructions, Embeddings | None, int | float, Positions, int], Picks]] = {
    "random": _random,
    "longest": _longest,
    "max_cover": _max_cover,
    "min_cover": _min_cover,
}


def listed(instructions: Instructions, path: Path, budget: int | float | None, dropped: Positions) -> Picks:
    """The rows that a list names, in its order (LIMA's set was made by people).

    Args:
        instructions: the data.
        path: a text file whose lines are ids, or requests word by word; or instructions in any layout.
        budget: how many of them at most; None for all.
        dropped: positions that are never kept.

    Raises:
        InputError: no such file, or a list that names no row of the data.
    """
    wanted = {name: place for place, name in reversed(list(enumerate(_names(path))))}
    left = np.ones(len(instructions), dtype=bool)
    left[dropped] = False
    found: list[tuple[int, int]] = []
    for rows, texts in instructions.blocks():
        for position, (request, _) in zip(range(rows.start, rows.stop), texts, strict=True):
            place = wanted.get(str(instructions.ids[position]), wanted.get(normal(request)))
            if place is not None and left[position]:
                found.append((place, position))
    if not found:
        raise InputError(
            f"the list {path} names no row of the data. Each line should be an id, such as {instructions.ids[0]}, or "
            "a request word by word."
        )
    positions = np.array([position for _, position in sorted(found)], dtype=np.int64)
    return Picks(positions if budget is None else positions[: budget_count(budget, n=len(instructions))])


def _names(path: Path) -> list[str]:
    if path.suffix != ".txt":
        return [normal(request) for _, texts in read_instructions(path).blocks() for request, _ in texts]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise InputError(f"the list {path} cannot be read: {reason}.") from reason
    return [normal(line) for line in lines if line.strip()]
