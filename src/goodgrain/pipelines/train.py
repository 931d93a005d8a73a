"""Train: read, join the OOD images, train each method on the same images, measure, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodgrain.data.pool import Pool
from goodgrain.data.read.listing import Labeled
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.prune_inputs import named_classes, read_pool, size_of, source_name, under_classes
from goodgrain.pipelines.train_config import TrainConfig
from goodgrain.pipelines.train_inputs import Sources, check_classes, check_config, gather, named, read_sources
from goodgrain.pipelines.train_report import write_report
from goodgrain.pipelines.train_steps import known_boxes, measure, rehearse, train_all
from goodgrain.run import FollowedRun, RunFolder, check_outside


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training run made.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"


def train(
    data: str | Path | Pool,
    *,
    output: str | Path,
    ood: Sources | None = None,
    test: str | Path | Pool | None = None,
    class_names: Any = None,
    image_size: int | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    box_frame: tuple[int, int] | None = None,
    max_bad: float = 0.01,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> TrainResult:
    """Train on few labelled images, and switch off the features that out-of-distribution (OOD) images show as well.

    TAUFE and what it is compared with (chapter 3): every method trains on the same images from the same first weights.
    A run that was stopped in any way continues when it is called again with the same arguments, and ends with the same
    result. Models are for `goodgrain.load(output)`.

    Args:
        data: a folder, Parquet or NPZ (see `goodgrain.data.read`), or a pool; images labelled OOD in it, such as the
            answers "none of these" of a labelling run, count as OOD images.
        output: the run folder.
        ood: OOD images: one source, several, or several by name; read like `data`, labels are not needed.
        test: a test set, read like `data`.
        class_names: names of the classes 0, 1, ... where the data only numbers them.
        image_size: pixels of a square; the most common size by default, at most 64 pixels long.
        label_column: where the readers cannot tell.
        image_column: likewise.
        id_column: likewise.
        box_frame: (width, height) in pixels that boxes are told in, where that is not the size of the stored images.
        max_bad: the largest share of unreadable images that is put up with.
        device: "auto", "cpu" or "cuda"; under a launcher such as torchrun each process takes its own.
        monitor: told what happens; silent by default.
        **config: everything in `goodgrain.pipelines.train_config.TrainConfig`.

    Returns:
        The metrics and where the report is.

    Raises:
        InputError: anything about data or arguments that cannot work, said before any training.
        UnknownName: a method, task or model that is in no table.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> own = Pool.from_arrays(rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2)
        >>> strange = Pool.from_arrays(rng.integers(0, 99, (40, 8, 8), dtype=np.uint8), np.zeros(40, int))
        >>> result = train(own, ood=strange, output=tempfile.mkdtemp(), epochs=1, test=own, device="cpu")
        >>> [entry["method"] for entry in result.metrics["methods"]]
        ['taufe', 'standard']
    """
    asked = check_config(config)
    check_outside(output, data, test, *named(ood).values())
    watch = monitor or Silent()
    reading: dict[str, Any] = {
        "image_size": image_size,
        "label_column": label_column,
        "image_column": image_column,
        "id_column": id_column,
        "box_frame": box_frame,
        "max_bad": max_bad,
    }
    boxes = asked.task == "box"  # learned and measured without classes
    labeled: Labeled = "partly" if boxes or asked.learner == "mixmatch" else True
    pool = named_classes(read_pool("reading the images", data, watch, **reading, labeled=labeled), class_names)
    assert pool is not None
    same_size = reading | {"image_size": size_of(pool, image_size)}
    labeled = "partly" if boxes else True
    held_out = named_classes(
        read_pool("reading the test images", test, watch, **same_size, labeled=labeled), class_names
    )
    held_out = held_out if boxes else under_classes(held_out, pool)
    _check(pool, held_out, asked)
    sources = read_sources(ood, pool.image_shape[:2], max_bad, watch)
    table = {
        "job": "train",
        "data": source_name(data),
        "ood": {name: source_name(source) for name, source in named(ood).items()},
        "test": source_name(test),
        "class_names": class_names,
        **reading,
        "train": asked.table(),
        "fingerprint": {
            "data": pool.fingerprint(),
            "test": None if held_out is None else held_out.fingerprint(),
            "ood": {name: source.fingerprint() for name, source in sources.items()},
        },
    }
    images = gather(pool, sources, held_out, asked, watch)  # before the folder: a refused call leaves none behind
    engine = Engine(device, asked.precision)
    rehearse(images, asked, engine)
    with (RunFolder if engine.main else FollowedRun)(output, table) as run:  # under a launcher, one process writes
        run.log("started", target=len(images.target), ood=dict(images.sources))
        trained = train_all(run, images, asked, device, watch)
        metrics = measure(trained, images, asked)
        watch.stage("writing the report")
        run.write_json("metrics.json", metrics)
        write_report(run, images, trained, asked)
        run.log("finished")
    return TrainResult(Path(output), metrics)


def _check(pool: Pool, test: Pool | None, asked: TrainConfig) -> None:
    """Refuse what no training could work with."""
    check_classes(pool, asked)
    if asked.task == "box" and pool.boxes is None:
        raise InputError(
            "task box learns from boxes, and the data has none. Give a table with columns x0, y0, x1, y1, or a "
            "published set with boxes."
        )
    if test is None:
        return
    if asked.task != "classify":
        known_boxes(test)
    if (test.labels < 0).any() and asked.task != "box":
        raise InputError(f"{int((test.labels < 0).sum())} test images have no class label; each needs one.")
    if test.image_shape != pool.image_shape:
        raise InputError(
            f"the test images come as {test.image_shape} (height, width, channels), the data as {pool.image_shape}. "
            "Bring both into one form."
        )
