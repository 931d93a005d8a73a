"""What a pruning run leaves behind: tables, metrics, the report, and the kept part in other forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.duplicates import Duplicates
from goodgrain.data.export import copy_tree, hugging_face
from goodgrain.data.pool import Pool
from goodgrain.observations import Observations
from goodgrain.pipelines.learning_curve import where_more_stops_paying
from goodgrain.pipelines.prune_config import PruneConfig
from goodgrain.run import RunFolder
from goodgrain.scores import training, uncertainty
from goodgrain.scores.suspects import Suspects
from goodgrain.select.selection import Selection
from goodgrain.select.threshold import ThresholdAdvice


@dataclass(frozen=True)
class Score:
    """What each fresh training on one part came to, after its last epoch.

    Args:
        method: that picked the part.
        count: how many examples it has.
        accuracy: on the test set; empty without one.
        corrected: of the part's wrong labels, the share for which the learner predicts the true class; empty where
            the truth is unknown or no label is wrong.
    """

    method: str
    count: int
    accuracy: tuple[float, ...] = ()
    corrected: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Over repeats."""
        return float(np.mean(self.accuracy))

    @property
    def std(self) -> float:
        """Over repeats, with n - 1; 0 for a single one."""
        return float(np.std(self.accuracy, ddof=1)) if len(self.accuracy) > 1 else 0.0

    def metrics(self) -> dict[str, Any]:
        """Its entries in metrics.json."""
        found: dict[str, Any] = {}
        if self.accuracy:
            found |= {"accuracy": list(self.accuracy), "accuracy_mean": self.mean, "accuracy_std": self.std}
        if self.corrected:
            found |= {"corrected": list(self.corrected), "corrected_mean": float(np.mean(self.corrected))}
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """All that was found out before the fresh trainings."""

    config: PruneConfig
    counts: tuple[int, ...]
    observations: Observations
    selection: Selection
    others: Mapping[str, Selection]
    classes: tuple[str, ...]
    pool: Pool | None
    test: Pool | None
    threshold: float
    advice: ThresholdAdvice | None
    duplicates: Duplicates | None
    overlap: Duplicates | None
    suspects: Suspects | None
    neighborhood: NDArray[np.float64] | None

    @property
    def clean(self) -> Positions | None:
        """The true labels, where they are known."""
        return None if self.pool is None else self.pool.clean_labels

    @property
    def confidence(self) -> NDArray[np.float64] | None:
        """(n,) largest probability, of the strong view where there is one."""
        strong, plain = self.observations.strong_probabilities, self.observations.probabilities
        probabilities = plain if strong is None else strong
        return None if probabilities is None else uncertainty.max_prob(probabilities)

    def noise_share(self, part: Positions) -> dict[str, float]:
        """The share of wrong labels among the examples whose truth is known, under its name in metrics.json."""
        labels = self.observations.labels
        known = part[:0] if self.clean is None else part[self.clean[part] >= 0]
        if labels is None or self.clean is None or not len(known):
            return {}
        return {"noise_share": float((labels[known] != self.clean[known]).mean())}


def write_findings(run: RunFolder, outcome: Outcome) -> None:
    """Write quarantine.parquet and duplicates.parquet, each where there is something to tell."""
    if outcome.pool is not None and outcome.pool.rejected:
        rejected = outcome.pool.rejected
        run.write_table(
            "quarantine.parquet", {"id": [one.id for one in rejected], "reason": [one.reason for one in rejected]}
        )
    found = [("data", outcome.duplicates), ("test", outcome.overlap)]
    there = [(name, copies) for name, copies in found if copies is not None and len(copies)]
    if there:
        table: dict[str, Any] = {
            "id": np.concatenate([copies.ids for _, copies in there]),
            "repeats": np.concatenate([copies.original_ids for _, copies in there]),
            "of": np.repeat([name for name, _ in there], [len(copies) for _, copies in there]),
        }
        for column in ("similarity", "exact", "conflicts"):
            table[column] = np.concatenate([getattr(copies, column) for _, copies in there])
        run.write_table("duplicates.parquet", table)


