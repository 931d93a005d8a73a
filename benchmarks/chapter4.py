"""The cells of chapter 4's tables: one labelling run each, with a simulated annotator; each cell once, and resumable.

A cell is one run: setup, OOD share, what trains, strategy with its options, seed. What it came to is one line of
`results/chapter4-SCALE.jsonl`; a cell that has its line is not run again. What is fixed and why is in
docs/decisions/0014-protocol-of-chapter-4.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chapter3_data import cifar10
from chapter4_curves import draw
from chapter4_data import encoded, open_set
from working import alone, work_through

from goodgrain.annotate import OOD, SimulatedOracle
from goodgrain.data.open_set import oracle_truth
from goodgrain.meta import MetaQueryNet, meta_input
from goodgrain.metrics import ood_metrics
from goodgrain.pipelines.label import label
from goodgrain.pipelines.label_round import Asked
from goodgrain.pipelines.label_space import Space

HERE = Path(__file__).parent
FAST = Path("/dev/shm")  # noqa: S108  (a session writes every answer to disk; here nothing is lost that was paid for)

STRATEGIES: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "conf": {"strategy": "conf"},
    "margin": {"strategy": "margin"},
    "entropy": {"strategy": "entropy"},
    "coreset": {"strategy": "coreset"},
    "badge": {"strategy": "badge"},
    "ll": {"strategy": "ll"},
    "ccal": {"strategy": "ccal"},
    "similar": {"strategy": "similar_flcmi"},
    "similar-logdet": {"strategy": "similar_logdetcmi"},
    "margin-balanced": {"strategy": "margin", "balanced": True},
    "purity-first": {"strategy": "purity_first", "purity": "probe"},
    "mqnet": {"strategy": "mqnet"},
    "mqnet-probe": {"strategy": "mqnet", "purity": "probe"},
    "mqnet-published": {
        "strategy": "mqnet",
        "informativeness": "conf",
        "purity": "nearest_ood",
        "learn_from": "last",
        "balanced": False,
    },
    "product": {"strategy": "mqnet", "meta": "product"},
}
"""Row of a table -> what the run is asked; options of single tables come on top, after a "/"."""


@dataclass(frozen=True)
class Scale:
    """How large an experiment is.

    Args:
        budget: answers of a round.
        rounds: the first is drawn at random.
        seeds: target -> seeds.
        steps: of the network's training in each round.
    """

    budget: int
    rounds: int
    seeds: Mapping[str, tuple[int, ...]]
    steps: int


SCALES = {"laptop": Scale(100, 11, {"head": (0, 1, 2, 3, 4), "network": (0, 1, 2)}, 600)}


@dataclass(frozen=True)
class Cell:
    """One labelling run.

    Args:
        setup: "split" or "cross".
        share: of OOD images in the pool.
        target: "head" on frozen features, or "network" trained from scratch in every round.
        row: a key of STRATEGIES.
        seed: of pool and run.
        options: name=value, further options of the run, sorted.
    """

    setup: str
    share: float
    target: str
    row: str
    seed: int
    options: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "/".join([self.setup, f"{self.share:g}", self.target, self.row, *self.options, str(self.seed)])

    def asked(self) -> dict[str, Any]:
        """What the run is asked."""
        told = dict(STRATEGIES[self.row])
        for option in self.options:
            key, value = option.split("=")
            told[key] = json.loads(value) if value[0] in "0123456789tf" and value not in ("taufe",) else value
        return told


@dataclass(frozen=True)
class Laboratory:
    """Where cells are run.

    Args:
        scale: a key of SCALES.
        results: the file of lines.
        work: where encoders are kept.
    """

    scale: str
    results: Path
    work: Path

    def measured(self) -> dict[Cell, dict[str, Any]]:
        """Every cell that has its line."""
        found = {}
        if self.results.exists():
            for line in self.results.read_text(encoding="utf-8").splitlines():
                told = json.loads(line)
                cell = told.pop("cell")
                found[Cell(**{**cell, "options": tuple(cell["options"])})] = told
        return found

    def run(self, cell: Cell) -> str:
        """Run a cell and keep its line."""
        scale = SCALES[self.scale]
        drawn = open_set(cell.setup, cell.share, cell.seed)
        pool, test_images = drawn.pool, cifar10(False)[1]
        seen, seen_test = encoded(cell.setup, self.work)
        wanted = [test_images.classes.index(name) for name in pool.classes]
        keep = np.flatnonzero(np.isin(test_images.labels, wanted))
        spaces = {
            "embeddings": Space(*(values[drawn.positions] for values in vars(seen).values())),
            "test_embeddings": Space(*(values[keep] for values in vars(seen_test).values())),
        }
        asked = cell.asked()
        folder = Path(tempfile.mkdtemp(dir=FAST if FAST.is_dir() else None))
        started = time.process_time()
        try:
            result = label(
                pool,
                SimulatedOracle(oracle_truth(pool, ood=OOD)),
                output=folder / "run",
                rounds=asked.pop("rounds", scale.rounds),
                classes=pool.classes,
                test=test_images.subset(keep),
                target=cell.target,
                steps=scale.steps,
                budget=float(scale.budget),
                seed=cell.seed,
                precision="bf16" if cell.target == "network" else "float32",
                device="cpu",
                **spaces,
                **asked,
            )
            seen_by_rounds = by_rounds(folder / "run" / "rounds", pool.labels)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rounds = result.metrics["rounds"]
        line = {
            "cell": asdict(cell),
            "accuracy": [one["accuracy"] for one in rounds],
            "in_share": [one["in_share"] for one in rounds],
            **seen_by_rounds,
            "seconds": round(time.process_time() - started, 1),
        }
        with alone(self.results.with_suffix(".lock")), self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return f"{100 * rounds[-1]['accuracy']:.1f} ({line['seconds']} s)"


def by_rounds(folder: Path, truth: np.ndarray) -> dict[str, list[float | None]]:
    """Of each round that was not drawn: how well its purity tells OOD images, and how it weighs informativeness.

    Returns:
        "auroc" of the purity over all images that could be asked for; "slope" of the line of equal meta-scores through
        the last image that was asked for, purity over informativeness in units of the pool's deviations: the steeper
        (below -1), the more informativeness counts (figure 4.5). None where there is no purity or no meta-model.
    """
    auroc, slope = [], []
    for path in sorted(folder.glob("*.npz")):
        asked = Asked.load(path)
        if asked.purity is None or asked.informativeness is None:
            auroc.append(None)
            slope.append(None)
            continue
        inside = truth[asked.rows] >= 0
        auroc.append(round(ood_metrics(asked.purity[inside], asked.purity[~inside])["auroc"], 4))
        meta = path.with_name(f"{path.stem}-meta.safetensors")
        slope.append(_slope(MetaQueryNet.load(meta), asked) if meta.exists() else None)
    return {"auroc": auroc, "slope": slope}


def _slope(net: MetaQueryNet, asked: Asked) -> float | None:
    if net.rule_ != "learned":
        return None
    inputs = meta_input(asked.purity, asked.informativeness)
    z = np.log(inputs[np.searchsorted(asked.rows, asked.picked[-1])])
    step = 1e-2
    up, right = (net.score(np.exp([z + by, z - by])) for by in (np.array([step, 0]), np.array([0, step])))
    rise, run = up[0] - up[1], right[0] - right[1]
    return round(float(-run / rise), 3) if rise > 0 else None


Show = Callable[[str, Mapping[Cell, Mapping[str, Any]]], None]


def command(words: str, cells: Callable[[Scale], Sequence[Cell]], show: Show) -> None:
    """A table's command line: run what is missing, and print."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--scale", choices=list(SCALES), default="laptop")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter4")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seeds", type=int, nargs="*")
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    parser.add_argument("--show", action="store_true", help="print what is measured, run nothing")
    asked = parser.parse_args()
    results = asked.results or HERE / "results" / f"chapter4-{asked.scale}.jsonl"
    laboratory = Laboratory(asked.scale, results, asked.work)
    wanted = [
        cell
        for cell in cells(SCALES[asked.scale])
        if asked.only in cell.name and (asked.seeds is None or cell.seed in asked.seeds)
    ]
    if not asked.show:
        for setup in dict.fromkeys(cell.setup for cell in wanted):
            encoded(setup, asked.work)
        work_through(laboratory, wanted, workers=asked.workers, minutes=asked.minutes)
    measured = laboratory.measured()
    show(asked.scale, {cell: measured[cell] for cell in cells(SCALES[asked.scale]) if cell in measured})


