"""Compare OOD sets: a short standard training, and how much of what it decides by each set shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.checks import lookup
from goodgrain.data.ood import without_ood
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.learn import fit, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Run
from goodgrain.learn.published_ood import make_calibrated
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.prune_inputs import named_classes, read_pool, source_name
from goodgrain.pipelines.train_config import BRIEF
from goodgrain.pipelines.train_inputs import (
    Sources,
    as_target,
    check_classes,
    check_config,
    labeled_part,
    named,
    read_sources,
    without_copies,
)
from goodgrain.pipelines.train_report import write_comparison
from goodgrain.report.train_facts import Candidate
from goodgrain.run import FollowedRun, RunFolder, check_outside
from goodgrain.scores.ood_sets import shared_features

_LOOKED_AT = 1000  # images of each set
_TAKEN = ("model", "batch_size", "lr", "precision", "flip", "seed", "near", "recipe")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Args:
        folder: the run folder.
        candidates: the OOD sets, likeliest to help first.
    """

    folder: Path
    candidates: tuple[Candidate, ...]

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"

    def lines(self) -> list[str]:
        """One line per OOD set, likeliest to help first."""
        return [
            f"{place}. {one.name}: shares {100 * one.shared:.1f} % of the deciding features ({one.images:,} images"
            + (f", {one.copies:,} of the target's own left out" if one.copies else "")
            + ")"
            for place, one in enumerate(self.candidates, start=1)
        ]


def compare_ood(
    data: str | Path | Pool,
    ood: Sources,
    *,
    output: str | Path,
    few_shot: int | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    max_bad: float = 0.01,
    device: str = "auto",
    monitor: Monitor | None = None,
    epochs: int = BRIEF,
    **config: Any,
) -> Comparison:
    """Rank OOD sets by how much undesirable feature each is likely to share with the target: a cheap estimate.

    One standard model is trained briefly on the labelled images. `goodgrain.scores.ood_sets.shared_features` then asks
    which of the features that it decides by the images of each set excite as well.

    Args:
        data: the target's labelled images, as in `goodgrain.train`.
        ood: two or more OOD sets.
        output: the run folder.
        few_shot: how many labelled images; None for all.
        class_names: as in `goodgrain.train`.
        image_size: likewise.
        label_column: likewise.
        image_column: likewise.
        id_column: likewise.
        max_bad: likewise.
        device: likewise.
        monitor: likewise.
        epochs: of the brief training.
        **config: model, batch_size, lr, precision, flip, seed, near and recipe, as in `goodgrain.train`.

    Raises:
        InputError: fewer than two sets, or anything about the data that cannot work.
        UnknownName: an argument that there is not, or that would do nothing here.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> own = Pool.from_arrays(rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2)
        >>> sets = {name: Pool.from_arrays(rng.integers(0, 99, (20, 8, 8), dtype=np.uint8), np.zeros(20, int))
        ...         for name in ("one", "two")}
        >>> len(compare_ood(own, sets, output=tempfile.mkdtemp(), epochs=1, device="cpu").candidates)
        2
    """
    fixed = {"method": "standard", "compare": (), "few_shot": few_shot, "epochs": epochs}
    for name in config:
        lookup("argument of compare_ood", dict.fromkeys(_TAKEN), name)
    asked = check_config({**config, **fixed})
    check_outside(output, data, *named(ood).values())
    watch = monitor or Silent()
    if len(named(ood)) < 2:
        raise InputError(f"comparing needs at least 2 OOD sets; {len(named(ood))} came. Give each with --ood.")
    reading: dict[str, Any] = {
        "image_size": image_size,
        "label_column": label_column,
        "image_column": image_column,
        "id_column": id_column,
        "max_bad": max_bad,
    }
    pool = named_classes(read_pool("reading the images", data, watch, **reading), class_names)
    assert pool is not None
    own = without_ood(pool)
    check_classes(own, asked)
    target = labeled_part(own, asked)
    sources = read_sources(ood, pool.image_shape[:2], max_bad, watch)
    clean, copies = without_copies(own, sources, asked.near, watch)
    table = {
        "job": "compare-ood",
        "data": source_name(data),
        "ood": {name: source_name(source) for name, source in named(ood).items()},
        "class_names": class_names,
        **reading,
        "train": asked.table(),
        "fingerprint": {
            "data": pool.fingerprint(),
            "ood": {name: source.fingerprint() for name, source in sources.items()},
        },
    }
    engine = Engine(device, asked.precision)
    learner: Any = make_calibrated("ce", config=asked.recipe, **asked.recipe_options())
    learner.prepare(target, Run(asked.seed, epochs, engine))  # before the folder: a refused call leaves none behind
    with (RunFolder if engine.main else FollowedRun)(output, table) as run:
        fit(
            learner,
            target,
            epochs=epochs,
            seed=stream_seed(asked.seed, "train", 0),
            checkpoint=run.path("checkpoints/standard.pt"),
            progress=watch.training("brief training", epochs),
            device=device,
            precision=asked.precision,
        )
        _, known = predict(learner, target)
        candidates = []
        for name, source in clean.items():
            watch.stage(f"looking at {name}")
            drawn = generator(asked.seed, "candidate", name).permutation(len(source))[:_LOOKED_AT]
            shown = source.subset(np.sort(drawn))
            probabilities, features = predict(learner, as_target(shown, target))
            shared = shared_features(known, target.labels, features, probabilities)
            left_out = len(copies[name][1]) if name in copies else 0
            candidates.append(Candidate(name, len(source), left_out, shared))
        ranked = tuple(sorted(candidates, key=lambda one: -one.shared))
        told = [{name: value for name, value in asdict(one).items() if value is not None} for one in ranked]
        run.write_json("metrics.json", {"candidates": told})
        write_comparison(run, ranked)
    return Comparison(Path(output), ranked)
