"""From a pruning run to the facts of its report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.data.duplicates import Duplicates
from goodgrain.learn.published import TITLES
from goodgrain.pipelines.prune_config import PruneConfig
from goodgrain.pipelines.prune_inputs import IN_MEMORY
from goodgrain.pipelines.prune_results import Outcome, Score, measure
from goodgrain.report.facts import Copies, Noise, PruneFacts, Threshold
from goodgrain.report.plots import CurvePoint
from goodgrain.report.prune import prune_report
from goodgrain.run import RunFolder

_ASKED = {**PruneConfig(keep=(1,)).table(), "compare": [], "must_keep": [], "must_drop": []}  # the defaults


def write_report(run: RunFolder, outcome: Outcome, scores: Sequence[Score]) -> dict[str, Any]:
    """Write metrics.json and report.html, and return the metrics."""
    metrics = measure(outcome, scores)
    run.write_json("metrics.json", metrics)
    run.write_text("report.html", prune_report(_facts(run.config, outcome, scores, metrics)))
    return metrics


def _facts(
    config: Mapping[str, Any], outcome: Outcome, scores: Sequence[Score], metrics: Mapping[str, Any]
) -> PruneFacts:
    asked, pool, test, seen = outcome.config, outcome.pool, outcome.test, outcome.observations
    largest = max(outcome.counts)
    source = config.get("data") or config.get("observations") or "data"
    noise = None
    if "noise_share" in metrics:
        shares = [entry["noise_share"] for entry in metrics["budgets"]]
        corrected = {score.count: score.corrected for score in scores if score.method == asked.method}
        means = [float(np.mean(corrected[count])) if corrected.get(count) else None for count in outcome.counts]
        noise = Noise(list(outcome.counts), shares, metrics["noise_share"], means)
    return PruneFacts(
        name=Path(source).name,
        method=asked.title(asked.method),
        command=_command(config),
        settings=list(settings_of(config)),
        ids=seen.ids.astype(np.str_),
        kept=outcome.selection.positions[:largest],
        seed=asked.seed,
        classes=outcome.classes,
        labels=seen.labels,
        thumbnail=None if pool is None else pool.thumbnail,
        accuracy=[
            CurvePoint(asked.title(score.method), score.count, score.mean, score.std, len(score.accuracy))
            for score in scores
            if score.accuracy
        ],
        accuracy_on="the test set" if test is None else f"the test set ({len(test):,} images)",
        learner=TITLES[asked.learner],
        advice=metrics["advice"],
        noise=noise,
        suspects=outcome.suspects,
        confidence=outcome.confidence,
        neighbourhood_confidence=outcome.neighborhood,
        threshold=_threshold(outcome),
        duplicates=_copies(outcome.duplicates),
        overlap=_copies(outcome.overlap),
        test_ids=() if test is None else test.ids,
        test_thumbnail=None if test is None else test.thumbnail,
        rejected=() if pool is None else [(one.id, one.reason) for one in pool.rejected],
    )


def _threshold(outcome: Outcome) -> Threshold | None:
    if outcome.config.method != "prune4rel":
        return None
    if outcome.advice is None:
        return Threshold(outcome.threshold, "It was given.")
    quartiles = dict(zip(("lower quartile", "median", "upper quartile"), outcome.advice.quantiles.T, strict=True))
    return Threshold(outcome.threshold, outcome.advice.why, outcome.advice.thresholds.tolist(), quartiles)


def _copies(found: Duplicates | None) -> Copies | None:
    if found is None:
        return None
    return Copies(np.stack([found.positions, found.originals], axis=1), int(found.conflicts.sum()))


def _command(config: Mapping[str, Any]) -> str:
    """The call that makes this run: a command line where everything came from files, else Python."""
    asked = config["prune"]
    files = ("test", "observations", "labels", "clean_labels", "noise", "class_names")
    sources = {name: config[name] for name in files if config.get(name)}
    given = {name: value for name, value in asked.items() if name not in _ASKED or value != _ASKED[name]}
    if any(str(source).endswith(IN_MEMORY) for source in (config.get("data", ""), *sources.values())):
        words = [f"{name}={value!r}" for name, value in given.items()]
        return f"goodgrain.prune(pool, {', '.join(words)})"
    line = ["goodgrain", "prune", *([str(config["data"])] if config.get("data") else [])]
    for name, value in {**sources, **given}.items():
        option = name.replace("_", "-")
        if name in ("must_keep", "must_drop"):
            continue  # the command line takes them as files; the ids stand among the settings
        if isinstance(value, bool):
            line.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, Mapping):
            line += [word for key, most in value.items() for word in ("--quota", f"{key}={most}")]
        elif value != []:
            line += [f"--{option}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return shlex.join(line)


def settings_of(config: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, str]]:
    """Name and value of everything that was asked, tables within tables by dotted names."""
    rows: list[tuple[str, str]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            rows += settings_of(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
