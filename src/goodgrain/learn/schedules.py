"""Learning-rate schedules: factors of the highest rate, as functions of the share of the training that is behind."""

from __future__ import annotations

import math
from collections.abc import Callable


def warm_cosine(progress: float, *, warmup: float) -> float:
    """The factor of the learning rate: a straight rise from 0 to 1, then half a cosine down to 0.

    Args:
        progress: share of the training that is behind, 0 to 1.
        warmup: share of the training that rises.

    Example:
        >>> [round(warm_cosine(progress, warmup=0.2), 3) for progress in (0.1, 0.2, 0.6, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def halfway(progress: float, *, warmup: float) -> float:
    """The factor of the learning rate: a straight rise from 0 to 1, then 1, and a tenth in the second half.

    Args:
        progress: share of the training that is behind, 0 to 1.
        warmup: share of the training that rises, below a half.

    Example:
        >>> [halfway(progress, warmup=0.2) for progress in (0.1, 0.2, 0.5)]
        [0.5, 1.0, 0.1]
    """
    if progress < warmup:
        return progress / warmup
    return 1.0 if progress < 0.5 else 0.1


def steps(progress: float, *, warmup: float) -> float:
    """The factor of the learning rate: a straight rise from 0 to 1, then 1, a tenth from a half, a hundredth from 3/4.

    Args:
        progress: share of the training that is behind, 0 to 1.
        warmup: share of the training that rises, below a half.

    Example:
        >>> [round(steps(progress, warmup=0.2), 3) for progress in (0.1, 0.2, 0.5, 0.75)]
        [0.5, 1.0, 0.1, 0.01]
    """
    return halfway(progress, warmup=warmup) * (0.1 if progress >= 0.75 else 1.0)


SCHEDULES: dict[str, Callable[..., float]] = {"cosine": warm_cosine, "halfway": halfway, "steps": steps}
