"""The cells of chapter 3's tables: draw, train with and without OOD images, measure; each cell once, and resumable.

A cell is one training: target, OOD images, learner, method, labelled images, seed, and what is changed. What it came to
is one line of `results/chapter3-SCALE.jsonl`; a cell that has its line is not run again. What is fixed and why is in
docs/decisions/0011-protocol-of-chapter-3.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chapter3_data import BIRDS, VEHICLES, Task, cifar10, drawn, known_bias, tiny_imagenet
from chapter3_facts import facts_of
from linear_probe import LinearProbe
from working import work_through

from goodgrain.data.pool import UNLABELED, Pool
from goodgrain.learn import SimCLR, fit
from goodgrain.learn.learners.calibration import Calibration
from goodgrain.learn.published_ood import make_calibrated
from goodgrain.learn.streams import stream_seed

HERE = Path(__file__).parent
UNLABELED_IMAGES = 5000  # beside MixMatch's labelled ones, at laptop scale


@dataclass(frozen=True)
class Scale:
    """How large an experiment is.

    Args:
        network: of every learner.
        epochs: of every training.
        counts: labelled images.
        seeds: few -> seeds of the smallest count and of the known bias, many -> of everything else.
        recipe: of every learner.
        ood: method -> its weight and statistics.
        config: the published configuration that the learners start from; None for the house's own.
        precision: of all trainings.
    """

    network: str
    epochs: int
    counts: tuple[int, ...]
    seeds: Mapping[str, tuple[int, ...]]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    ood: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: str | None = None
    precision: str = "float32"

    def title(self) -> str:
        """The scale in words."""
        return f"{self.network} network, {self.epochs} epochs, {self.precision}"


SEEDS = {"few": (0, 1, 2, 3, 4), "many": (0, 1, 2)}
CHOSEN: dict[str, dict[str, Any]] = {
    "standard": {},
    "taufe": {"weight": 1.0, "statistics": "shared", "penalty": "absolute"},
    "oat": {"weight": 1.0, "statistics": "separate"},
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "standard": {},
    "taufe": {"weight": 0.1, "statistics": "shared", "penalty": "absolute"},
    "oat": {"weight": 1.0, "statistics": "shared"},
}
SCALES = {
    "laptop": Scale("small", 100, (500, 1000, 2500), SEEDS, {"lr": 0.1, "batch_size": 32}, CHOSEN, precision="bf16"),
    "paper": Scale(
        "resnet18", 200, (500, 1000, 2500, 5000), {**SEEDS, "many": SEEDS["few"]}, {}, PUBLISHED, config="cifar"
    ),
}

CHANGES: dict[str, dict[str, Any]] = {
    "": {},
    "batch 64": {"recipe": {"batch_size": 64}},
    **{
        f"{statistics}, {weight}": {"ood": {"statistics": statistics, "weight": weight}}
        for statistics in ("separate", "running", "shared")
        for weight in (0.01, 0.1, 1.0, 10.0)
    },
    "maps": {"ood": {"layer": "maps"}},
    "group norm": {"recipe": {"network": "networks:group_norm"}},
    "group norm, 10.0": {"recipe": {"network": "networks:group_norm"}, "ood": {"weight": 10.0}},
    "group norm, relative": {"recipe": {"network": "networks:group_norm"}, "ood": {"penalty": "relative"}},
    "relative": {"ood": {"penalty": "relative"}},
    "separate, relative": {"ood": {"statistics": "separate", "penalty": "relative"}},
    "twice the epochs": {"epochs": 2},
    "bias 0.8": {"share": 0.8},
    "bias 0.99": {"share": 0.99},
    "no bias": {"share": 0.0},
    "other photographs": {"same": False},
}
"""What is changed of the fixed protocol, one thing at a time; without bias, any photograph lies behind any digit."""


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        target: "cifar10", "cifar10-validation", "birds", "vehicles" or "known-bias".
        ood: a name in OODS, or "photographs"; standard training does not see them.
        learner: "ce", "mixmatch", "adversarial", "simclr", or a box loss.
        method: "standard", "taufe" or "oat".
        count: labelled images.
        seed: of the draw and of the training.
        change: a name in CHANGES.
    """

    target: str
    ood: str
    learner: str
    method: str
    count: int
    seed: int
    change: str = ""

    @property
    def name(self) -> str:
        """The cell in one word."""
        parts = (self.target, self.ood, self.learner, self.method, self.count, self.change or "as-is", self.seed)
        return "/".join(map(str, parts)).replace(" ", "-")