def write_selection(run: RunFolder, outcome: Outcome) -> None:
    """Write selection.parquet, and suspects.parquet where labels could be judged."""
    seen, picked = outcome.observations, outcome.selection.positions
    n = len(seen)
    order = np.full(n, -1, dtype=np.int64)
    order[picked] = np.arange(len(picked))
    gain = np.full(n, np.nan)
    gain[picked] = outcome.selection.gains
    missing = order < 0
    columns: dict[str, Any] = {"id": seen.ids}
    if seen.labels is not None:
        columns["label"] = seen.labels
        columns["class"] = [outcome.classes[label] for label in seen.labels.tolist()]
    columns["picked"] = ~missing
    columns["order"] = pa.array(order, mask=missing)
    columns["gain"] = pa.array(gain, mask=missing)
    columns |= _scores(outcome)
    columns["reason"] = _reasons(outcome, order)
    run.write_table("selection.parquet", columns)
    if outcome.suspects is not None and seen.labels is not None:
        where = outcome.suspects.positions
        table: dict[str, Any] = {
            "id": seen.ids[where],
            "given_label": seen.labels[where],
            "suggested_label": outcome.suspects.suggested,
            "given_class": [outcome.classes[label] for label in seen.labels[where].tolist()],
            "suggested_class": [outcome.classes[label] for label in outcome.suspects.suggested.tolist()],
            "confidence": outcome.suspects.confidence,
            "picked": order[where] >= 0,
        }
        run.write_table("suspects.parquet", table)


def _scores(outcome: Outcome) -> dict[str, NDArray[np.float64]]:
    """Every score that the observations allow at no cost."""
    seen = outcome.observations
    scores: dict[str, NDArray[np.float64]] = {}
    if outcome.confidence is not None:
        scores["confidence"] = outcome.confidence
    if seen.probabilities is not None:
        scores["margin"] = uncertainty.margin(seen.probabilities)
        scores["entropy"] = uncertainty.entropy(seen.probabilities)
    if seen.losses is not None:
        scores["small_loss"] = training.small_loss(seen.losses)
    if seen.correct is not None:
        scores["forgetting"] = training.forgetting(seen.correct)
    if seen.margin is not None:
        scores["aum"] = training.aum(seen.margin)
    if outcome.neighborhood is not None:
        scores["neighborhood_confidence"] = outcome.neighborhood
    return scores


def _reasons(outcome: Outcome, order: Positions) -> list[str]:
    kept, dropped = set(outcome.config.must_keep), set(outcome.config.must_drop)
    suspicious: set[int] = set()
    if outcome.config.drop_suspects and outcome.suspects is not None:
        suspicious = set(outcome.suspects.positions.tolist())
    reasons = []
    smallest = sorted(outcome.counts)
    for position, (name, place) in enumerate(zip(outcome.observations.ids.tolist(), order.tolist(), strict=True)):
        if str(name) in kept:
            reasons.append("must keep")
        elif str(name) in dropped:
            reasons.append("must drop")
        elif place < 0 and position in suspicious:
            reasons.append("its label looks wrong")
        elif place < 0:
            reasons.append("not reached by the budget")
        else:
            budget = next(count for count in smallest if place < count)
            reasons.append(f"picked as number {place + 1}, within the budget of {budget}")
    return reasons


def write_corrections(run: RunFolder, part: Pool, probabilities: NDArray[np.float32]) -> None:
    """Write corrections-COUNT.parquet: the kept examples whose label the learner contradicts, surest first.

    Args:
        run: the run folder.
        part: what it was trained on.
        probabilities: (n, c) what it predicts after training.
    """
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    changed = np.flatnonzero(predicted != part.labels)
    changed = changed[np.argsort(-sure[changed], kind="stable")]
    run.write_table(
        f"corrections-{len(part)}.parquet",
        {
            "id": part.ids[changed],
            "given_label": part.labels[changed],
            "corrected_label": predicted[changed],
            "given_class": [part.classes[label] for label in part.labels[changed].tolist()],
            "corrected_class": [part.classes[label] for label in predicted[changed].tolist()],
            "probability": sure[changed].astype(np.float64),
        },
    )


