"""The nearest of some other rows, by cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions
from goodgrain.neighbors import CosineNeighbors

_BLOCK = 512  # queries at a time: where all n rows are alike, each of them has n neighbours


def closest(
    embeddings: Floats,
    threshold: float,
    asked: Positions,
    eligible: Callable[[Positions, Positions], NDArray[np.bool_]],
) -> tuple[Positions, Positions, NDArray[np.float64]]:
    """The most similar eligible neighbour of each asked row that has one.

    Ties go to the lower position. A zero row has no neighbour.

    Args:
        embeddings: (n, d).
        threshold: least cosine, in (0, 1].
        asked: positions.
        eligible: (rows, neighbours) -> whether each pair counts.

    Returns:
        (m,) rows ascending, (m,) their neighbours, (m,) cosines.
    """
    neighbors = CosineNeighbors(embeddings, threshold)
    found = []
    for part in _blocks(len(asked)):
        rows = neighbors.rows(asked[part])
        query = np.repeat(asked[part], np.diff(rows.indptr))
        usable = eligible(query, rows.indices)
        query, other, similarity = query[usable], rows.indices[usable], rows.similarities[usable]
        order = np.lexsort((other, -similarity, query))
        query, place = np.unique(query[order], return_index=True)
        found.append((query, other[order][place], similarity[order][place]))
    if not found:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0)
    query, other, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return query, other, similarity


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))
