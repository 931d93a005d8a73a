"""The cells of chapter 5's tables: warm up, select, train on what was kept, measure; each cell once, and resumable.

A cell is one training: data, learner, method, share kept and seed. What it came to is one line of
`results/chapter5-SCALE.jsonl`; a cell that has its line is not run again. Warm-ups, observations and checkpoints lie in
a work folder outside version control, so that a cell that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from chapter5_data import DATASETS
from working import alone, work_through

from goodgrain import Observations
from goodgrain.checks import budget_count
from goodgrain.data.pool import Pool
from goodgrain.learn import fit, observe, predict
from goodgrain.learn.published import make_learner
from goodgrain.learn.streams import stream_seed
from goodgrain.scores.suspects import suspects
from goodgrain.scores.training import grand
from goodgrain.select.methods import METHODS, Options, Rulebook, relabeling_inputs, select
from goodgrain.select.neighborhood import neighborhood_confidence
from goodgrain.select.threshold import advise_threshold

HERE = Path(__file__).parent
BINS = 5


@dataclass(frozen=True)
class Scale:
    """How large an experiment is.

    Args:
        network: of the warm-up and of the learner.
        images: how many training images are drawn (with a seed of their own, the same for all cells); None for all.
        warmup_epochs: before the selection.
        epochs: of the learner.
        keeps: shares kept, in the order in which they are run.
        seeds: of warm-up, selection and learner.
        learners: learner -> what it is asked beyond its defaults.
        config: the published configuration that the learners start from; None for the house's own.
        threshold: of Prune4ReL's neighbourhoods: the published one, or None for what `advise_threshold` says.
        precision: of all trainings.
    """

    network: str
    images: int | None
    warmup_epochs: int
    epochs: int
    keeps: tuple[float, ...]
    seeds: tuple[int, ...]
    learners: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: str | None = None
    threshold: float | None = None
    precision: str = "float32"

    def title(self) -> str:
        """The scale in words."""
        images = "all images" if self.images is None else f"{self.images:,} images"
        return f"{images}, {self.network} network, {self.epochs} epochs, {len(self.seeds)} seeds, {self.precision}"


SCALES = {
    "laptop": Scale(
        "small",
        20_000,
        10,
        30,
        (0.2, 0.1, 0.4),
        (0, 1, 2),
        # chosen on 5,000 other training images with uniform picks; the published rates are for ten times the steps
        learners={"sop": {"batch_size": 64, "lr_u": 1.0, "lr_v": 10.0}, "ce": {"batch_size": 64}},
        precision="bf16",
    ),
    "paper": Scale(
        "preact_resnet18", None, 10, 300, (0.2, 0.4, 0.6, 0.8), (0, 1, 2), config="cifar10n", threshold=0.95
    ),
}

VARIANTS: dict[str, dict[str, Any]] = {
    "uniform": {"method": "uniform"},
    "small_loss": {"method": "small_loss"},
    "margin": {"method": "margin"},
    "k_center": {"method": "k_center"},
    "forgetting": {"method": "forgetting"},
    "forgetting, learned only": {"method": "forgetting", "never_learned": "least"},
    "grand": {"method": "grand"},
    "ssp": {"method": "ssp"},
    "moderate": {"method": "moderate"},
    "own": {"method": "prune4rel", "balanced": False},
    "own, balanced": {"method": "prune4rel"},
    "coverage": {"method": "prune4rel", "balanced": False, "gain": "coverage"},
    "coverage, balanced": {"method": "prune4rel", "gain": "coverage"},
    "own, balanced, suspects dropped": {"method": "prune4rel", "drop_suspects": True},
    "coverage, balanced, suspects dropped": {"method": "prune4rel", "gain": "coverage", "drop_suspects": True},
    "uniform, suspects dropped": {"method": "uniform", "drop_suspects": True},
    "own, balanced, diff_prob": {"method": "prune4rel", "confidence": "diff_prob"},
    "own, balanced, 4 views": {"method": "prune4rel", "views": 4},
    "own, balanced, 0.80": {"method": "prune4rel", "threshold": 0.80},
    "own, balanced, 0.95": {"method": "prune4rel", "threshold": 0.95},
    "coverage, balanced, 0.80": {"method": "prune4rel", "gain": "coverage", "threshold": 0.80},
    "coverage, balanced, 0.95": {"method": "prune4rel", "gain": "coverage", "threshold": 0.95},
}


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        data: a name in DATASETS.
        learner: "ce", "sop" or "dividemix".
        variant: a name in VARIANTS.
        keep: the share kept.
        seed: of warm-up, selection and learner.
    """

    data: str
    learner: str
    variant: str
    keep: float
    seed: int

    @property
    def name(self) -> str:
        """The cell in one word."""
        return f"{self.data}/{self.learner}/{self.variant}/{self.keep}/{self.seed}".replace(", ", "-")


