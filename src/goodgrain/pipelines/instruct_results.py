"""What a selection of instructions came to: a verdict on every row, the files that hold it, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.instructions import Copies, Instructions
from goodgrain.errors import InputError
from goodgrain.pipelines.instruct_config import InstructConfig
from goodgrain.pipelines.instruct_methods import Picks
from goodgrain.pipelines.instruct_steps import Clusters, Embeddings
from goodgrain.run import RunFolder
from goodgrain.teacher import ClusterRanking, ClusterRankings

_YES, _NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
_UNREAD = {
    "medoid": "the answer could not be read: the row nearest to the center stands for its cluster",
    "skipped": "the answer could not be read",
}


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of each of n rows.

    Args:
        kept: (n,) bool.
        order: (n,) place among the kept in the order picked, 0 first; -1 for the dropped.
        rank: (n,) place within the cluster, 1 first; 0 where there is none.
        reasons: (n,) why, in words.
    """

    kept: NDArray[np.bool_]
    order: Positions
    rank: Positions
    reasons: list[str]

    @property
    def positions(self) -> Positions:
        """(k,) the kept rows, in the order picked."""
        kept = np.flatnonzero(self.kept)
        return kept[np.argsort(self.order[kept], kind="stable")]


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a run found, for its files and its report.

    Args:
        asked: what was asked.
        instructions: the data, of n rows.
        verdict: on each row.
        truth: (n,) bool, whether the response is known to be hallucinated; None where nothing is known.
        embeddings: (n, d); None where nothing went by them.
        clusters: of method "cluster".
        rankings: of its clusters.
        picks: of the other methods.
        copies: rows that repeat another one.
        others: method -> what it would have kept.
        cost: what the teacher took; see `goodgrain.pipelines.instruct.cost_of`.
        teacher: in words.
    """

    asked: InstructConfig
    instructions: Instructions
    verdict: Verdict
    copies: Copies
    truth: NDArray[np.bool_] | None = None
    embeddings: Embeddings | None = None
    clusters: Clusters | None = None
    rankings: ClusterRankings | None = None
    picks: Picks | None = None
    others: Mapping[str, Picks] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    teacher: str = ""


def of_clusters(n: int, clusters: Clusters, rankings: ClusterRankings) -> Verdict:
    """The best row of each cluster; kept rows come in the order of the data."""
    kept = np.zeros(n, dtype=bool)
    rank = np.zeros(n, dtype=np.int64)
    reasons = [""] * n
    for rows, result in zip(clusters.members, rankings.clusters, strict=True):
        for place, row in enumerate(result.ranking.order):
            rank[rows[row]] = place + 1
        if result.winner is not None:
            kept[rows[result.winner]] = True
        for member, row in enumerate(rows.tolist()):
            reasons[row] = _reason(result, member, len(rows))
    order = np.where(kept, np.cumsum(kept) - 1, -1)
    return Verdict(kept, order, rank, reasons)


def _reason(result: ClusterRanking, member: int, size: int) -> str:
    if result.state in _UNREAD:
        best = result.winner == member
        return _UNREAD[result.state] if best or result.winner is None else "another row stands for its cluster"
    if member not in result.ranking.order:
        return "left out by the teacher" if size > 1 else "left out by the teacher; it is alone in its cluster"
    if size == 1:
        return "alone in its cluster, and not left out"
    place = result.ranking.order.index(member) + 1
    if result.winner == member:
        return f"ranked first of {size}"
    tied = any({member, result.winner} <= set(tie) for tie in result.ranking.ties)
    return f"ranked as high as the first of {size}, which was kept" if tied else f"ranked {place} of {size}"


def of_picks(n: int, picks: Picks) -> Verdict:
    """What another method picked, in its order."""
    order = np.full(n, -1, dtype=np.int64)
    order[picks.positions] = np.arange(len(picks.positions))
    reasons = ["picked" if place >= 0 else "not picked" for place in order]
    if picks.scores is not None:
        for row, score in enumerate(picks.scores):
            reasons[row] += f": {picks.score} {score:.4g}" if np.isfinite(score) else f": no {picks.score}"
    return Verdict(order >= 0, order, np.zeros(n, dtype=np.int64), reasons)


def with_copies(verdict: Verdict, copies: Copies, ids: NDArray[np.str_]) -> Verdict:
    """The same with the reason of each exact copy that was left out before anything was asked."""
    reasons = list(verdict.reasons)
    for row, original in zip(copies.positions[copies.exact], copies.originals[copies.exact], strict=True):
        if not verdict.kept[row]:
            reasons[row] = f"says the same as {ids[original]}"
    return Verdict(verdict.kept, verdict.order, verdict.rank, reasons)


def truth_of(instructions: Instructions, column: str | None) -> NDArray[np.bool_] | None:
    """Whether each response is known to be hallucinated: a column of yes and no, true and false, or 1 and 0.

    Raises:
        InputError: no such column, or other values in it.
    """
    if column is None:
        return None
    values = [str(value).strip().lower() for value in instructions.column(column)]
    strange = next((value for value in values if value not in _YES + _NO), None)
    if strange is not None:
        raise InputError(f"column {column!r} should hold yes or no, true or false, 1 or 0; {strange!r} came.")
    return np.array([value in _YES for value in values], dtype=bool)


def write_selection(run: RunFolder, outcome: Outcome) -> Path:
    """Write selection.parquet, clusters.parquet, problems.parquet, and the kept rows in the layout that came in."""
    data, verdict = outcome.instructions, outcome.verdict
    columns: dict[str, Any] = {
        "id": data.ids,
        "kept": verdict.kept,
        "order": verdict.order,
        "reason": verdict.reasons,
    }
    if outcome.clusters is not None and outcome.rankings is not None:
        columns |= {"cluster": outcome.clusters.of_rows(len(data)), "rank": verdict.rank}
        run.write_table(
            "clusters.parquet",
            {
                "cluster": np.arange(len(outcome.clusters.members)),
                "size": outcome.clusters.sizes,
                "state": [one.state for one in outcome.rankings.clusters],
                "kept": [
                    None if one.winner is None else str(data.ids[rows[one.winner]])
                    for rows, one in zip(outcome.clusters.members, outcome.rankings.clusters, strict=True)
                ],
                "ids": [data.ids[rows].tolist() for rows in outcome.clusters.members],
                "words": [list(one.words) for one in outcome.rankings.clusters],
                "problems": [list(one.ranking.problems) for one in outcome.rankings.clusters],
            },
        )
    if outcome.picks is not None and outcome.picks.scores is not None:
        columns["score"] = outcome.picks.scores
    run.write_table("selection.parquet", columns)
    if data.problems:
        rows, reasons = zip(*((one.row, one.reason) for one in data.problems), strict=True)
        run.write_table("problems.parquet", {"row": rows, "reason": reasons})
    target = run.path("kept" + data.suffix)
    data.write(np.sort(verdict.positions), target)
    return target


def measure(outcome: Outcome) -> dict[str, Any]:
    """The numbers of metrics.json."""
    data, verdict = outcome.instructions, outcome.verdict
    n, kept = len(data), int(verdict.kept.sum())
    exact = int(outcome.copies.exact.sum())
    metrics: dict[str, Any] = {
        "method": outcome.asked.method,
        "rows": n,
        "problems": len(data.problems),
        "exact_copies": exact,
        "near_copies": len(outcome.copies.positions) - exact,
        "kept": kept,
        "dropped": n - kept,
        "teacher": outcome.teacher,
        "cost": None if outcome.cost is None else dict(outcome.cost),
    }
    if outcome.clusters is not None and outcome.rankings is not None:
        states = [one.state for one in outcome.rankings.clusters]
        metrics["clusters"] = {
            "count": len(states),
            "largest": int(outcome.clusters.sizes.max()),
            "inertia": outcome.clusters.inertia,
            **{name: states.count(name) for name in ("ranked", "dropped", "medoid", "skipped")},
        }
        metrics["answers"] = {
            "malformed_at_first": outcome.rankings.malformed_at_first,
            "malformed": outcome.rankings.malformed,
            "truncated": outcome.rankings.truncated,
            "winning_places": outcome.rankings.winning_places.tolist(),
            "expected_places": np.round(outcome.rankings.expected_places, 3).tolist(),
        }
    if outcome.truth is not None:
        metrics["hallucinated"] = {
            "before": share(outcome.truth, np.arange(n)),
            "kept": share(outcome.truth, verdict.positions),
        }
    metrics["others"] = {
        name: {
            "kept": len(picks.positions),
            "shared": len(np.intersect1d(picks.positions, verdict.positions)),
            **({} if outcome.truth is None else {"hallucinated": share(outcome.truth, picks.positions)}),
        }
        for name, picks in outcome.others.items()
    }
    return metrics


def share(truth: NDArray[np.bool_], rows: Positions) -> float | None:
    """Of some rows, the share that is hallucinated; None of none."""
    return float(truth[rows].mean()) if len(rows) else None
