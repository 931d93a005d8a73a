"""Teachers that ask nobody: a score of each row decides within its cluster. Baselines, and named as such."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.checks import check_positions
from goodgrain.errors import InputError
from goodgrain.teacher.clusters import ClusterRanking, ClusterRankings
from goodgrain.teacher.ranking import Ranking


def rank_by_score(
    clusters: Sequence[ArrayLike], scores: ArrayLike, *, most: float | None = None, score: str = "score"
) -> ClusterRankings:
    """Rank the rows of each cluster by a score, the highest first.

    Args:
        clusters: for each the positions of its rows.
        scores: (n,) higher = picked first; a row whose score is NaN is left out.
        most: rows with a higher score are left out (1 for the instruction-following difficulty).
        score: what the scores are, for the words beside each cluster.

    Returns:
        ClusterRankings, as a teacher's. Ties go to the row that comes first.

    Raises:
        InputError: scores that are not one per row, positions outside of them, or an empty cluster.

    Example:
        >>> rank_by_score([[0, 1, 2]], [0.5, 0.9, 1.2], most=1.0).clusters[0].ranking.order
        (1, 0)
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"scores should have one axis; their shape is {values.shape}.")
    limit = np.inf if most is None else most
    sizes = [np.size(rows) for rows in clusters]
    if 0 in sizes:
        raise InputError(f"cluster {sizes.index(0)} is empty. Leave it out.")
    ranked = [_rank(values[check_positions(rows, n=len(values))], limit, score) for rows in clusters]
    none = np.zeros(0)
    return ClusterRankings(tuple(ranked), none.astype(np.int64), none, 0, 0, 0)


def _rank(values: np.ndarray[tuple[int], np.dtype[np.float64]], most: float, score: str) -> ClusterRanking:
    good = ~np.isnan(values) & ~(values > most)
    order = [int(row) for row in np.argsort(-values, kind="stable") if good[row]]
    left_out = tuple(int(row) for row in np.flatnonzero(~good))
    words = f"{score}: " + ", ".join(f"[{row + 1}] {value:.4g}" for row, value in enumerate(values))
    shown = tuple(range(len(values)))
    winner = order[0] if order else None
    ranking = Ranking(tuple(order), dropped=left_out)
    return ClusterRanking(winner, ranking, "dropped" if winner is None else "ranked", (words,), (shown,))