@dataclass(frozen=True)
class Laboratory:
    """Where cells are run.

    Args:
        scale: a name in SCALES.
        results: the file of results.
        work: the folder of warm-ups and checkpoints.
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

    def run(self, cell: Cell) -> str:
        """Run a cell, keep its line, and say what it came to."""
        scale = SCALES[self.scale]
        train, test = DATASETS[cell.data](scale.images)
        asked = VARIANTS[cell.variant]
        seen = self.warmed_up(cell, train, views=asked.get("views", 1), models=METHODS[asked["method"]].models)
        options, picked, seconds = selected(cell, seen, scale.threshold)
        part = train.subset(np.sort(picked))
        more = {"network": scale.network, **scale.learners.get(cell.learner, {})}
        learner = make_learner(cell.learner, config=scale.config, flip=True, **more)
        fit(
            learner,
            part,
            epochs=scale.epochs,
            seed=stream_seed(cell.seed, "final"),
            checkpoint=self.work / "checkpoints" / f"{cell.name.replace('/', '_')}.pt",
            device=self.device,
            precision=scale.precision,
        )
        line = {
            "cell": asdict(cell),
            "kept": len(picked),
            "accuracy": float((predict(learner, test)[0].argmax(axis=1) == test.labels).mean()),
            **relabeling(learner, train, picked, seen, options),
            "selection_seconds": round(seconds, 3),
        }
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return f"{100 * line['accuracy']:.1f} % ({100 * line['noisy']:.1f} % noisy)"

    def warmed_up(self, cell: Cell, train: Pool, *, views: int, models: int) -> Observations:
        """What a plain warm-up saw of all images; one per data, seed, number of views and of models."""
        scale = SCALES[self.scale]
        name = f"{cell.data}-{cell.seed}" + (f"-{views}views" if views > 1 else "")
        folder = self.work / "observations" / (name + (f"-{models}models" if models > 1 else ""))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.work / f"{name}.lock"):
            if folder.exists():
                return Observations.read(folder)
            norms = []
            for m in reversed(range(models)):
                learner = make_learner("ce", config=scale.config, network=scale.network)
                history = fit(
                    learner,
                    train,
                    epochs=scale.warmup_epochs,
                    seed=stream_seed(cell.seed, "warmup", m),
                    checkpoint=self.work / "checkpoints" / f"warmup-{cell.data}-{cell.seed}-{m}.pt",
                    device=self.device,
                    precision=scale.precision,
                )
                if models > 1:
                    probabilities, features = predict(learner, train)
                    norms.append(grand(probabilities, train.labels, features))
            seen = observe(learner, train, seed=stream_seed(cell.seed, "observe"), views=views, history=history)
            if norms:
                seen = seen.with_columns(gradient_norms=np.stack(norms))
            seen.save(folder)
            return seen


def selected(cell: Cell, seen: Observations, threshold: float | None) -> tuple[Options, np.ndarray, float]:
    """Options, positions in the order picked, and how many seconds the selection took.

    Where the variant names no threshold, the given one holds; where that is None, the data decides.
    """
    asked = {key: value for key, value in VARIANTS[cell.variant].items() if key != "views"}
    method, balanced = asked.pop("method"), asked.pop("balanced", None)
    dropped = suspects(seen.labels, seen.probabilities).positions if asked.pop("drop_suspects", False) else None
    options = Options(seed=stream_seed(cell.seed, "select"), **asked)
    if "threshold" not in asked:
        if threshold is None:
            threshold = advise_threshold(*relabeling_inputs(seen, options), cell.keep).threshold
        options = replace(options, threshold=threshold)
    turns = METHODS[method].balanced if balanced is None else balanced
    start = time.perf_counter()
    rules = Rulebook(budget_count(cell.keep, n=len(seen)), seen.labels if turns else None, must_drop=dropped)
    picked = select(method, seen, rules, options).positions
    return options, picked, time.perf_counter() - start


def relabeling(learner: Any, train: Pool, picked: np.ndarray, seen: Observations, options: Options) -> dict[str, Any]:
    """Noise among the picks, and how many wrong labels the trained learner would put right.

    Returns:
        noisy: share of wrong labels among the picks; corrected: share of those for which the learner predicts the true
        class; corrected_all: the same over all wrong labels of the data, picked or not; bins: those by neighbourhood
        confidence given the picks, in equal parts: (mean confidence, share corrected, count).
    """
    truth = train.clean_labels
    assert truth is not None
    wrong = train.labels != truth
    right = predict(learner, train)[0].argmax(axis=1) == truth
    features, confidence = relabeling_inputs(seen, options)
    around = neighborhood_confidence(
        features, confidence, picked, threshold=options.threshold, similarity=options.similarity
    )
    order = np.flatnonzero(wrong)[np.argsort(around[wrong], kind="stable")]
    bins = [
        (round(float(around[rows].mean()), 4), round(float(right[rows].mean()), 4), len(rows))
        for rows in np.array_split(order, BINS)
        if len(rows)
    ]
    inside = wrong[picked]
    return {
        "noisy": float(inside.mean()),
        "corrected": float(right[picked][inside].mean()) if inside.any() else None,
        "corrected_all": float(right[wrong].mean()) if wrong.any() else None,
        "confidence": float(confidence[picked].mean()),
        "threshold": options.threshold,
        "bins": bins,
    }


def command(
    description: str,
    cells: Callable[[Scale], Sequence[Cell]],
    show: Callable[[str, dict[Cell, dict[str, Any]]], None],
) -> None:
    """The command line of a table or figure: run what is missing, then print.

    Args:
        description: what it reproduces.
        cells: which cells a scale needs, in the order in which they are run.
        show: prints them, from the scale's name and what was measured.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--only", help="run only the cells whose name begins so: data/learner/method/keep/seed")
    parser.add_argument("--seeds", type=int, nargs="+", help="run only these seeds")
    parser.add_argument("--print", action="store_true", help="run nothing, print what was measured")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the cores")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so many minutes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, help="where lines are kept [results/chapter5-SCALE.jsonl]")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter5")
    asked = parser.parse_args()
    results = asked.results or HERE / "results" / f"chapter5-{asked.scale}.jsonl"
    laboratory = Laboratory(asked.scale, results, asked.work / asked.scale, asked.device)
    wanted = [cell for cell in cells(SCALES[asked.scale]) if cell.name.startswith(asked.only or "")]
    if not asked.print:
        laboratory.work.mkdir(parents=True, exist_ok=True)
        now = [cell for cell in wanted if asked.seeds is None or cell.seed in asked.seeds]
        work_through(laboratory, now, workers=asked.workers, minutes=asked.minutes)
    measured = laboratory.measured()
    show(asked.scale, {cell: measured[cell] for cell in wanted if cell in measured})