def last(measured: Mapping[Cell, Mapping[str, Any]], fact: str, **wanted: Any) -> list[Any]:
    """One value per seed: "last" accuracy, "area" (mean accuracy after the first round), or a fact of the lines."""
    found = []
    for cell, line in measured.items():
        if all(getattr(cell, name) == value for name, value in wanted.items()):
            facts = {**line, "last": line["accuracy"][-1], "area": float(np.mean(line["accuracy"][1:]))}
            found.append(facts[fact])
    return found


def beyond_random(
    measured: Mapping[Cell, Mapping[str, Any]], fact: str, target: str, row: str, share: float
) -> list[float]:
    """Of each seed, a row's fact less that of random on the same pool."""
    found = []
    for cell in measured:
        if (cell.target, cell.row, cell.share, cell.options) == (target, row, share, ()):
            own = {"share": share, "target": target, "seed": cell.seed, "options": ()}
            pair = [last(measured, fact, row=name, **own) for name in (row, "random")]
            if all(pair):
                found.append(pair[0][0] - pair[1][0])
    return found


def beside(
    title: str,
    measured: Mapping[Cell, Mapping[str, Any]],
    rows: Sequence[str],
    base: str,
    columns: Sequence[tuple[str, Any]],
    cell_of: Callable[[str, Any, int], Cell],
) -> None:
    """Print each row's last accuracy less that of another row on the same pool, in points, ± standard error.

    Args:
        title: what it is.
        measured: all cells that have their line.
        rows: names.
        base: the row that the others are compared with.
        columns: (heading, key).
        cell_of: (row, key, seed) -> the cell.
    """
    print(f"\n{title} · last accuracy less that of {base}, paired by seed, ± standard error (points)")
    print(f"{'':<28}" + "".join(f"{heading:>16}" for heading, _ in columns))
    for row in rows:
        if row != base:
            line = f"{row:<28}"
            for _, key in columns:
                pairs = [(cell_of(row, key, seed), cell_of(base, key, seed)) for seed in range(10)]
                both = [(measured[one], measured[other]) for one, other in pairs if {one, other} <= measured.keys()]
                points = 100 * np.array([one["accuracy"][-1] - other["accuracy"][-1] for one, other in both])
                known = len(points) > 1
                told = f"{points.mean():+.1f} ± {points.std(ddof=1) / len(points) ** 0.5:.1f}" if known else "-"
                line += f"{told:>16}"
            print(line)


def curves(
    name: str,
    measured: Mapping[Cell, Mapping[str, Any]],
    shares: Sequence[float],
    target: str,
    rows: Sequence[str],
    **wanted: Any,
) -> None:
    """Draw accuracy over rounds, a panel for each share, into results/NAME.svg."""
    panels = {}
    for share in shares:
        runs = {row: last(measured, "accuracy", share=share, target=target, row=row, **wanted) for row in rows}
        shown = {row: np.array(lines) for row, lines in runs.items() if lines}
        if shown:
            panels[f"{share:.0%} OOD"] = shown
    if panels:
        draw(HERE / "results" / f"{name}.svg", panels)
