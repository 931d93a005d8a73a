"""From a training run to the facts of its report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.models import has_batch_norm
from goodgrain.pipelines.prune_inputs import IN_MEMORY
from goodgrain.pipelines.prune_report import settings_of
from goodgrain.pipelines.train_config import BRIEF, TASKS, TrainConfig, under_recipe
from goodgrain.pipelines.train_inputs import Images
from goodgrain.pipelines.train_steps import DETECTORS, Trained, attacked, known_boxes
from goodgrain.report.train import train_report
from goodgrain.report.train_facts import (
    MEAN_SQUARE,
    STANDARD,
    Candidate,
    FoundBoxes,
    MethodFacts,
    OodSource,
    TrainFacts,
)
from goodgrain.report.train_views import Projection, SwitchedOff
from goodgrain.run import RunFolder
from goodgrain.scores.features import class_cosine

_TASK_WORDS = {"classify": "classification", "box": "box regression", "wsol": "weakly supervised localisation"}
_SCORES = {"classify": "accuracy", "box": "mean_iou", "wsol": "gt_known_loc"}
_MOST_CLASSES = 30  # of a map of all pairs
_BOXES = 24
_READING = {"image_size": None, "label_column": None, "image_column": None, "id_column": None, "max_bad": 0.01}


def write_report(run: RunFolder, images: Images, trained: Sequence[Trained], asked: TrainConfig) -> None:
    """Write report.html."""
    run.write_text("report.html", train_report(_facts(run.config, images, trained, asked)))


def write_comparison(run: RunFolder, candidates: Sequence[Candidate]) -> None:
    """Write report.html of a comparison of OOD sets."""
    facts = TrainFacts(
        name=_name(run.config),
        command=_command(run.config, ["--compare-ood"]),
        settings=settings_of(run.config),
        candidates=candidates,
    )
    run.write_text("report.html", train_report(facts))


def _facts(config: Mapping[str, Any], images: Images, trained: Sequence[Trained], asked: TrainConfig) -> TrainFacts:
    shown = images.target if images.test is None else images.test
    first = {one.method: one for one in reversed(trained)}  # of each method, its first repeat
    strangers = images.strangers
    return TrainFacts(
        name=_name(config),
        command=_command(config, []),
        settings=settings_of(config),
        target=len(images.target),
        task=_TASK_WORDS[asked.task],
        measure=TASKS[asked.task],
        method=asked.method,
        methods=[_method(first[method], trained, images, asked) for method in asked.methods],
        width=first[asked.method].features.shape[1],
        classes=shown.classes,
        ids=shown.ids,
        labels=shown.labels,
        thumbnail=shown.thumbnail,
        ood_ids=() if strangers is None else strangers.ids,
        ood_thumbnail=None if strangers is None else strangers.thumbnail,
        ood_held_back=images.held_back,
        attacked_images=0 if images.test is None else len(attacked(images.test, asked.seed)),
        switched_off=_switched_off(first, asked),
        boxes=_boxes(first, images),
        sources=[_source(name, images) for name in dict.fromkeys((*images.sources, *images.copies))],
        target_ids=images.own.ids,
        target_thumbnail=images.own.thumbnail,
        rejected=[(one.id, one.reason) for one in images.train.rejected],
        seed=asked.seed,
    )


def _method(first: Trained, trained: Sequence[Trained], images: Images, asked: TrainConfig) -> MethodFacts:
    shown = images.target if images.test is None else images.test
    own = [one.facts for one in trained if one.method == first.method]

    def over_repeats(name: str) -> list[float]:
        return [facts[name] for facts in own if name in facts]

    with_classes = asked.task != "box"
    detectors = {name: over_repeats(f"{name}_auroc") for name in DETECTORS}
    return MethodFacts(
        name=first.method,
        weight=None if first.method == STANDARD else asked.calibration(first.method).strength,
        score=over_repeats(_SCORES[asked.task]),
        activation=over_repeats("activation"),
        ood_activation=over_repeats("ood_activation"),
        between=over_repeats("class_cosine"),
        attacked=over_repeats("adversarial_accuracy"),
        auroc={name: values for name, values in detectors.items() if values},
        terms=first.history.terms,
        penalty=_penalty(first, asked),
        cosine=class_cosine(first.features, shown.labels)
        if with_classes and len(shown.classes) <= _MOST_CLASSES and int(shown.labels.max()) + 1 == len(shown.classes)
        else None,
        projection=Projection.of(first.features, shown.labels, first.strange, seed=asked.seed)
        if with_classes and first.strange is not None
        else None,
    )


def _penalty(first: Trained, asked: TrainConfig) -> str:
    """What a method's term "ood" measures."""
    if first.method == STANDARD:
        return ""
    if first.method == "oat":
        return "cross-entropy to uniform, nats"
    layer = " before the pooling" if asked.layer == "maps" else ""
    relative = asked.penalty == "relative" or (asked.penalty == "auto" and not has_batch_norm(first.learner.network))
    return f"{MEAN_SQUARE}{layer}" + (", target's = 1" if relative else "")


