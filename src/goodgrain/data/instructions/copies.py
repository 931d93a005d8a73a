"""Rows that say the same as an earlier one, or nearly so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_embeddings, check_within
from goodgrain.data.closest import closest
from goodgrain.data.instructions.instructions import Instructions


@dataclass(frozen=True, eq=False)
class Copies:
    """Rows that repeat an earlier one, each once.

    Args:
        positions: (m,) the repeats, ascending.
        originals: (m,) the row that each repeats: of exact copies the first, else the most similar of the earlier.
        exact: (m,) bool, whether both say the same, spaces aside.
        similarity: (m,) cosine of their embeddings; 1 for exact copies.
    """

    positions: Positions
    originals: Positions
    exact: NDArray[np.bool_]
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        """How many rows are repeats."""
        return len(self.positions)


def find_copies(instructions: Instructions, embeddings: ArrayLike | None = None, *, threshold: float = 0.95) -> Copies:
    """Find exact copies by what rows say, and near ones by their embeddings.

    Args:
        instructions: n rows.
        embeddings: (n, d); None to look for exact copies alone.
        threshold: the least cosine of near copies.

    Raises:
        InputError: embeddings that are not finite or of another length, or a threshold outside (0, 1].

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from goodgrain.data.instructions import read_instructions
        >>> rows = [{"prompt": "Hi", "response": "Hello"}, {"prompt": " Hi ", "response": "Hello"}]
        >>> path = Path(tempfile.mkdtemp(), "set.json")
        >>> _ = path.write_text(json.dumps(rows))
        >>> find_copies(read_instructions(path)).positions
        array([1])
    """
    n = len(instructions)
    order = np.argsort(instructions.digests, kind="stable")
    first = np.empty(n, dtype=np.int64)
    _, starts, inverse = np.unique(instructions.digests[order], return_index=True, return_inverse=True)
    first[order] = order[starts][inverse]
    exact = first != np.arange(n)
    originals, similarity = first.copy(), np.ones(n)
    if embeddings is not None:
        x = check_embeddings(embeddings, n=n)
        least = check_within("threshold", threshold, above=0.0, most=1.0)
        fresh = np.flatnonzero(~exact)
        near, partner, cosine = closest(x[fresh], least, np.arange(len(fresh)), np.greater)
        originals[fresh[near]], similarity[fresh[near]] = fresh[partner], cosine
    rows = np.flatnonzero(originals != np.arange(n))
    return Copies(rows, originals[rows], exact[rows], similarity[rows])
