"""How each method comes to its rows: what is asked of whom, and what it took."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.instructions import Instructions
from goodgrain.errors import CostCapReached
from goodgrain.pipelines.instruct_config import FREE, OFFLINE, InstructConfig
from goodgrain.pipelines.instruct_methods import Picks, by_score, free, listed, reaching
from goodgrain.pipelines.instruct_scores import offline_scores, sample_wise, sample_wise_requests
from goodgrain.pipelines.instruct_steps import Clusters, Embeddings, cluster, rank, requests_of
from goodgrain.pipelines.instruct_teacher import Access, cost_of, counter, open_client
from goodgrain.pipelines.monitor import Monitor
from goodgrain.run import RunFolder
from goodgrain.teacher import ChatRequest, Client, ClusterRankings, CostCap, Teacher
from goodgrain.teacher.local import rank_by_score
from goodgrain.teacher.messages import OnAnswer

ANSWERS = "answers.sqlite"
_RANKING = "criteria permutations malformed max_tokens max_characters temperature least_score compare"
ASKED = ("teacher", "model", "truth", *(f"instruct.{name}" for name in _RANKING.split()))
"""What may change after a dry run, until the first answer is there."""

_PROMPTS_SHOWN = 20  # of a dry run
_IFD_MOST = 1.0  # above it the request makes the response less likely: the two do not belong together


@dataclass(frozen=True, eq=False)
class Task:
    """What a method has to work with.

    Args:
        run: the run folder.
        instructions: the data, of n rows.
        embeddings: (n, d), for methods that go by them.
        dropped: positions that are neither kept nor asked about.
        asked: what was asked.
        teacher: an address, a name in OFFLINE, an object that answers, or None.
        model: its name, or a language model.
        names: the list of method "list".
        access: how the server is reached.
        cap: what it may cost, together with a server of embeddings.
        device: of local models.
        watch: is told.
    """

    run: RunFolder
    instructions: Instructions
    embeddings: Embeddings | None
    dropped: Positions
    asked: InstructConfig
    teacher: str | Teacher | None
    model: str | None
    names: Path | None
    access: Access
    cap: CostCap | None
    device: str
    watch: Monitor

    @property
    def rows(self) -> Positions:
        """The rows that may be kept."""
        return np.setdiff1d(np.arange(len(self.instructions)), self.dropped)

    @property
    def asks_a_server(self) -> bool:
        """Whether the teacher is an address."""
        return isinstance(self.teacher, str) and self.teacher not in OFFLINE


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method came to: clusters and their rankings, or picks.

    Args:
        clusters: of method "cluster".
        rankings: of its clusters.
        picks: of every other method.
        cost: what the server took, earlier tries included; None where none was asked.
    """

    clusters: Clusters | None = None
    rankings: ClusterRankings | None = None
    picks: Picks | None = None
    cost: dict[str, Any] | None = None


def choose(task: Task) -> Choice:
    """Do what the method does."""
    asked = task.asked
    if asked.method == "cluster":
        return _by_clusters(task)
    if asked.method == "sample_wise":
        return _by_samples(task)
    if asked.method == "list":
        assert task.names is not None
        return Choice(picks=listed(task.instructions, task.names, asked.keep, task.dropped))
    assert asked.keep is not None
    if asked.method in FREE:
        picks = free(asked.method, task.instructions, task.embeddings, asked.keep, task.dropped, asked.seed)
        return Choice(picks=picks)
    scores, name = _offline(task, asked.method)
    if asked.method == "ifd":
        scores = np.where(scores <= _IFD_MOST, scores, np.nan)
    return Choice(picks=by_score(scores, asked.keep, task.dropped, name))


def beside(task: Task, count: int) -> dict[str, Picks]:
    """What the methods to compare with would keep, as many rows each."""
    return {
        name: free(name, task.instructions, task.embeddings, count, task.dropped, task.asked.seed)
        for name in task.asked.compare
    }


def clusters_of(task: Task) -> Clusters:
    """The clusters of the rows that may be kept."""
    assert task.embeddings is not None
    rows = task.rows
    return cluster(task.run, task.embeddings, rows, task.asked.clusters(len(rows)), task.asked, task.watch)