@dataclass(frozen=True)
class Laboratory:
    """Where cells are run.

    Args:
        scale: a name in SCALES.
        results: the file of results.
        work: the folder of checkpoints.
        device: "auto", "cpu" or "cuda".
    """

    scale: str
    results: Path
    work: Path
    device: str = "auto"

    def measured(self) -> dict[Cell, dict[str, Any]]:
        """Every cell that has its line, and what it came to."""
        if not self.results.exists():
            return {}
        lines = [json.loads(line) for line in self.results.read_text().splitlines()]
        return {Cell(**line["cell"]): line for line in lines}

    def checkpoint(self, cell: Cell) -> Path:
        """Where the training of a cell is, finished or not."""
        return self.work / f"{cell.name.replace('/', '_')}.pt"

    def run(self, cell: Cell) -> str:
        """Run a cell, keep its line, and say what it came to."""
        task = images_of(cell)
        learner = self.trained(cell, task)
        line = {"cell": asdict(cell), **facts_of(cell, learner, task)}
        self.results.parent.mkdir(parents=True, exist_ok=True)
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return ", ".join(
            f"{name} {line[name]:.3f}" for name in ("accuracy", "mean_iou", "gt_known_loc") if name in line
        )

    def trained(self, cell: Cell, task: Task) -> Any:
        """The learner of a cell, after its training."""
        scale, change = SCALES[self.scale], CHANGES[cell.change]
        recipe = {"network": scale.network, **scale.recipe, **change.get("recipe", {})}
        recipe["flip"] = cell.target != "known-bias"
        if cell.learner == "simclr":  # on labelled and OOD images alike, then a head on the labelled ones
            contrastive = SimCLR(scale.network, batch_size=256)
            return LinearProbe(self._fit(cell, contrastive, task.train), task.train)
        kind = cell.learner if cell.learner in ("ce", "mixmatch", "adversarial") else "boxes"
        if kind == "boxes":
            recipe["loss"] = cell.learner
        calibration = Calibration(method=cell.method, **{**scale.ood[cell.method], **change.get("ood", {})})
        learner = make_calibrated(kind, calibration, config=scale.config, **recipe)
        return self._fit(cell, learner, with_unlabeled(task.train, cell) if kind == "mixmatch" else task.train)

    def _fit(self, cell: Cell, learner: Any, pool: Pool) -> Any:
        scale, change = SCALES[self.scale], CHANGES[cell.change]
        epochs = scale.epochs * change.get("epochs", 1)
        fit(
            learner,
            pool,
            epochs=max(1, epochs // 10) if cell.learner == "mixmatch" and scale.config is None else epochs,
            seed=stream_seed(cell.seed, "train"),
            checkpoint=self.checkpoint(cell),
            device=self.device,
            precision=scale.precision,
        )
        return learner


def images_of(cell: Cell) -> Task:
    """The images of a cell; those of standard training are the same, OOD images included."""
    if cell.target == "known-bias":
        change = {name: value for name, value in CHANGES[cell.change].items() if name in ("share", "same")}
        return known_bias(cell.count, cell.seed, **change)
    if cell.target in ("birds", "vehicles"):
        classes = BIRDS if cell.target == "birds" else VEHICLES
        return drawn(tiny_imagenet(classes), tiny_imagenet(classes, validation=True), cell.ood, cell.count, cell.seed)
    return drawn(*cifar10(cell.target == "cifar10-validation"), cell.ood, cell.count, cell.seed)


def with_unlabeled(train: Pool, cell: Cell) -> Pool:
    """The labelled and the OOD images, and between them other images of the target without their labels."""
    target, _ = cifar10(validation=False)
    own = set(train.ids.tolist())
    others = np.array([position for position, one in enumerate(target.ids.tolist()) if one not in own])
    picked = np.sort(np.random.default_rng([cell.seed, 31]).permutation(others)[:UNLABELED_IMAGES])
    images = np.concatenate([train.images(np.arange(len(train))), target.images(picked)])
    labels = np.concatenate([train.labels, np.full(len(picked), UNLABELED)])
    return Pool.from_arrays(images, labels, classes=train.classes)


def command(
    description: str,
    cells: Callable[[Scale], Sequence[Cell]],
    show: Callable[[str, Mapping[Cell, Mapping[str, Any]]], None],
) -> None:
    """The command line of a table or figure: run what is missing, then print.

    Args:
        description: what it reproduces.
        cells: which cells a scale needs, in the order in which they are run.
        show: prints them, from the scale's name and what was measured.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--only", help="run only the cells whose name begins so")
    parser.add_argument("--seeds", type=int, nargs="+", help="run only these seeds")
    parser.add_argument("--print", action="store_true", help="run nothing, print what was measured")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the cores")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so many minutes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, help="where lines are kept [results/chapter3-SCALE.jsonl]")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter3")
    asked = parser.parse_args()
    results = asked.results or HERE / "results" / f"chapter3-{asked.scale}.jsonl"
    laboratory = Laboratory(asked.scale, results, asked.work / asked.scale, asked.device)
    wanted = list(cells(SCALES[asked.scale]))
    if not asked.print:
        laboratory.work.mkdir(parents=True, exist_ok=True)
        now = [
            cell
            for cell in wanted
            if (asked.seeds is None or cell.seed in asked.seeds) and cell.name.startswith(asked.only or "")
        ]
        work_through(laboratory, now, workers=asked.workers, minutes=asked.minutes)
    measured = laboratory.measured()
    show(asked.scale, {cell: measured[cell] for cell in wanted if cell in measured})