def _switched_off(first: Mapping[str, Trained], asked: TrainConfig) -> SwitchedOff | None:
    before, after = first.get(STANDARD), first[asked.method]
    if before is None or before is after or before.strange is None or after.strange is None:
        return None
    return SwitchedOff.of(before.features, before.strange, after.features, after.strange)


def _boxes(first: Mapping[str, Trained], images: Images) -> FoundBoxes | None:
    predicted = {name: one.boxes for name, one in first.items() if one.boxes is not None}
    if not predicted or images.test is None or images.test.boxes is None:
        return None
    known = known_boxes(images.test)
    positions = known[np.linspace(0, len(known) - 1, min(_BOXES, len(known))).astype(np.int64)]
    return FoundBoxes(
        positions, images.test.boxes[positions], {name: boxes[positions] for name, boxes in predicted.items()}
    )


def _source(name: str, images: Images) -> OodSource:
    if name not in images.copies:
        return OodSource(name, images.sources.get(name, 0))
    pool, found = images.copies[name]
    pairs = np.stack([found.positions, found.originals], axis=1)
    return OodSource(name, images.sources.get(name, 0), pairs, pool.ids, pool.thumbnail)


def _name(config: Mapping[str, Any]) -> str:
    name = Path(config.get("data") or "data").name
    return "images in memory" if name.endswith(IN_MEMORY) else name


def _reading(config: Mapping[str, Any]) -> list[str]:
    """The options that say how images are read, where they differ from the usual."""
    line = ["--box-frame", "x".join(map(str, config["box_frame"]))] if config.get("box_frame") else []
    line += ["--class-names", ",".join(config["class_names"])] if config.get("class_names") else []
    for name, usual in _READING.items():
        if config.get(name, usual) not in (usual, None):
            line += [f"--{name.replace('_', '-')}", str(config[name])]
    return line


def _usual(recipe: str | None, *, comparison: bool) -> dict[str, Any]:
    """What the command line asks by itself under a recipe."""
    own = TrainConfig(**under_recipe({} if recipe is None else {"recipe": recipe})).table()
    own |= {"method": STANDARD, "compare": (), "epochs": BRIEF} if comparison else {}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()} | {"recipe": None}


def _command(config: Mapping[str, Any], flags: Sequence[str]) -> str:
    """The call that makes this run: a command line where everything came from files, else Python."""
    asked, ood = config["train"], dict(config.get("ood", {}))
    usual = _usual(asked.get("recipe"), comparison=bool(flags))
    given = {name: value for name, value in asked.items() if value != usual.get(name)}
    sources = [config.get("data", ""), config.get("test", ""), *ood.values()]
    if any(str(source).endswith(IN_MEMORY) for source in sources):
        words = [f"{name}={value!r}" for name, value in given.items()]
        call = "goodgrain.compare_ood" if flags else "goodgrain.train"
        return f"{call}(pool, ood={list(ood)}{''.join(f', {word}' for word in words)})"
    line = ["goodgrain", "train", str(config["data"]), *(w for source in ood.values() for w in ("--ood", str(source)))]
    line += flags
    if config.get("test"):
        line += ["--test", str(config["test"])]
    line += _reading(config)
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, Mapping):
            line += [word for key, weight in value.items() for word in ("--ood-weight", f"{key}={weight}")]
        else:
            listed = ",".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
            line += [f"--{option}", listed]
    return shlex.join(line)