def _by_clusters(task: Task) -> Choice:
    asked, clusters = task.asked, clusters_of(task)
    if isinstance(task.teacher, str) and task.teacher in OFFLINE:
        scores, name = _offline(task, task.teacher)
        most = _IFD_MOST if task.teacher == "ifd" else None
        return Choice(clusters, rank_by_score(clusters.members, scores, most=most, score=name))
    total = len(clusters.members) + (asked.permutations - 1) * int((clusters.sizes > 1).sum())
    with _asking(task, "prompts answered", total) as (teacher, count, cost):
        rankings = rank(task.instructions, clusters, teacher, asked, count)
    return Choice(clusters, rankings, cost=cost or None)


def _offline(task: Task, name: str) -> tuple[NDArray[np.float64], str]:
    return offline_scores(name, task.run, task.instructions, task.model, task.device, task.watch)


def _by_samples(task: Task) -> Choice:
    asked = task.asked
    with _asking(task, "prompts answered", len(task.rows)) as (teacher, count, cost):
        scores, words = sample_wise(task.instructions, task.rows, teacher, asked, count)
    name = "score by the teacher"
    picks = (
        reaching(scores, asked.least_score, task.dropped, name)
        if asked.keep is None
        else by_score(scores, asked.keep, task.dropped, name)
    )
    return Choice(picks=Picks(picks.positions, scores, name, words), cost=cost or None)


@contextmanager
def _asking(task: Task, what: str, total: int) -> Iterator[tuple[Teacher, OnAnswer, dict[str, Any]]]:
    """The teacher, who is told of each answer, and a table of what the answers took, filled in the end."""
    cost: dict[str, Any] = {}
    task.watch.stage(f"asking the teacher {total:,} times")
    if not isinstance(task.teacher, str):
        assert task.teacher is not None
        yield task.teacher, counter(what, total, task.watch, None, task.access), cost
        return
    with client_of(task) as client:
        try:
            yield client, counter(what, total, task.watch, client, task.access), cost
        except CostCapReached as reached:
            task.run.log("cost cap reached", **cost_of(client, task.access))
            rest = client.estimate(_requests(task))  # of all, not only of the part that was being asked
            raise CostCapReached(
                budget_usd=float(client.cap.budget_usd), spent_usd=float(client.cap.spent_usd),
                lost_usd=float(client.cap.lost_usd), done=rest.cached, asked=rest.requests,
                likely_usd=rest.likely_usd or 0.0, most_usd=rest.most_usd or 0.0,
            ) from reached  # fmt: skip
        cost |= cost_of(client, task.access)


def client_of(task: Task) -> Client:
    """The client of the task's server."""
    assert isinstance(task.teacher, str)
    assert task.model is not None
    return open_client(task.teacher, task.model, task.access, task.run.path(ANSWERS), cap=task.cap)


def rehearse(task: Task) -> dict[str, Any]:
    """What the teacher would take; nothing is asked. Some of the prompts are written down.

    Returns:
        The fields of `goodgrain.teacher.Estimate`.
    """
    shown = itertools.islice(_requests(task), _PROMPTS_SHOWN)
    lines = [json.dumps(_shown(request), ensure_ascii=False) for request in shown]
    task.run.write_text("prompts.jsonl", "\n".join(lines) + "\n")
    assert isinstance(task.teacher, str)
    assert task.model is not None
    there = task.run.folder / ANSWERS
    with open_client(task.teacher, task.model, task.access, there if there.exists() else Path(":memory:")) as client:
        return asdict(client.estimate(_requests(task)))


def _requests(task: Task) -> Iterator[ChatRequest]:
    """What the teacher is asked at first."""
    if task.asked.method == "cluster":
        return requests_of(task.instructions, clusters_of(task), task.asked)
    return sample_wise_requests(task.instructions, task.rows, task.asked)


def _shown(request: ChatRequest) -> dict[str, Any]:
    return {"messages": [asdict(message) for message in request.messages], "max_tokens": request.max_tokens}
