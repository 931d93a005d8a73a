"""Out-of-distribution (OOD) images beside the target's own: joined, drawn, and searched for copies."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goodgrain.checks import Positions, check_count, check_within, lookup
from goodgrain.data.duplicates import THRESHOLD, Duplicates, find_overlap
from goodgrain.data.images import ImageSource, PickedSource, fit_image, original, sentence
from goodgrain.data.pool import OOD, Pool, Rejected
from goodgrain.errors import InputError


@dataclasses.dataclass(frozen=True)
class JoinedSource:
    """The images of several sources, one after the other.

    Args:
        sources: where they come from, in order.
    """

    sources: tuple[ImageSource, ...]
    _ends: list[int] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Count once, not at every image."""
        object.__setattr__(self, "_ends", list(accumulate(len(source) for source in self.sources)))

    def __len__(self) -> int:
        """How many images there are."""
        return self._ends[-1]

    def open(self, position: int) -> Image.Image:
        """One image at its own size."""
        source, place = self._find(position)
        return source.open(place)

    def original(self, position: int) -> bytes | Path | None:
        """The encoded image, where its source has it."""
        return original(*self._find(position))

    def _find(self, position: int) -> tuple[ImageSource, int]:
        index = bisect.bisect_right(self._ends, position)
        return self.sources[index], position - (self._ends[index - 1] if index else 0)


