"""Out-of-distribution (OOD) images beside a target's own: joined, drawn, and checked for copies of the target."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image

from goodgrain.checks import Positions, check_count
from goodgrain.data.duplicates import THRESHOLD, Duplicates, find_overlap
from goodgrain.data.images import ImageSource, original
from goodgrain.data.pool import OOD, Pool
from goodgrain.errors import InputError, UnknownName


@dataclass(frozen=True)
class JoinedSource:
    """The images of several sources, one after the other.

    Args:
        sources: at least one.
    """

    sources: Sequence[ImageSource]

    def __len__(self) -> int:
        """How many images there are."""
        return sum(map(len, self.sources))

    def open(self, position: int) -> Image.Image:
        """One image at its own size."""
        source, inside = self._find(position)
        return source.open(inside)

    def original(self, position: int) -> bytes | Path | None:
        """The encoded image, where its source has it."""
        return original(*self._find(position))

    def _find(self, position: int) -> tuple[ImageSource, int]:
        ends = list(accumulate(map(len, self.sources)))
        which = bisect_right(ends, position)
        return self.sources[which], position - (ends[which - 1] if which else 0)


def join_ood(
    pool: Pool,
    sources: Mapping[str, Pool],
    *,
    weights: Mapping[str, float] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Pool:
    """The target's images, and behind them OOD images under the label OOD, whatever labels they had.

    OOD images come at the target's size and with its channels; their ids become "ood/SOURCE/ID".

    Args:
        pool: the target's n images.
        sources: name -> its images.
        weights: name -> above 0, how many come from each source, by their shares; None for a draw from all alike.
        count: how many OOD images in all, drawn without replacement; None for all, or with weights for as many as the
            shares allow.
        seed: of the draw.

    Returns:
        The pool of both; OOD images of one source stand together, in the source's order.

    Raises:
        InputError: no source, an empty one, or one with fewer images than are wanted of it.
        UnknownName: a weight for a source that is not there.

    Example:
        >>> images = np.zeros((4, 8, 8), np.uint8)
        >>> own, other = Pool.from_arrays(images, [0, 1, 0, 1]), Pool.from_arrays(images, [0, 0, 0, 0])
        >>> joined = join_ood(own, {"noise": other}, count=2)
        >>> joined.labels.tolist(), joined.ids[4:].tolist()
        ([0, 1, 0, 1, -2, -2], ['ood/noise/0', 'ood/noise/2'])
    """
    if not sources:
        raise InputError("there is no OOD source. Give at least one.")
    for name, source in sources.items():
        if not len(source):
            raise InputError(f"the OOD source {name} has no images. Give one that has some, or leave it out.")
    wanted = None if count is None else check_count("count", count, least=1)
    drawn = _drawn({name: len(source) for name, source in sources.items()}, weights, wanted, seed)
    picked = {name: source.subset(drawn[name]) for name, source in sources.items() if len(drawn[name])}
    extra = sum(map(len, picked.values()))
    ids = [f"ood/{name}/{one}" for name, source in picked.items() for one in source.ids.tolist()]
    nowhere = np.full((extra, 4), np.nan, dtype=np.float32)
    return dataclasses.replace(
        pool,
        ids=np.concatenate([pool.ids, np.array(ids, dtype=np.str_)]),
        labels=np.concatenate([pool.labels, np.full(extra, OOD)]),
        source=JoinedSource([pool.source, *(source.source for source in picked.values())]),
        clean_labels=None if pool.clean_labels is None else np.concatenate([pool.clean_labels, np.full(extra, OOD)]),
        rejected=pool.rejected + tuple(one for source in sources.values() for one in source.rejected),
        boxes=None if pool.boxes is None else np.concatenate([pool.boxes, nowhere]),
    )


def _drawn(
    sizes: Mapping[str, int], weights: Mapping[str, float] | None, count: int | None, seed: int
) -> dict[str, Positions]:
    """Positions in each source, in its order."""
    rng = np.random.default_rng(seed)
    if weights is None:
        total = sum(sizes.values())
        if count is not None and count > total:
            raise InputError(f"{count} OOD images are wanted, but there are {total}. Ask for fewer, or give more.")
        rows = np.arange(total) if count is None else np.sort(rng.permutation(total)[:count])
        starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
        return {
            name: rows[(rows >= starts[name]) & (rows < starts[name] + size)] - starts[name]
            for name, size in sizes.items()
        }
    counts = _by_weight(sizes, weights, count)
    for name, size in sizes.items():
        if counts[name] > size:
            raise InputError(
                f"{counts[name]} images are wanted of the OOD source {name}, which has {size}. "
                "Lower its weight or the count."
            )
    return {name: np.sort(rng.permutation(size)[: counts[name]]) for name, size in sizes.items()}


def _by_weight(sizes: Mapping[str, int], weights: Mapping[str, float], count: int | None) -> dict[str, int]:
    """How many of each source: whole numbers nearest to the shares, that add up to the count."""
    for name, weight in weights.items():
        if name not in sizes:
            raise UnknownName("OOD source with a weight", name, sizes)
        if not 0 < weight < np.inf:
            raise InputError(f"the weight of the OOD source {name} should be above 0 and finite; {weight!r} came.")
    missing = [name for name in sizes if name not in weights]
    if missing:
        raise InputError(f"the OOD source {missing[0]} has no weight. Give one for each source, or for none.")
    shares = np.array([weights[name] for name in sizes]) / sum(weights.values())
    total = (
        int(min(size / share for size, share in zip(sizes.values(), shares, strict=True))) if count is None else count
    )
    exact = shares * total
    whole = np.floor(exact).astype(int)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: total - whole.sum()]] += 1
    return dict(zip(sizes, whole.tolist(), strict=True))


def ood_of(pool: Pool) -> Pool | None:
    """The images of a pool that are labelled OOD already, such as the answers "none of these"; None without any."""
    strange = np.flatnonzero(pool.labels == OOD)
    return pool.subset(strange) if len(strange) else None


def without_ood(pool: Pool) -> Pool:
    """The images of a pool that are not labelled OOD.

    Raises:
        InputError: all are.
    """
    own = np.flatnonzero(pool.labels != OOD)
    if not len(own):
        raise InputError(f"all {len(pool)} images are labelled OOD; there is nothing to learn. Give some with a class.")
    return pool if len(own) == len(pool) else pool.subset(own)


def few_shot(pool: Pool, count: int, *, seed: int) -> Pool:
    """Some labelled images: equally many of each class, and the rest of the count from as many classes, one each.

    Args:
        pool: n images.
        count: how many.
        seed: of the draw.

    Returns:
        The pool of these images, in the pool's order.

    Raises:
        InputError: a class has too few images.

    Example:
        >>> pool = Pool.from_arrays(np.zeros((6, 8, 8), np.uint8), [0, 0, 0, 1, 1, 1])
        >>> few_shot(pool, 4, seed=0).labels.tolist()
        [0, 0, 1, 1]
    """
    wanted = check_count("count", count, least=1)
    rng = np.random.default_rng(seed)
    classes = len(pool.classes)
    per_class = np.full(classes, wanted // classes)
    per_class[rng.permutation(classes)[: wanted % classes]] += 1
    picked = []
    for label, number in enumerate(per_class.tolist()):
        rows = np.flatnonzero(pool.labels == label)
        if len(rows) < number:
            raise InputError(
                f"{number} images of class {pool.classes[label]!r} are wanted ({wanted} in all, equally many of each "
                f"class), but it has {len(rows)}. Ask for fewer."
            )
        picked.append(rng.permutation(rows)[:number])
    return pool.subset(np.sort(np.concatenate(picked)))


def target_in_ood(pool: Pool, ood: Pool, *, threshold: float = THRESHOLD) -> Duplicates:
    """OOD images that are the target's own, pixel for pixel or nearly: their features should not be switched off.

    Args:
        pool: the target's images; `originals` are positions in it.
        ood: the OOD images; `positions` are positions in it.
        threshold: least likeness of near copies, in (0, 1], as in `goodgrain.data.duplicates`.

    Raises:
        InputError: the threshold is outside (0, 1].
    """
    return find_overlap(ood, pool, threshold=threshold)
