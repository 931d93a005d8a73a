"""The steps of a selection of instructions: which rows are alike, and what the teacher thinks of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.cluster import ConstrainedKMeans
from goodgrain.data.instructions import Instructions
from goodgrain.errors import TeacherUnavailable
from goodgrain.pipelines.instruct_config import InstructConfig
from goodgrain.pipelines.monitor import Monitor
from goodgrain.run import RunFolder
from goodgrain.teacher import ChatRequest, ClusterRankings, Teacher, rank_clusters, ranking_requests
from goodgrain.teacher.messages import OnAnswer

_CLUSTERS = "clusters.npz"
_CHUNK = 2000  # clusters whose prompts are in memory at a time

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of rows that are alike.

    Args:
        members: for each cluster its rows, ascending positions into the data.
        medoids: (k,) of each cluster the row nearest to its center, as a position into the data.
        inertia: sum of squared distances to the centers.
    """

    members: tuple[Positions, ...]
    medoids: Positions
    inertia: float

    @property
    def sizes(self) -> Positions:
        """(k,) members of each."""
        return np.array([len(rows) for rows in self.members])

    def of_rows(self, n: int) -> Positions:
        """(n,) the cluster of each row of the data; -1 for rows that are in none."""
        labels = np.full(n, -1, dtype=np.int64)
        for number, rows in enumerate(self.members):
            labels[rows] = number
        return labels

    def local_medoids(self) -> list[int]:
        """Of each cluster the place of its medoid among its members."""
        return [int(np.searchsorted(rows, medoid)) for rows, medoid in zip(self.members, self.medoids, strict=True)]


def cluster(
    run: RunFolder, embeddings: Embeddings, rows: Positions, k: int, asked: InstructConfig, watch: Monitor
) -> Clusters:
    """Cluster rows by their embeddings, at most `max_size` in each, once for a run.

    Args:
        run: keeps the clusters.
        embeddings: (n, d) of all rows of the data.
        rows: (m,) those that are clustered, ascending positions into the data.
        k: clusters.
        asked: sizes and seed.
        watch: is told.
    """
    if not run.has(_CLUSTERS):
        watch.stage(f"putting {len(rows):,} rows into {k:,} clusters of at most {asked.max_size}")
        x = np.ascontiguousarray(embeddings[rows], dtype=np.float32)
        model = ConstrainedKMeans(k, size_max=asked.max_size, random_state=asked.seed, shards=asked.shards).fit(x)
        away = np.square(x - model.cluster_centers_[model.labels_]).sum(axis=1)
        by_cluster = np.lexsort((np.arange(len(rows)), away, model.labels_))
        first = np.searchsorted(model.labels_[by_cluster], np.arange(k))
        made: dict[str, Any] = {
            "labels": model.labels_,
            "medoids": rows[by_cluster[first]],
            "inertia": np.array(model.inertia_),
        }
        run.write_arrays(_CLUSTERS, made)
    with np.load(run.folder / _CLUSTERS) as kept:
        order = np.argsort(kept["labels"], kind="stable")
        ends = np.cumsum(np.bincount(kept["labels"], minlength=k))[:-1]
        return Clusters(tuple(np.split(rows[order], ends)), kept["medoids"], float(kept["inertia"]))


def requests_of(instructions: Instructions, clusters: Clusters, asked: InstructConfig) -> Iterator[ChatRequest]:
    """What a teacher will be asked at first, in the order of the clusters."""
    for rows in _chunks(clusters.members):
        yield from ranking_requests(
            [instructions.rows(members) for members in rows],
            asked.prompt(),
            permutations=asked.permutations,
            seed=asked.seed,
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
        )


def rank(
    instructions: Instructions,
    clusters: Clusters,
    teacher: Teacher,
    asked: InstructConfig,
    on_answer: OnAnswer | None = None,
) -> ClusterRankings:
    """Have the teacher rank the rows of each cluster.

    Raises:
        TeacherUnavailable: some clusters have no answer after all attempts; what was answered is kept.
        CostCapReached, DiskFull: from the teacher.
    """
    medoids = clusters.local_medoids()
    parts, start = [], 0
    for members in _chunks(clusters.members):
        parts.append(
            rank_clusters(
                [instructions.rows(rows) for rows in members],
                teacher,
                asked.prompt(),
                permutations=asked.permutations,
                seed=asked.seed,
                malformed="medoid" if asked.malformed == "medoid" else "skip",
                medoids=medoids[start : start + len(members)],
                max_tokens=asked.max_tokens,
                temperature=asked.temperature,
                on_answer=on_answer,
            )
        )
        start += len(members)
    ranked = joined(parts)
    failed = [place for place, one in enumerate(ranked.clusters) if one.state == "failed"]
    if failed:
        why = ranked.clusters[failed[0]].words[-1]
        raise TeacherUnavailable(
            f"{len(failed)} of {len(ranked.clusters)} clusters have no answer. The first failed with: {why} "
            "Repeat the command: it asks only for these."
        )
    return ranked


def joined(parts: Sequence[ClusterRankings]) -> ClusterRankings:
    """The rankings of parts, one after the other."""
    places = max((len(part.winning_places) for part in parts), default=0)

    def total(name: str) -> NDArray[Any]:
        columns = [getattr(part, name) for part in parts]
        padded: NDArray[Any] = np.sum([np.pad(one, (0, places - len(one))) for one in columns], axis=0)
        return padded

    return ClusterRankings(
        tuple(one for part in parts for one in part.clusters),
        total("winning_places"),
        total("expected_places"),
        sum(part.malformed_at_first for part in parts),
        sum(part.malformed for part in parts),
        sum(part.truncated for part in parts),
    )


def _chunks(members: Sequence[Positions]) -> Iterator[Sequence[Positions]]:
    for start in range(0, len(members), _CHUNK):
        yield members[start : start + _CHUNK]
