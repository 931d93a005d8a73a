"""What comes into a training run: the target's images, the OOD images, and the test images, brought together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from itertools import count as count_up
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.data.duplicates import Duplicates
from goodgrain.data.ood import JoinedSource, few_shot, join_ood, ood_of, quotas, target_in_ood, without_ood
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
_LEAST_HELD = 20  # with fewer, responses and AUROC would be luck
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
        own: all of the target's images, labelled or not, and behind them those of the test set.
        copies: OOD source -> its images, and those of them that repeat one of `own` and are left out.
        test: test images.
    """

    train: Pool
    target: Pool
    strangers: Pool | None
    held_back: bool
    sources: Mapping[str, int]
    own: Pool
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
        plain = "ood" if isinstance(source, Pool) else _plain_name(str(source))
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found[name] = source
    return found


def _plain_name(source: str) -> str:
    path = Path(source.rpartition("#")[0] or source)
    return path.stem or path.resolve().stem or "ood"  # "." and ".." have no name of their own


def read_sources(ood: Sources | None, size: tuple[int, int], max_bad: float, watch: Monitor) -> dict[str, Pool]:
    """The OOD pools, at the target's size."""
    pools = {}
    for name, source in named(ood).items():
        if not isinstance(source, Pool):
            if not isinstance(source, str | Path):
                raise InputError(f"ood should be a path or a Pool, or several; {type(source).__name__} came.")
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
        sources, pool = {**sources, _free(_ANSWERS, sources): answers}, without_ood(pool)
    target = labeled_part(pool, asked)
    if asked.learner == "mixmatch" and len(target) == len(pool):
        raise InputError(
            "MixMatch learns from images without a label too, and there are none. Give few_shot (--few-shot), fewer "
            f"than {len(pool)}: the images beyond it are used without their labels."
        )
    own = _with_unlabeled(pool, target) if asked.learner == "mixmatch" else target
    if not sources:
        if any(method != "standard" for method in asked.methods):
            raise InputError(
                f"{asked.method} needs out-of-distribution images, and none were given. Give ood (--ood): images of "
                "anything but the target's classes."
            )
        return Images(target, target, None, False, {}, pool, {}, test)
    everything = with_test(pool, test)
    clean, copies = without_copies(everything, sources, asked.near, watch)
    count = _ood_count(sum(map(len, clean.values())), asked)
    trained, kept = _hold_back(clean, asked, count)
    train = join_ood(own, trained, weights=asked.ood_weights, count=count, seed=_seed(asked, "ood"))
    joined = train.ids[len(own) :].tolist()
    counts = {name: sum(one.startswith(f"ood/{name}/") for one in joined) for name in trained}
    if kept is None:
        strangers = train.subset(np.arange(len(own), len(train))[:_HELD])
        return Images(train, target, strangers, False, counts, everything, copies, test)
    together = join_ood(target, kept)
    strangers = together.subset(np.arange(len(target), len(together)))
    return Images(train, target, strangers, True, counts, everything, copies, test)


def check_classes(pool: Pool, asked: TrainConfig) -> None:
    """Refuse classes that no classifier could learn.

    Raises:
        InputError: there is one class only, or one without an image.
    """
    if asked.task == "box":
        return
    counts = np.bincount(pool.labels[pool.labels >= 0], minlength=len(pool.classes))
    if (counts == 0).any():
        empty = pool.classes[int(np.argmin(counts))]
        raise InputError(f"class {empty!r} is empty: no image has that label. Remove the class, or give it images.")
    if len(pool.classes) < 2:
        raise InputError("there is only one class. Classification needs at least two.")


def with_test(pool: Pool, test: Pool | None) -> Pool:
    """The images of both, in this order: none of them may stand among the OOD images."""
    if test is None:
        return pool
    return Pool(
        np.array([*pool.ids.tolist(), *(f"(test) {one}" for one in test.ids.tolist())]),
        np.full(len(pool) + len(test), UNLABELED),  # of a set of boxes, the classes may be others
        pool.classes,
        JoinedSource((pool.source, test.source)),
        pool.image_shape,
    )


