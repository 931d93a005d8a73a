"""Label noise on request: wrong labels in exact numbers, for experiments in which the truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_labels, check_probabilities, lookup
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError


def symmetric(labels: ArrayLike, rate: float, *, classes: int, seed: int) -> Positions:
    """Flip a share of the labels, each to another class drawn uniformly.

    Exactly floor(rate * n + 0.5) labels are wrong afterwards, drawn without replacement.

    Args:
        labels: (n,) 0..classes-1.
        rate: share of wrong labels, in [0, 1].
        classes: how many classes there are, at least 2.
        seed: draws the images and their new classes.

    Returns:
        (n,) new labels.

    Raises:
        InputError: a label outside the classes, a rate outside [0, 1], or fewer than 2 classes.

    Example:
        >>> int((symmetric([0] * 10, 0.4, classes=3, seed=0) != 0).sum())
        4
    """
    noisy = _checked(labels, rate, classes)
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(noisy), size=_share(rate, len(noisy)), replace=False)
    noisy[wrong] = (noisy[wrong] + rng.integers(1, classes, size=len(wrong))) % classes
    return noisy


def asymmetric(
    labels: ArrayLike, rate: float, *, classes: int, seed: int, mapping: Mapping[int, int] | None = None
) -> Positions:
    """Flip a share of the labels of each class, all to the one class that it is mistaken for.

    In a class of m images exactly floor(rate * m + 0.5) labels are wrong afterwards, drawn without replacement.

    Args:
        labels: (n,) 0..classes-1.
        rate: share of wrong labels within each class, in [0, 1].
        classes: how many classes there are, at least 2.
        seed: draws the images.
        mapping: class -> what it is mistaken for; classes that are missing stay clean. By default each class is
            mistaken for the next, and the last for the first.

    Returns:
        (n,) new labels.

    Raises:
        InputError: a label or a mapped class outside the classes, a class mapped to itself, a rate outside [0, 1].

    Example:
        >>> asymmetric([0, 0, 1, 1], 0.5, classes=2, seed=0, mapping={0: 1}).sum()
        np.int64(3)
    """
    clean = _checked(labels, rate, classes)
    noisy = clean.copy()
    rng = np.random.default_rng(seed)
    targets = {c: (c + 1) % classes for c in range(classes)} if mapping is None else mapping
    for source, target in sorted(targets.items()):
        if not (0 <= source < classes and 0 <= target < classes) or source == target:
            raise InputError(f"mapping should lead from a class 0..{classes - 1} to another; {source}: {target} came.")
        members = np.flatnonzero(clean == source)
        noisy[rng.choice(members, size=_share(rate, len(members)), replace=False)] = target
    return noisy


def class_dependent(labels: ArrayLike, transition: ArrayLike, *, seed: int) -> Positions:
    """Flip labels by a transition matrix: of each class, the shares that its row states go to the other classes.

    The noise model P(given label = j | true label = i) = T_ij of Patrini et al. (2017), in exact numbers: of a class
    of m images, floor(m T_ij) go to class j, and those left over go one each to the largest remainders, the lower
    class first among equal ones.

    Args:
        labels: (n,) 0..c-1.
        transition: (c, c) shares >= 0, each row summing to 1; the diagonal is what stays.
        seed: draws which images of a class go where.

    Returns:
        (n,) new labels.

    Raises:
        InputError: the matrix is not square, has negative shares or rows that do not sum to 1, or a label lies
            outside of its classes.

    Example:
        >>> noisy = class_dependent([0] * 10 + [1] * 10, [[0.7, 0.3], [0.0, 1.0]], seed=0)
        >>> np.bincount(noisy).tolist()
        [7, 13]
    """
    shares = check_probabilities(transition, name="transition")
    if shares.shape[0] != shares.shape[1]:
        raise InputError(f"transition should have one row and one column per class; its shape is {shares.shape}.")
    clean = check_labels(labels, classes=len(shares))
    noisy = clean.copy()
    rng = np.random.default_rng(seed)
    for source, row in enumerate(shares.astype(np.float64)):
        members = np.flatnonzero(clean == source)
        noisy[rng.permutation(members)] = np.repeat(np.arange(len(row)), _apportion(row, len(members)))
    return noisy


def rehearse(pool: Pool, noise: str, *, seed: int) -> Pool:
    """The pool under noisy labels, with its own labels as the truth, to try a method where the answer is known.

    Args:
        pool: images whose labels are believed; what it knows of clean labels is replaced.
        noise: "symmetric:RATE", "asymmetric:RATE" (to the next class), or "class-dependent:FILE.csv", a table of
            numbers whose row i holds the shares of class i that go to each class.
        seed: draws the noise.

    Returns:
        The same images; `labels` are the noisy ones, `clean_labels` the former ones.

    Raises:
        InputError: an image without a class, a rate that is no share, or a table that is no transition matrix.
        UnknownName: no such kind of noise.

    Example:
        >>> pool = Pool.from_arrays(np.zeros((10, 2, 2), np.uint8), [0, 1] * 5)
        >>> int((rehearse(pool, "symmetric:0.4", seed=0).labels != pool.labels).sum())
        4
    """
    kind, _, how = noise.partition(":")
    make = lookup("noise", _KINDS, kind)
    unlabeled = int((pool.labels < 0).sum())
    if unlabeled:
        raise InputError(f"{unlabeled} of {len(pool)} images have no class, so their labels cannot be made wrong.")
    return pool.with_labels(make(pool.labels, how, len(pool.classes), seed), pool.labels)


def _symmetric(labels: Positions, how: str, classes: int, seed: int) -> Positions:
    return symmetric(labels, _rate(how), classes=classes, seed=seed)


def _asymmetric(labels: Positions, how: str, classes: int, seed: int) -> Positions:
    return asymmetric(labels, _rate(how), classes=classes, seed=seed)


def _class_dependent(labels: Positions, how: str, classes: int, seed: int) -> Positions:
    transition = _read_matrix(Path(how))
    if len(transition) != classes:
        raise InputError(f"{how} has {len(transition)} rows for {classes} classes. Give one row per class, in order.")
    return class_dependent(labels, transition, seed=seed)


_KINDS = {"symmetric": _symmetric, "asymmetric": _asymmetric, "class-dependent": _class_dependent}


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"the noise needs a rate, such as symmetric:0.4; {text!r} came.") from None


def _read_matrix(path: Path) -> NDArray[np.float64]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return np.array([[float(word) for word in line.split(",")] for line in lines if line.strip()])
    except (OSError, ValueError) as reason:
        raise InputError(f"{path} cannot be read as a table of numbers with commas: {reason}.") from reason


def _apportion(shares: NDArray[np.float64], total: int) -> Positions:
    """Whole numbers that sum to the total, by largest remainder."""
    exact = shares / shares.sum() * total
    counts: Positions = np.floor(np.round(exact, 9)).astype(np.int64)
    remainders = np.round(exact - counts, 9)  # equal remainders should stay equal
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _checked(labels: ArrayLike, rate: float, classes: int) -> Positions:
    """A copy of the labels, once everything about them is known to be right."""
    if classes < 2:
        raise InputError(f"classes should be at least 2 for a label to be wrong; {classes} came.")
    if not 0 <= rate <= 1:
        raise InputError(f"rate should be a share between 0 and 1; {rate!r} came.")
    return check_labels(labels, classes=classes).copy()


def _share(rate: float, n: int) -> int:
    return math.floor(rate * n + 0.5)
