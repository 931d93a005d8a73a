"""What comes into a training run: the target's images, the OOD images, and the test images, brought together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.data.duplicates import Duplicates
from goodgrain.data.ood import few_shot, join_ood, ood_of, target_in_ood, without_ood
from goodgrain.data.pool import UNLABELED, Pool
from goodgrain.data.read import read
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.train_config import TrainConfig, under_recipe

Source = str | Path | Pool
Sources = Source | Sequence[Source] | Mapping[str, Source]
"""One OOD set, several, or several by name."""

_HELD = 1000  # OOD images that are kept from training, to measure with: a tenth, and at most so many
_ANSWERS = "answers"  # what the target's own images of no class are called


@dataclass(frozen=True, eq=False)
class Images:
    """All images of a run.

    Args:
        train: the target's images, those without a label included, and behind them the OOD images.
        target: the labelled images among them.
        strangers: OOD images that training never sees; those of training where they are too few to keep any back.
        held_back: whether they are others than those of training.
        sources: OOD source -> how many of its images are trained on.
        copies: OOD source -> its images, and those of them that repeat one of the target's and are left out.
        test: test images.
    """

    train: Pool
    target: Pool
    strangers: Pool | None
    held_back: bool
    sources: Mapping[str, int]
    copies: Mapping[str, tuple[Pool, Duplicates]]
    test: Pool | None


def check_config(config: Mapping[str, Any]) -> TrainConfig:
    """The configuration, or an error that offers the nearest argument."""
    known = set(TrainConfig.__dataclass_fields__)
    for name in config:
        if name not in known:
            raise UnknownName("argument of train", name, known)
    return TrainConfig(**under_recipe(config))


def named(ood: Sources | None) -> dict[str, Source]:
    """OOD sources by name: that of the file or folder, with a number where two are called alike.

    Example:
        >>> list(named(["photos/svhn.parquet", "more/svhn.parquet"]))
        ['svhn', 'svhn-2']
    """
    if ood is None:
        return {}
    if isinstance(ood, Mapping):
        return dict(ood)
    sources: Sequence[Source] = [ood] if isinstance(ood, str | Path | Pool) else ood
    found: dict[str, Source] = {}
    for source in sources:
        plain = "ood" if isinstance(source, Pool) else Path(str(source).rpartition("#")[0] or source).stem
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found[name] = source
    return found


def read_sources(ood: Sources | None, size: tuple[int, int], max_bad: float, watch: Monitor) -> dict[str, Pool]:
    """The OOD pools, at the target's size."""
    pools = {}
    for name, source in named(ood).items():
        if not isinstance(source, Pool):
            watch.stage(f"reading the OOD images of {name}")
            source = read(source, image_size=size, max_bad=max_bad, labeled=False)
        pools[name] = source
    return pools


def gather(pool: Pool, sources: Mapping[str, Pool], test: Pool | None, asked: TrainConfig, watch: Monitor) -> Images:
    """Bring the parts together: few-shot draw, copies left out, OOD images held back, and one pool to train on.

    Raises:
        InputError: no OOD images where the method needs some, too few labelled images, or nothing left of a source.
    """
    answers = ood_of(pool)
    if answers is not None:
        sources, pool = {**sources, _ANSWERS: answers}, without_ood(pool)
    target = labeled_part(pool, asked)
    own = _with_unlabeled(pool, target) if asked.learner == "mixmatch" else target
    if not sources:
        if any(method != "standard" for method in asked.methods):
            raise InputError(
                f"{asked.method} needs out-of-distribution images, and none were given. Give ood (--ood): images of "
                "anything but the target's classes."
            )
        return Images(target, target, None, False, {}, {}, test)
    watch.stage("looking for the target's own images among the OOD images")
    copies, clean = {}, {}
    for name, source in sources.items():
        found = target_in_ood(target, source, threshold=asked.near)
        if len(found):
            copies[name] = (source, found)
        rest = np.setdiff1d(np.arange(len(source)), found.positions)
        if not len(rest):
            raise InputError(f"all {len(source)} OOD images of {name} are copies of the target's own. Give others.")
        clean[name] = source.subset(rest) if len(found) else source
    trained, kept = _hold_back(clean, asked)
    count = asked.few_shot if asked.ood_count is None else asked.ood_count
    train = join_ood(own, trained, weights=asked.ood_weights, count=count, seed=_seed(asked, "ood"))
    joined = train.ids[len(own) :].tolist()
    counts = {name: sum(one.startswith(f"ood/{name}/") for one in joined) for name in trained}
    if kept is None:
        strangers = train.subset(np.arange(len(own), len(train))[:_HELD])
        return Images(train, target, strangers, False, counts, copies, test)
    together = join_ood(target, kept)
    strangers = together.subset(np.arange(len(target), len(together)))
    return Images(train, target, strangers, True, counts, copies, test)


def labeled_part(pool: Pool, asked: TrainConfig) -> Pool:
    """The labelled images that are trained on: all, or the few-shot draw.

    Raises:
        InputError: a class has too few.
    """
    labeled = pool.subset(np.flatnonzero(pool.labels >= 0)) if (pool.labels < 0).any() else pool
    return labeled if asked.few_shot is None else few_shot(labeled, asked.few_shot, seed=_seed(asked, "few shot"))


def as_target(source: Pool, target: Pool) -> Pool:
    """Images of another set at the target's size and with its channels, as OOD images of training come."""
    joined = join_ood(target, {"shown": source})
    return joined.subset(np.arange(len(target), len(joined)))


def _with_unlabeled(pool: Pool, target: Pool) -> Pool:
    """The whole target set, under the labels of its few labelled images alone."""
    known = set(target.ids.tolist())
    labels = np.where([one in known for one in pool.ids.tolist()], pool.labels, UNLABELED)
    order = np.argsort(labels < 0, kind="stable")
    return dataclasses.replace(pool, labels=labels, clean_labels=None).subset(order)


def _hold_back(sources: Mapping[str, Pool], asked: TrainConfig) -> tuple[dict[str, Pool], dict[str, Pool] | None]:
    """A tenth of each source to measure with; none where training needs every image."""
    total = sum(map(len, sources.values()))
    needed = asked.ood_count or asked.few_shot or 0
    held = min(_HELD, total // 10, total - needed)
    if held < 2 * len(sources):
        return dict(sources), None
    trained, kept = {}, {}
    for name, source in sources.items():
        order = generator(_seed(asked, "held back"), name).permutation(len(source))
        cut = max(1, held * len(source) // total)
        kept[name] = source.subset(np.sort(order[:cut]))
        trained[name] = source.subset(np.sort(order[cut:]))
    return trained, kept


def _seed(asked: TrainConfig, what: str) -> int:
    return stream_seed(asked.seed, what) % 2**32