def without_copies(
    own: Pool, sources: Mapping[str, Pool], near: float, watch: Monitor
) -> tuple[dict[str, Pool], dict[str, tuple[Pool, Duplicates]]]:
    """OOD sources without the target's own images, and what was found of these.

    Raises:
        InputError: nothing is left of a source.
    """
    watch.stage("looking for the target's own images among the OOD images")
    copies, clean = {}, {}
    for name, source in sources.items():
        found = target_in_ood(own, source, threshold=near)
        if len(found):
            copies[name] = (source, found)
        rest = np.setdiff1d(np.arange(len(source)), found.positions)
        if not len(rest):
            raise InputError(f"all {len(source)} OOD images of {name} are copies of the target's own. Give others.")
        clean[name] = source.subset(rest) if len(found) else source
    return clean, copies


def labeled_part(pool: Pool, asked: TrainConfig) -> Pool:
    """The images that are trained on, labelled or with a known box: all, or the few-shot draw.

    Raises:
        InputError: a class has too few, or there are fewer images than classes.
    """
    if asked.task == "box":
        return _boxed_part(pool, asked)
    labeled = pool.subset(np.flatnonzero(pool.labels >= 0)) if (pool.labels < 0).any() else pool
    if asked.few_shot is None:
        return labeled
    if asked.few_shot < len(labeled.classes):
        raise InputError(
            f"few_shot (--few-shot) is {asked.few_shot}, and there are {len(labeled.classes)} classes, each of which "
            f"needs an image. Ask for at least {len(labeled.classes)}."
        )
    return few_shot(labeled, asked.few_shot, seed=_seed(asked, "few shot"))


def _boxed_part(pool: Pool, asked: TrainConfig) -> Pool:
    """The images with a known box; their classes, where they have any, say nothing about boxes and are drawn evenly."""
    assert pool.boxes is not None
    boxed = np.flatnonzero(~np.isnan(pool.boxes).any(axis=1))
    if len(boxed) < 2:
        raise InputError(f"box regression needs at least 2 images with a known box; there are {len(boxed)}.")
    known = pool.subset(boxed)
    if asked.few_shot is None:
        return known
    if (known.labels >= 0).all() and asked.few_shot >= len(known.classes):
        return few_shot(known, asked.few_shot, seed=_seed(asked, "few shot"))
    if asked.few_shot > len(known):
        raise InputError(
            f"few_shot (--few-shot) asks for {asked.few_shot} images with a box, and there are {len(known)}. Ask for "
            "fewer."
        )
    order = np.random.default_rng(_seed(asked, "few shot")).permutation(len(known))
    return known.subset(np.sort(order[: asked.few_shot]))


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


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, or the first of name-2, name-3, ... that is free."""
    return next(one for one in chain([name], (f"{name}-{number}" for number in count_up(2))) if one not in taken)


def _ood_count(there: int, asked: TrainConfig) -> int | None:
    """How many OOD images training draws: as many as labelled ones, or what was asked.

    Raises:
        InputError: there are fewer.
    """
    count = asked.few_shot if asked.ood_count is None else asked.ood_count
    if count is not None and count > there:
        why = "as many as labelled images (--few-shot)" if asked.ood_count is None else "by ood_count (--ood-count)"
        raise InputError(
            f"training would draw {count} OOD images, {why}, and there are {there}. Give more of them, or ask for at "
            f"most {there} with ood_count (--ood-count)."
        )
    return count


def _hold_back(
    sources: Mapping[str, Pool], asked: TrainConfig, count: int | None
) -> tuple[dict[str, Pool], dict[str, Pool] | None]:
    """A tenth of each source to measure with, or a few more that training leaves; none where those would be too few."""
    total = sum(map(len, sources.values()))
    needed = dict.fromkeys(sources, 0)
    if asked.ood_weights is not None:
        needed = needed if count is None else quotas(sources, asked.ood_weights, count)
    spare = total // 10 if count is None else min(total - count, max(total // 10, _LEAST_HELD))
    most = min(_HELD, spare)
    cuts = {name: min(most * len(one) // total, len(one) - needed[name]) for name, one in sources.items()}
    if sum(cuts.values()) < _LEAST_HELD:
        return dict(sources), None
    trained, kept = {}, {}
    for name, source in sources.items():
        order = generator(_seed(asked, "held back"), name).permutation(len(source))
        cut = cuts[name]
        if not cut:
            trained[name] = source
            continue
        kept[name] = source.subset(np.sort(order[:cut]))
        trained[name] = source.subset(np.sort(order[cut:]))
    return trained, kept


def _seed(asked: TrainConfig, what: str) -> int:
    return stream_seed(asked.seed, what) % 2**32
