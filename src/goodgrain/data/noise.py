"""Label noise on request: wrong labels in exact numbers, for experiments in which the truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.checks import Positions, check_labels
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


def _checked(labels: ArrayLike, rate: float, classes: int) -> Positions:
    """A copy of the labels, once everything about them is known to be right."""
    if classes < 2:
        raise InputError(f"classes should be at least 2 for a label to be wrong; {classes} came.")
    if not 0 <= rate <= 1:
        raise InputError(f"rate should be a share between 0 and 1; {rate!r} came.")
    return check_labels(labels, classes=classes).copy()


def _share(rate: float, n: int) -> int:
    return math.floor(rate * n + 0.5)
