"""Label noise for rehearsal: wrong labels at a known rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.checks import Positions, check_labels
from goodgrain.errors import InputError


def symmetric(labels: ArrayLike, rate: float, *, classes: int, seed: int) -> Positions:
    """Give some examples the label of another class, drawn uniformly.

    Args:
        labels: (n,) 0..c-1.
        rate: share of wrong labels, 0..1; exactly floor(rate n + 0.5) labels change.
        classes: c, at least 2.
        seed: draws who changes, and to what.

    Returns:
        (n,) noisy labels.

    Raises:
        InputError: labels outside 0..c-1, fewer than two classes, or a rate outside 0..1.

    Example:
        >>> int((symmetric([0] * 10, 0.3, classes=5, seed=0) != 0).sum())
        3
    """
    y = _checked(labels, rate, classes)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(y))[: int(rate * len(y) + 0.5)]
    noisy = y.copy()
    noisy[chosen] = (y[chosen] + rng.integers(1, classes, size=len(chosen))) % classes
    return noisy


def asymmetric(
    labels: ArrayLike, rate: float, *, classes: int, seed: int, mapping: Mapping[int, int] | None = None
) -> Positions:
    """Give some examples of each class the label of one other class.

    Args:
        labels: (n,) 0..c-1.
        rate: share of wrong labels within each class that is mapped, 0..1; the count is exact in each.
        classes: c, at least 2.
        seed: draws who changes.
        mapping: class -> the class it is taken for; None for c -> c + 1, the last for the first.

    Returns:
        (n,) noisy labels.

    Raises:
        InputError: labels outside 0..c-1, fewer than two classes, a rate outside 0..1, or a mapping to no class.

    Example:
        >>> asymmetric([0, 0, 1, 1, 2, 2], 0.5, classes=3, seed=0).tolist()
        [1, 0, 2, 1, 0, 2]
    """
    y = _checked(labels, rate, classes)
    table = {j: (j + 1) % classes for j in range(classes)} if mapping is None else dict(mapping)
    for source, target in table.items():
        if not (0 <= source < classes and 0 <= target < classes):
            raise InputError(
                f"mapping should map classes 0..{classes - 1} to each other; it maps {source} to {target}."
            )
    rng = np.random.default_rng(seed)
    noisy = y.copy()
    for source in range(classes):
        members = rng.permutation(np.flatnonzero(y == source))
        noisy[members[: int(rate * len(members) + 0.5)]] = table.get(source, source)
    return noisy


def _checked(labels: ArrayLike, rate: float, classes: int) -> Positions:
    if classes < 2:
        raise InputError(f"label noise needs at least 2 classes; {classes} came.")
    if not 0 <= rate <= 1:
        raise InputError(f"the noise rate should be 0..1; {rate!r} came.")
    return check_labels(labels, classes=classes)
