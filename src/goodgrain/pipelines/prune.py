"""Prune: read, observe, score, select, train fresh on what was kept, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.checks import Positions, budget_count
from goodgrain.data.noise import rehearse
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.observations import Observations
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.prune_config import PUBLISHED
from goodgrain.pipelines.prune_inputs import (
    Examples,
    aligned,
    check_before_training,
    check_config,
    check_pools,
    named_classes,
    read_pool,
    rulebook,
    size_of,
    source_name,
    under_classes,
)
from goodgrain.pipelines.prune_report import write_report
from goodgrain.pipelines.prune_results import Outcome, write_export, write_findings, write_selection
from goodgrain.pipelines.prune_steps import (
    judge_labels,
    look_for_copies,
    settle_threshold,
    surroundings,
    train_afresh,
    warm_up_and_observe,
)
from goodgrain.run import FollowedRun, RunFolder, check_outside
from goodgrain.select.methods import select


@dataclass(frozen=True, eq=False)
class PruneResult:
    """What a pruning run made.

    Args:
        folder: the run folder.
        ids: (k,) ids of the largest budget's picks, in the order picked; each prefix serves a smaller budget.
        positions: (k,) the same as positions into the data.
        counts: how many each budget keeps, in the order asked.
        metrics: what metrics.json holds.
        pool: the images; None for a run on observations alone.
    """

    folder: Path
    ids: np.ndarray[Any, Any]
    positions: Positions
    counts: tuple[int, ...]
    metrics: dict[str, Any]
    pool: Pool | None = None

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"

    def torch_subset(self, keep: int | None = None) -> Any:
        """The kept images as a `torch.utils.data.Subset` of (float tensor, label) pairs.

        Args:
            keep: how many of the picks; None for all.

        Raises:
            InputError: the run had no images.
        """
        if self.pool is None:
            raise InputError("this run pruned observations without images. Give data as well.")
        from goodgrain.data.export import torch_subset  # torch is only imported by who asks for it

        return torch_subset(self.pool, self.positions[:keep])


def prune(
    data: str | Path | Pool | None = None,
    *,
    keep: int | float | Sequence[int | float],
    output: str | Path,
    test: str | Path | Pool | None = None,
    observations: str | Path | Observations | None = None,
    labels: str | None = None,
    clean_labels: str | None = None,
    noise: str | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    max_bad: float = 0.01,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> PruneResult:
    """Tell which part of a labelled image set to keep, which labels look wrong, and train on the part.

    Warm-up training, observation, selection (chapter 5; `goodgrain.select.METHODS`), a fresh training on each kept
    part, evaluation where a test set is given, and a report. A run that was stopped in any way continues when it is
    called again with the same arguments, and ends with the same result.

    Args:
        data: a folder, Parquet or NPZ (see `goodgrain.data.read`), or a pool; None with observations of your own.
        keep: one or several budgets: a count (int) or a share (float in (0, 1]).
        output: the run folder.
        test: a test set, read like `data`.
        observations: what any model saw of the examples, instead of our warm-up: a file or `Observations`.
        labels: "FILE[:COLUMN]" with labels that take the place of the data's own.
        clean_labels: "FILE[:COLUMN]" with true labels, for reporting only.
        noise: wrong labels for a rehearsal, "symmetric:0.4", "asymmetric:0.2" or "class-dependent:FILE.csv", drawn with
            the seed; the labels as they were count as the truth.
        class_names: names of the classes 0, 1, ... where the data only numbers them.
        image_size: pixels of a square; the most common size by default, at most 64 pixels long.
        label_column: where the readers cannot tell.
        image_column: likewise.
        id_column: likewise.
        max_bad: the largest share of unreadable images that is put up with.
        device: "auto", "cpu" or "cuda"; under a launcher such as torchrun each process takes its own.
        monitor: told what happens; silent by default.
        **config: everything in `goodgrain.pipelines.PruneConfig` but `keep`.

    Returns:
        The picks, the metrics and where the report is.

    Raises:
        InputError: anything about data or arguments that cannot work, said before any training.
        UnknownName: a method, gain or model that is in no table.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(40) % 2
        >>> own = Observations(ids=np.arange(40), labels=labels, features=rng.normal(size=(40, 5)) + labels[:, None],
        ...                    probabilities=rng.dirichlet([1, 1], size=40))
        >>> len(prune(observations=own, keep=0.25, output=tempfile.mkdtemp()).ids)
        10
    """
    asked = check_config(keep, config)
    check_outside(output, data, test)
    watch = monitor or Silent()
    if data is None and observations is None:
        raise InputError("nothing to prune: give data, observations, or both.")
    reading = {
        "image_size": image_size,
        "label_column": label_column,
        "image_column": image_column,
        "id_column": id_column,
        "max_bad": max_bad,
    }
    pool = read_pool("reading the images", data, watch, labels=labels, clean_labels=clean_labels, **reading)
    held_out = read_pool(
        "reading the test images", test, watch, **(reading | {"image_size": size_of(pool, image_size)})
    )
    pool, held_out = named_classes(pool, class_names), named_classes(held_out, class_names)
    if noise is not None:
        if pool is None:
            raise InputError("noise needs data whose labels it can change; only observations came. Leave noise out.")
        if clean_labels is not None:
            raise InputError("noise takes the labels as they are for the truth. Give noise or clean_labels, not both.")
        pool = rehearse(pool, noise, seed=asked.seed)
    held_out = under_classes(held_out, pool)
    check_pools(pool, held_out)
    given = Observations.read(observations) if isinstance(observations, str | Path) else observations
    seen = None if given is None else aligned(given, pool)
    n = len(pool) if pool is not None else len(seen or ())
    counts = tuple(budget_count(budget, n=n) for budget in asked.keep)
    examples = Examples.of(pool, seen)
    check_before_training(asked, examples, counts, pool, seen)
    table = {
        "job": "prune",
        "data": source_name(data),
        "test": source_name(test),
        "observations": source_name(observations),
        "labels": labels,
        "clean_labels": clean_labels,
        "noise": noise,
        "class_names": class_names,
        **reading,
        "prune": asked.table(),
        "fingerprint": {
            "data": None if pool is None else pool.fingerprint(),
            "test": None if held_out is None else held_out.fingerprint(),
            "observations": None if given is None else given.fingerprint(),
        },
    }
    engine = Engine(device, asked.precision)
    with (RunFolder if engine.main else FollowedRun)(output, table) as run:  # under a launcher, one process writes
        run.log("started", n=n, counts=list(counts))
        copies, overlap = look_for_copies(run, pool, held_out, asked.near, watch)
        if seen is None:
            assert pool is not None
            seen = warm_up_and_observe(run, pool, asked, device, watch)
        advice = settle_threshold(asked, seen, min(counts), watch)
        threshold = PUBLISHED if asked.threshold == "auto" else float(asked.threshold)
        threshold = threshold if advice is None else advice.threshold
        watch.stage(f"selecting {max(counts):,} of {n:,} with {asked.title(asked.method)}")
        judged = judge_labels(seen)
        suspicious = judged.positions if judged is not None and asked.drop_suspects else None
        selections = {
            method: select(
                method, seen, rulebook(asked, method, examples, max(counts), suspicious), asked.options(threshold)
            )
            for method in asked.methods
        }
        selections = engine.told(selections)  # another last bit in one process would train it on other images
        selection = selections[asked.method]
        outcome = Outcome(
            config=asked,
            counts=counts,
            observations=seen,
            selection=selection,
            others={name: other for name, other in selections.items() if name != asked.method},
            classes=examples.classes,
            pool=pool,
            test=held_out,
            threshold=threshold,
            advice=advice,
            duplicates=copies,
            overlap=overlap,
            suspects=judged,
            neighborhood=surroundings(asked, seen, selection.positions, threshold),
        )
        write_findings(run, outcome)
        write_selection(run, outcome)
        run.log("selected", method=asked.method, count=len(selection))
        scores = train_afresh(run, outcome, device, watch) if pool is not None else ()
        watch.stage("writing the report")
        metrics = write_report(run, outcome, scores)
        if asked.export is not None and pool is not None:
            write_export(run, outcome)
        run.log("finished")
    picked = selection.positions
    return PruneResult(Path(output), seen.ids[picked], picked, counts, metrics, pool)
