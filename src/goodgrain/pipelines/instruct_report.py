"""From a selection of instructions to the facts of its report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.pipelines.instruct_config import InstructConfig
from goodgrain.pipelines.instruct_results import Outcome
from goodgrain.pipelines.instruct_steps import Embeddings
from goodgrain.pipelines.prune_report import settings_of
from goodgrain.report.html import Row
from goodgrain.report.instruct import Answers, Cost, InstructFacts, Other, instruct_report
from goodgrain.run import RunFolder

_ROWS = 5000  # that the page lists
_POINTS = 4000
_TEXT = 2000  # characters of a listed text
_PAIRS = 20
_BLOCK = 2048

_TITLES = {
    "cluster": "FP-Instruction",
    "sample_wise": "Sample-wise scoring",
    "list": "The list",
    "random": "A random choice, a baseline,",
    "longest": "The longest responses, a baseline,",
    "ifd": "Instruction-following difficulty, a baseline,",
    "perplexity": "Perplexity, a baseline,",
}


def write_report(run: RunFolder, outcome: Outcome, metrics: Mapping[str, Any]) -> None:
    """Write report.html."""
    run.write_text("report.html", instruct_report(_facts(run, outcome, metrics)))


def _facts(run: RunFolder, outcome: Outcome, metrics: Mapping[str, Any]) -> InstructFacts:
    data, verdict, asked = outcome.instructions, outcome.verdict, outcome.asked
    rng = np.random.default_rng(asked.seed)
    listed = _listed(outcome, rng)
    points, point_rows = _projected(outcome.embeddings, rng)
    known = metrics.get("hallucinated")
    title = _TITLES.get(asked.method, asked.method)
    return InstructFacts(
        name=data.path.name,
        method=title,
        teacher=outcome.teacher,
        command=_command(run.config),
        settings=list(settings_of(run.config)),
        kept=verdict.kept,
        rows=_rows(outcome, listed),
        words=_words(outcome, listed),
        sizes=np.zeros(0, dtype=np.int64) if outcome.clusters is None else outcome.clusters.sizes,
        answers=_answers(outcome, metrics),
        cost=_cost(outcome.cost),
        lengths=np.array(
            [(len(request), len(response)) for _, rows in data.blocks() for request, response in rows], dtype=np.int64
        ),
        points=points,
        point_rows=point_rows,
        point_texts=[request for request, _ in data.rows(point_rows)] if len(point_rows) else [],
        exact_copies=metrics["exact_copies"],
        near_copies=metrics["near_copies"],
        copies=_copies(outcome),
        hallucinated=None if known is None or known["kept"] is None else (known["before"], known["kept"]),
        ours=_other(title, outcome, verdict.positions),
        others=[_other(name, outcome, picks.positions) for name, picks in outcome.others.items()],
        problems=[(one.row, one.reason) for one in data.problems],
    )


def _listed(outcome: Outcome, rng: np.random.Generator) -> Positions:
    """The rows that the page lists: all, or whole clusters drawn at random."""
    n = len(outcome.instructions)
    if n <= _ROWS:
        return np.arange(n)
    if outcome.clusters is None:
        return np.sort(rng.choice(n, _ROWS, replace=False))
    order = rng.permutation(len(outcome.clusters.members))
    ends = np.cumsum(outcome.clusters.sizes[order])
    chosen = order[: max(1, int((ends <= _ROWS).sum()))]
    return np.sort(np.concatenate([outcome.clusters.members[number] for number in chosen]))


def _rows(outcome: Outcome, listed: Positions) -> list[Row]:
    verdict, data = outcome.verdict, outcome.instructions
    n = len(data)
    groups = np.full(n, -1) if outcome.clusters is None else outcome.clusters.of_rows(n)
    return [
        Row(
            bool(verdict.kept[row]),
            int(groups[row]),
            int(verdict.rank[row]),
            request[:_TEXT],
            response[:_TEXT],
            verdict.reasons[row],
            str(data.ids[row]),
        )
        for row, (request, response) in zip(listed.tolist(), data.rows(listed), strict=True)
    ]


def _words(outcome: Outcome, listed: Positions) -> dict[int, list[str]]:
    if outcome.clusters is None or outcome.rankings is None:
        return {}
    groups = np.unique(outcome.clusters.of_rows(len(outcome.instructions))[listed])
    ranked = outcome.rankings.clusters
    return {int(group): [_said(ranked[group].words, ranked[group].shown)] for group in groups if group >= 0}


def _said(words: tuple[str, ...], shown: tuple[tuple[int, ...], ...]) -> str:
    """What was said, and which number stood for which row where rows were shuffled."""
    told = []
    for text, order in zip(words, shown, strict=True):
        told.append(text[:_TEXT])
        if order != tuple(range(len(order))):
            told.append(
                "(shown were, as [1], [2], ..., the cluster's rows " + ", ".join(str(row + 1) for row in order) + ")"
            )
    return "\n".join(told)


def _answers(outcome: Outcome, metrics: Mapping[str, Any]) -> Answers | None:
    if outcome.rankings is None:
        return None
    found = outcome.rankings
    states = {name: metrics["clusters"][name] for name in ("ranked", "dropped", "medoid", "skipped")}
    return Answers(
        {name: count for name, count in states.items() if count},
        found.malformed_at_first,
        found.malformed,
        found.truncated,
        found.winning_places,
        found.expected_places,
    )


def _cost(cost: Mapping[str, Any] | None) -> Cost | None:
    if cost is None:
        return None
    return Cost(
        cost["paid_calls"],
        cost["input_tokens"],
        cost["output_tokens"],
        cost["spent_usd"],
        cost["lost_usd"],
        cost["budget_usd"],
    )


def _copies(outcome: Outcome) -> list[tuple[str, str, float]]:
    copies, data = outcome.copies, outcome.instructions
    best = np.argsort(-copies.similarity, kind="stable")[:_PAIRS]
    here, there = (data.rows(rows[best]) for rows in (copies.positions, copies.originals))
    return [
        ("\n\n".join(one), "\n\n".join(other), float(like))
        for one, other, like in zip(here, there, copies.similarity[best], strict=True)
    ]


def _other(name: str, outcome: Outcome, positions: Positions) -> Other:
    shared = len(np.intersect1d(positions, outcome.verdict.positions))
    known = outcome.truth is not None and len(positions) > 0
    share = float(outcome.truth[positions].mean()) if known and outcome.truth is not None else None
    far = coverage(outcome.embeddings, positions) if outcome.embeddings is not None and len(positions) else None
    return Other(name.replace("_", " "), len(positions), shared, share, far)


def coverage(embeddings: Embeddings, positions: Positions) -> float:
    """Mean Euclidean distance of all rows to the nearest of some of them: the less, the better these cover all.

    Args:
        embeddings: (n, d) of unit length.
        positions: (k,) at least one.

    Example:
        >>> coverage(np.eye(2, dtype=np.float32), np.array([0])).__round__(3)
        0.707
    """
    chosen = np.asarray(embeddings[positions], dtype=np.float32)
    lengths = np.square(chosen).sum(axis=1)
    total = 0.0
    for start in range(0, len(embeddings), _BLOCK):
        block = np.asarray(embeddings[start : start + _BLOCK], dtype=np.float32)
        squares = np.square(block).sum(axis=1)[:, None] - 2 * block @ chosen.T + lengths
        total += float(np.sqrt(np.maximum(squares.min(axis=1), 0.0)).sum())
    return total / len(embeddings)


def _projected(x: Embeddings | None, rng: np.random.Generator) -> tuple[NDArray[np.float64], Positions]:
    """Some rows on the two main directions."""
    if x is None or x.shape[1] < 2 or len(x) < 3:
        return np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
    rows = np.sort(rng.choice(len(x), min(len(x), _POINTS), replace=False))
    centred = np.asarray(x[rows], dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, np.argsort(values)[-2:][::-1]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the same way round everywhere
    return centred @ axes, rows


def _command(config: Mapping[str, Any]) -> str:
    """The command line that makes this run; keys and budgets are not told."""
    asked = config["instruct"]
    defaults = {field.name: field.default for field in fields(InstructConfig)}
    line = ["goodgrain", "instruct", "select", str(config["data"])]
    names = ("teacher", "model", "names", "truth", "request", "response", "id_column")
    given = {name: config[name] for name in names if config.get(name)}
    for name, value in {**given, **asked}.items():
        default = defaults.get(name)
        if value == (list(default) if isinstance(default, tuple) else default):
            continue
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            line.append(option if value else option.replace("--", "--no-", 1))
        elif name == "criteria":
            line += [word for one in value for word in (option, one)]
        else:
            line += [option, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return shlex.join(line)