def join_ood(
    pool: Pool,
    sources: Mapping[str, Pool],
    *,
    weights: Mapping[str, float] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Pool:
    """Put OOD images behind a pool's own: N images of the target and as many others make a few-shot task (chapter 3).

    OOD images take the pool's size and colours when they are decoded, which is when they are asked for. Whatever labels
    and boxes they had, they have none here. They keep their order within their source.

    Args:
        pool: n images of the target, which come first and unchanged.
        sources: name -> OOD images, of any size, gray or in colour.
        weights: name -> share of the OOD images that come from there, for every source, in any unit; rounded to whole
            images by the largest remainders. Without weights, every OOD image is as likely as any other.
        count: how many OOD images are drawn in all, without replacement; all of them by default, or with weights the
            largest number that takes from no source more than it has.
        seed: which ones are drawn.

    Returns:
        The joined pool: ids "ood/NAME/ID", labels OOD, clean labels OOD where the pool has clean ones, boxes unknown.

    Raises:
        InputError: no sources, one with fewer images than it should give, or images that cannot be
            converted; a name with "/"; a weight that is not above 0 or lacks; an id that the pool has already.
        UnknownName: a weight for no source.

    Example:
        >>> own = Pool.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
        >>> digits = Pool.from_arrays(np.full((5, 4, 4), 9, np.uint8), [0, 1, 2, 3, 4])
        >>> both = join_ood(own, {"digits": digits}, count=2)
        >>> both.ids.tolist(), both.labels.tolist(), both.images([2]).shape
        (['0', '1', 'ood/digits/2', 'ood/digits/4'], [0, 1, -2, -2], (1, 8, 8, 3))
    """
    _check_sources(sources)
    sizes = [len(source) for source in sources.values()]
    shares = None if weights is None else _check_weights(weights, list(sources))
    if count is not None:
        check_count("count", count)
    picks = _draw(list(sources), sizes, shares, count, np.random.default_rng(seed))
    drawn = {name: rows for name, rows in zip(sources, picks, strict=True) if len(rows)}
    for name, rows in drawn.items():
        _check_convertible(pool, name, sources[name], int(rows[0]))
    ids = [f"ood/{name}/{one}" for name, rows in drawn.items() for one in sources[name].ids[rows].tolist()]
    again = np.isin(ids, pool.ids)
    if again.any():
        raise InputError(f"the pool has {ids[int(np.argmax(again))]!r} already. Join each source once, or rename it.")
    parts = (PickedSource(sources[name].source, rows) for name, rows in drawn.items())
    return Pool(
        np.array([*pool.ids.tolist(), *ids], dtype=np.str_),
        _with_ood(pool.labels, len(ids)),
        pool.classes,
        JoinedSource((pool.source, *parts)),
        pool.image_shape,
        None if pool.clean_labels is None else _with_ood(pool.clean_labels, len(ids)),
        (*pool.rejected, *_rejected(sources)),
        None if pool.boxes is None else _with_unknown(pool.boxes, len(ids)),
    )


def quotas(sources: Mapping[str, Pool], weights: Mapping[str, float], count: int) -> dict[str, int]:
    """How many of `count` OOD images `join_ood` takes from each source under these weights.

    Args:
        sources: name -> OOD images.
        weights: name -> share, for every source.
        count: how many in all.

    Raises:
        InputError: a weight that is not above 0 or lacks.
        UnknownName: a weight for no source.

    Example:
        >>> images = Pool.from_arrays(np.zeros((9, 4, 4), np.uint8), [0] * 9)
        >>> quotas({"digits": images, "scenes": images}, {"digits": 2, "scenes": 1}, 5)
        {'digits': 3, 'scenes': 2}
    """
    return dict(zip(sources, _apportion(count, _check_weights(weights, list(sources))), strict=True))


def ood_of(pool: Pool) -> Pool | None:
    """The images of a pool that are labelled OOD, such as the answers "none of these" of a labelling run.

    Args:
        pool: n images.

    Returns:
        A source for `join_ood`; None where no image is labelled OOD.

    Example:
        >>> answered = Pool.from_arrays(np.zeros((3, 8, 8), np.uint8), [0, OOD, 1])
        >>> ood_of(answered).ids.tolist(), without_ood(answered).ids.tolist()
        (['1'], ['0', '2'])
    """
    rows = np.flatnonzero(pool.labels == OOD)
    return pool.subset(rows) if len(rows) else None


def without_ood(pool: Pool) -> Pool:
    """The images of a pool that are not labelled OOD: the pool itself where none is.

    Args:
        pool: n images.

    Returns:
        What `ood_of` leaves, unlabelled images included, in the pool's order.

    Raises:
        InputError: all images are labelled OOD.
    """
    rows = np.flatnonzero(pool.labels != OOD)
    if not len(rows):
        raise InputError(f"all {len(pool)} images are labelled out of distribution. None of the target's is left.")
    return pool if len(rows) == len(pool) else pool.subset(rows)


def target_in_ood(pool: Pool, ood: Pool, threshold: float = THRESHOLD) -> Duplicates:
    """Find OOD images that repeat one of the target's own, which would be trained on as both (see `find_overlap`).

    Pictures are compared, labels are not: no OOD label says anything about the target's classes. A report may say:
    "N OOD images were left out: they are copies of the target's own."

    Args:
        pool: the target's images; `originals` are its.
        ood: images of one source; `positions` are its.
        threshold: least cosine of near repeats, in (0, 1].

    Raises:
        InputError: the threshold is outside (0, 1].

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
        >>> own, strange = Pool.from_arrays(images[:2], [0, 1]), Pool.from_arrays(images[1:], [0, 0, 0])
        >>> found = target_in_ood(own, strange)
        >>> found.positions, found.originals
        (array([0]), array([1]))
    """
    return find_overlap(ood.with_labels(np.full(len(ood), OOD)), pool, threshold=threshold)


def few_shot(pool: Pool, count: int, *, seed: int) -> Pool:
    """Draw some labelled images with equal numbers per class; what is left over goes to classes drawn at random.

    Args:
        pool: n images; those without a label are never drawn, and classes without a labelled image are passed over.
        count: how many are drawn in all.
        seed: which ones, and which classes get one more.

    Returns:
        `count` images in the pool's order.

    Raises:
        InputError: no labelled images, or a class with too few of them.

    Example:
        >>> few = few_shot(Pool.from_arrays(np.zeros((9, 8, 8), np.uint8), [0, 1, 2] * 3), 6, seed=0)
        >>> np.bincount(few.labels)
        array([2, 2, 2])
    """
    check_count("count", count)
    there, sizes = np.unique(pool.labels[pool.labels >= 0], return_counts=True)
    if not len(there):
        raise InputError("no image is labelled, so none can be drawn. Give labels.")
    each, left = divmod(count, len(there))
    able = np.flatnonzero(sizes > each)
    if sizes.min() < each or len(able) < left:
        scarce = int(sizes.argmin())
        needed = each if sizes.min() < each else each + 1
        raise InputError(
            f"{count} images drawn evenly take {needed} of each of {len(there)} classes, but class "
            f"{pool.classes[there[scarce]]!r} has {sizes[scarce]} labelled ones. Ask for at most "
            f"{sizes.min() * len(there) + np.count_nonzero(sizes > sizes.min())}."
        )
    rng = np.random.default_rng(seed)
    quota = np.full(len(there), each)
    quota[rng.permutation(able)[:left]] += 1
    picks = [rng.permutation(np.flatnonzero(pool.labels == c))[:k] for c, k in zip(there, quota, strict=True)]
    return pool.subset(np.sort(np.concatenate(picks)))


def _check_sources(sources: Mapping[str, Pool]) -> None:
    if not sources:
        raise InputError("there are no OOD sources. Give at least one: a name and its images.")
    for name in sources:
        if not name or "/" in name:
            raise InputError(f"an OOD source should have a name without '/'; {name!r} came.")


def _check_weights(weights: Mapping[str, float], names: Sequence[str]) -> list[Fraction]:
    """Weights in the order of the sources, exactly as they are written: 0.1 is a tenth."""
    for name in weights:
        lookup("OOD source", dict.fromkeys(names), name)
    lost = [name for name in names if name not in weights]
    if lost:
        raise InputError(f"weights has none for {', '.join(lost)}. Give every OOD source one above 0.")
    return [Fraction(str(check_within(f"weight of {name}", weights[name], above=0.0))) for name in names]


def _check_convertible(pool: Pool, name: str, source: Pool, row: int) -> None:
    """Refuse a source by one of its images, before hours of training come to it."""
    try:
        fit_image(source.source.open(row), pool.image_shape)
    except (OSError, ValueError, SyntaxError) as problem:
        height, width, channels = pool.image_shape
        raise InputError(
            f"images of the OOD source {name!r} cannot be brought to the target's {width} x {height} pixels in "
            f"{'gray' if channels == 1 else 'colour'}: {str(source.ids[row])!r}: {sentence(problem)}."
        ) from problem


def _draw(
    names: Sequence[str],
    sizes: Sequence[int],
    shares: Sequence[Fraction] | None,
    count: int | None,
    rng: np.random.Generator,
) -> list[Positions]:
    """Rows of each source, ascending."""
    if shares is None:
        total = sum(sizes)
        if count is not None and count > total:
            raise InputError(f"{count} OOD images were asked for, and there are {total}. Ask for at most {total}.")
        rows = np.arange(total) if count is None else np.sort(rng.permutation(total)[:count])
        starts = np.cumsum([0, *sizes])
        return [rows[(rows >= first) & (rows < end)] - first for first, end in pairwise(starts)]
    most = _largest_total(sizes, shares)
    quota = _apportion(most if count is None else count, shares)
    for name, size, wanted in zip(names, sizes, quota, strict=True):
        if wanted > size:
            raise InputError(
                f"{count} OOD images by weight take {wanted} from the OOD source {name!r}, which has {size}. "
                f"Ask for at most {most}, or give it less weight."
            )
    return [np.sort(rng.permutation(size)[:wanted]) for size, wanted in zip(sizes, quota, strict=True)]


def _largest_total(sizes: Sequence[int], shares: Sequence[Fraction]) -> int:
    """The largest total whose exact shares are within all sources."""
    return int(min(size * sum(shares) / share for size, share in zip(sizes, shares, strict=True)))


def _apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole numbers that sum to the total, by the largest remainders; ties go to the earlier source."""
    exact = [total * share / sum(shares) for share in shares]
    quota = [int(part) for part in exact]
    order = sorted(range(len(exact)), key=lambda place: quota[place] - exact[place])
    for place in order[: total - sum(quota)]:
        quota[place] += 1
    return quota


def _with_ood(labels: Positions, n: int) -> Positions:
    return np.concatenate([labels, np.full(n, OOD)])


def _with_unknown(boxes: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    return np.concatenate([boxes, np.full((n, 4), np.nan, dtype=np.float32)])


def _rejected(sources: Mapping[str, Pool]) -> list[Rejected]:
    return [Rejected(f"ood/{name}/{bad.id}", bad.reason) for name, source in sources.items() for bad in source.rejected]