def measure(outcome: Outcome, scores: Sequence[Score]) -> dict[str, Any]:
    """What metrics.json holds: no times, so that the same run gives the same file."""
    labels, picked = outcome.observations.labels, outcome.selection.positions
    own = {score.count: score for score in scores if score.method == outcome.config.method}
    budgets = []
    for budget, count in zip(outcome.config.keep, outcome.counts, strict=True):
        entry: dict[str, Any] = {"keep": budget, "count": count}
        if labels is not None:
            entry["kept_per_class"] = np.bincount(labels[picked[:count]], minlength=len(outcome.classes)).tolist()
        entry |= outcome.noise_share(picked[:count])
        if count in own:
            entry |= own[count].metrics()
        budgets.append(entry)
    metrics: dict[str, Any] = {
        "n": len(outcome.observations),
        "method": outcome.config.title(outcome.config.method),
        "learner": outcome.config.learner,
        "budgets": budgets,
    }
    metrics["threshold"] = outcome.threshold if outcome.config.method == "prune4rel" else None
    if outcome.duplicates is not None:
        metrics["duplicates"] = len(outcome.duplicates)
    if outcome.overlap is not None:
        metrics["overlap_with_test"] = len(outcome.overlap)
    metrics |= outcome.noise_share(np.arange(len(outcome.observations)))
    if outcome.suspects is not None:
        metrics["suspects"] = _suspect_metrics(outcome, outcome.suspects)
    others = [score for score in scores if score.method != outcome.config.method]
    if others:
        metrics["compared"] = [_compared(outcome, score) for score in others]
    metrics["advice"] = advice(outcome, scores)
    return metrics


def _compared(outcome: Outcome, score: Score) -> dict[str, Any]:
    other = outcome.others.get(score.method)
    part = np.arange(len(outcome.observations)) if other is None else other.positions[: score.count]
    name = {"method": outcome.config.title(score.method), "count": score.count}
    return name | outcome.noise_share(part) | score.metrics()


def _suspect_metrics(outcome: Outcome, found: Suspects) -> dict[str, Any]:
    metrics: dict[str, Any] = {"count": len(found.positions)}
    labels, clean = outcome.observations.labels, outcome.clean
    known = None if clean is None else clean[found.positions] >= 0
    if clean is not None and labels is not None and known is not None and known.any():
        wrong = (labels != clean) & (clean >= 0)
        judged = found.positions[known]
        metrics["precision"] = float(wrong[judged].mean())
        metrics["recall"] = float(wrong[judged].sum() / max(int(wrong.sum()), 1))
        metrics["suggestion_right"] = float((found.suggested[known] == clean[judged]).mean())
        metrics["precision_of_surest_tenth"] = float(wrong[judged[: max(1, len(judged) // 10)]].mean())
    return metrics


def advice(outcome: Outcome, scores: Sequence[Score]) -> str:
    """Where more data stops paying; nothing to say with fewer than two measured budgets."""
    measured = [score for score in scores if score.accuracy and score.method == outcome.config.method]
    if len(measured) < 2 or outcome.test is None:
        return ""
    tested = len(outcome.test)
    errors = [
        max(score.std / math.sqrt(len(score.accuracy)), math.sqrt(score.mean * (1 - score.mean) / tested))
        for score in measured
    ]
    return where_more_stops_paying([s.count for s in measured], [s.mean for s in measured], errors)


def write_export(run: RunFolder, outcome: Outcome) -> None:
    """Write the kept part of each budget as a folder tree or a dataset, whole or not at all."""
    assert outcome.pool is not None
    for count in outcome.counts:
        name = f"export/keep-{count}"
        if run.has(name):
            continue
        part = outcome.selection.positions[:count]
        run.fill(name, partial(_export, outcome.config.export, outcome.pool, part))
        run.log("exported", folder=name)


def _export(form: str | None, pool: Pool, part: Positions, path: Path) -> None:
    if form == "huggingface":
        hugging_face(pool, part, path)
    else:
        copy_tree(pool, part, path, link=form == "link")
