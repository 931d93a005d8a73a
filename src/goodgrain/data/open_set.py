"""Open-set pools, whose truth is known, to try labelling where some images are of no class (section 4.4.1)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from goodgrain.checks import Positions, check_count, lookup
from goodgrain.data.ood import join_ood
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class OpenSet:
    """A pool in which some images are of no class, in an order that gives nothing away.

    Args:
        pool: n images; the labels are the truth, OOD included.
        positions: (n,) int64, where each image comes from: its position in the pool that was given, or with several
            datasets in all of them, one after the other.
    """

    pool: Pool
    positions: Positions


def split_dataset(
    pool: Pool, classes: Sequence[str | int] | int, *, ood_share: float, seed: int, count: int | None = None
) -> OpenSet:
    """Let some classes of a dataset be in-distribution (IN) and draw OOD images from all others.

    With one seed, a larger share holds the OOD images of every smaller one.

    Args:
        pool: n images, each with a class, which is taken for the truth.
        classes: which are IN, by name or number; or how many, to be drawn with the seed.
        ood_share: share of OOD images in the result, in [0, 1), rounded to whole images.
        seed: draws classes, images and their order.
        count: how many images the result has; None for all IN images, and OOD images in proportion.

    Returns:
        The open-set pool: IN images have labels 0..k-1 in the pool's order of classes, all others OOD.

    Raises:
        InputError: an image without a class, classes that are not k different ones of the pool, a share outside
            [0, 1), or too few images; it says how many there can be.
        UnknownName: no such class.

    Example:
        >>> animals = Pool.from_arrays(np.zeros((9, 8, 8), np.uint8), [0, 1, 2] * 3, classes=["cat", "dog", "owl"])
        >>> both = split_dataset(animals, ["owl", "cat"], ood_share=0.25, seed=0)
        >>> both.pool.classes, np.bincount(both.pool.labels - OOD)  # OOD, UNLABELED, cat, owl
        (('cat', 'owl'), array([2, 0, 3, 3]))
        >>> bool((animals.ids[both.positions] == both.pool.ids).all())
        True
    """
    _check_classes_known(pool)
    rng = np.random.default_rng(seed)
    chosen = _chosen(pool.classes, classes, rng)
    number = np.full(len(pool.classes), OOD)
    number[chosen] = np.arange(len(chosen))
    labels = number[pool.labels]
    own, others = np.flatnonzero(labels >= 0), np.flatnonzero(labels == OOD)
    n_in, n_ood = _counts(len(own), len(others), ood_share, count)
    rows = np.concatenate([rng.permutation(own)[:n_in], rng.permutation(others)[:n_ood]])
    names = tuple(pool.classes[label] for label in chosen)
    whole = dataclasses.replace(pool, labels=labels, classes=names, clean_labels=None)
    return _mixed(whole, np.arange(len(pool)), rng.permutation(rows))


def cross_datasets(
    pool: Pool, others: Mapping[str, Pool], *, ood_share: float, seed: int, count: int | None = None
) -> OpenSet:
    """Mix a dataset, all of which is in-distribution (IN), with images of other datasets, which are OOD.

    Args:
        pool: n images, each with a class, which is taken for the truth.
        others: name -> images of any size, gray or in colour; whatever labels they have do not count. As many are drawn
            from each, as far as each has so many.
        ood_share: share of OOD images in the result, in [0, 1), rounded to whole images.
        seed: draws images and their order.
        count: how many images the result has; None for all IN images, and OOD images in proportion.

    Returns:
        The open-set pool; OOD images have ids "ood/NAME/ID" and the size and colours of the pool's own, as in
        `goodgrain.data.ood.join_ood`.

    Raises:
        InputError: as in `split_dataset`, or as in `join_ood`.

    Example:
        >>> own = Pool.from_arrays(np.zeros((6, 8, 8, 3), np.uint8), [0, 1] * 3)
        >>> digits, trees = (Pool.from_arrays(np.full((5, 4, 4), 9, np.uint8), [0] * 5) for _ in range(2))
        >>> both = cross_datasets(own, {"digits": digits, "trees": trees}, ood_share=0.4, seed=0)
        >>> sorted(one.split("/")[1] for one in both.pool.ids.tolist() if one.startswith("ood/"))
        ['digits', 'digits', 'trees', 'trees']
    """
    _check_classes_known(pool)
    rng = np.random.default_rng(seed)
    sizes = [len(other) for other in others.values()]
    n_in, n_ood = _counts(len(pool), sum(sizes), ood_share, count)
    own = rng.permutation(len(pool))[:n_in]
    drawn = [rng.permutation(size)[:k] for size, k in zip(sizes, _evenly(n_ood, sizes), strict=True)]
    starts = np.cumsum([len(pool), *sizes])[:-1]
    positions = np.concatenate([own, *(rows + start for rows, start in zip(drawn, starts, strict=True))])
    whole = dataclasses.replace(pool.subset(own), clean_labels=None)
    picked = {name: other.subset(rows) for (name, other), rows in zip(others.items(), drawn, strict=True) if len(rows)}
    if picked:
        whole = join_ood(whole, picked)
    return _mixed(whole, positions, rng.permutation(len(whole)))


def unlabeled(pool: Pool) -> Pool:
    """The same images with nothing labelled yet, and the truth in `clean_labels`.

    Args:
        pool: n images; its clean labels are the truth where it has them, else its labels.

    Example:
        >>> hidden = unlabeled(Pool.from_arrays(np.zeros((3, 8, 8), np.uint8), [0, OOD, 1]))
        >>> hidden.labels, hidden.clean_labels
        (array([-1, -1, -1]), array([ 0, -2,  1]))
    """
    return pool.with_labels(np.full(len(pool), UNLABELED), _truth(pool))


def oracle_truth(pool: Pool, *, ood: str) -> dict[str, str]:
    """What a simulated annotator should know: the true class of each image.

    Args:
        pool: n images; its clean labels are the truth where it has them, else its labels.
        ood: the annotator's word for out of distribution, such as `goodgrain.annotate.OOD`.

    Returns:
        id -> class name or `ood`, in the pool's order; images whose truth is unknown are left out.

    Raises:
        InputError: a class has that name.

    Example:
        >>> mixed = Pool.from_arrays(np.zeros((3, 8, 8), np.uint8), [1, OOD, UNLABELED], classes=["cat", "dog"])
        >>> oracle_truth(mixed, ood="none of these")
        {'0': 'dog', '1': 'none of these'}
    """
    if ood in pool.classes:
        raise InputError(f"ood={ood!r} is the name of a class too. Give a word that no class has.")
    words = {**dict(enumerate(pool.classes)), OOD: ood}
    pairs = zip(pool.ids.tolist(), _truth(pool).tolist(), strict=True)
    return {name: words[label] for name, label in pairs if label != UNLABELED}


def _truth(pool: Pool) -> Positions:
    return pool.labels if pool.clean_labels is None else pool.clean_labels


def _mixed(whole: Pool, positions: Positions, order: Positions) -> OpenSet:
    return OpenSet(whole.subset(order), positions[order])


def _check_classes_known(pool: Pool) -> None:
    without = np.flatnonzero(pool.labels < 0)
    if len(without):
        raise InputError(
            f"an open-set pool needs the true class of every image; {len(without)} of {len(pool)} have none, the first "
            f"is {str(pool.ids[without[0]])!r}. Take the subset of those with a label."
        )


def _chosen(names: Sequence[str], asked: Sequence[str | int] | int, rng: np.random.Generator) -> Positions:
    """Numbers of the classes that are asked for, ascending."""
    if isinstance(asked, int | np.integer):
        return np.sort(rng.permutation(len(names))[: check_count("classes", asked, most=len(names))])
    table = {name: number for number, name in enumerate(names)}
    last = len(names) - 1
    numbers = [
        lookup("class", table, one) if isinstance(one, str) else check_count("a class", one, least=0, most=last)
        for one in asked
    ]
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError(f"classes should be one or more different ones of {', '.join(names)}; {asked!r} came.")
    return np.sort(np.array(numbers, dtype=np.int64))


def _counts(own: int, others: int, share: float, count: int | None) -> tuple[int, int]:
    """How many IN and OOD images make up the share.

    Raises:
        InputError: a share outside [0, 1), or more than there are.
    """
    if isinstance(share, bool) or not 0 <= share < 1:
        raise InputError(f"ood_share should be in [0, 1); {share!r} came.")
    if own == 0:
        raise InputError("no image is of the classes asked for. Ask for classes that have images.")
    exact = Fraction(str(share))  # as it is written: 0.1 is a tenth
    if count is None:
        n_in, n_ood = own, _rounded(own * exact / (1 - exact))
    else:
        n_ood = _rounded(check_count("count", count) * exact)
        n_in = count - n_ood
    if n_in > own:
        raise InputError(
            f"count={count} at ood_share={share:g} takes {n_in} in-distribution images, and there are {own}. "
            f"Ask for at most {int(own / (1 - exact))}."
        )
    if n_ood > others:
        most = math.floor(Fraction(1000 * others, n_in + others if count is None else count)) / 1000
        raise InputError(
            f"ood_share={share:g} takes {n_ood} OOD images beside {n_in} in-distribution ones, and there are {others}. "
            f"Ask for a share of at most {most:g}."
        )
    return n_in, n_ood


def _rounded(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def _evenly(total: int, sizes: Sequence[int]) -> list[int]:
    """Numbers that sum to the total, as equal as the sizes allow; what is left over goes to the larger ones."""
    given = [0] * len(sizes)
    for turn, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        given[place] = min(sizes[place], (total - sum(given)) // (len(sizes) - turn))
    return given
