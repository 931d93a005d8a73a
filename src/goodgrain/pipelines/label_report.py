"""From a labelling run to its metrics and its report."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goodgrain.annotate import OOD
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_inputs import MAX_BAD, READING, Images
from goodgrain.pipelines.label_pictures import Seen, hint, plane
from goodgrain.pipelines.prune_inputs import IN_MEMORY
from goodgrain.pipelines.prune_report import settings_of
from goodgrain.report.label import LabelFacts, RoundFacts, label_report
from goodgrain.run import RunFolder

_DEFAULTS = LabelConfig().table()
_GIVEN = ("data", "known", "test", "embeddings", "test_embeddings")


def write_report(run: RunFolder, seen: Seen, images: Images, asked: LabelConfig) -> dict[str, Any]:
    """Write metrics.json and report.html, and return the metrics."""
    rounds = [
        RoundFacts(
            one.number,
            one.strategy,
            one.in_distribution,
            one.ood,
            one.unsure + one.unresolved,
            one.spent,
            seen.accuracy_after(one.number),
        )
        for one in seen.rounds
    ]
    metrics: dict[str, Any] = {
        "strategy": asked.strategy,
        "images": len(images.pool),
        "test": None if images.test is None else len(images.test),
        "rounds": [
            {
                "round": one.number,
                "strategy": one.strategy,
                "answered": one.in_distribution + one.ood + one.unsure,
                "in_distribution": one.in_distribution,
                "ood": one.ood,
                "unsure": one.unsure,
                "spent": one.spent,
                "in_share": one.share,
                "accuracy": one.accuracy,
            }
            for one in rounds
        ],
        "agreement": {str(number): value for number, value in seen.agreement.items()},
        "hint": hint(seen),
    }
    run.write_json("metrics.json", metrics)
    places = {name: row for row, name in enumerate(images.pool.ids.tolist())}
    last = [] if seen.asked is None else [(row, seen.answers[row]) for row in seen.asked.picked]
    facts = LabelFacts(
        name=str(run.config.get("data", "data")).rstrip("/").rsplit("/", 1)[-1],
        command=_command(run.config),
        settings=list(settings_of(run.config)),
        images=len(images.pool),
        classes=images.classes,
        rounds=rounds,
        plane=plane(seen),
        hint=metrics["hint"],
        last=[(str(images.pool.ids[row]), str(answer)) for row, answer in last if answer],
        per_class={name: int(np.count_nonzero(seen.labels == k)) for k, name in enumerate(images.classes)},
        thumbnail=lambda name: images.pool.thumbnail(places[name]),
        ood_name=OOD,
    )
    run.write_text("report.html", label_report(facts))
    return metrics


def _command(config: Mapping[str, Any]) -> str:
    """The command that begins this run, where one can; what is left at its default is left out."""
    given = {name: config[name] for name in _GIVEN if config.get(name) is not None}
    inside = [name for name, source in given.items() if str(source).endswith(IN_MEMORY)]
    if inside:
        return f"goodgrain.label(...) with {', '.join(inside)} in memory"
    words = ["goodgrain", "label", "init", given.pop("data"), "--classes", _joined(config["classes"])]
    asked = {name: value for name, value in config["label"].items() if value != _DEFAULTS.get(name)}
    reading = {name: config[name] for name in READING if config.get(name) is not None}
    if reading.get("max_bad") == MAX_BAD:
        del reading["max_bad"]
    for name, value in {**given, **reading, **asked}.items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]
    return shlex.join(map(str, words))


def _joined(classes: Sequence[str]) -> str:
    """Names as one cell after another: a comma or a quote in one of them stays its own."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(classes)
    return line.getvalue()
