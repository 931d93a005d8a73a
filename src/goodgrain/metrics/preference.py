"""How often one model's answers are preferred to another's, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.checks import check_count, check_integers, check_within
from goodgrain.errors import InputError

Interval = tuple[float, float]

WIN, TIE, LOSS = 1, 0, -1


@dataclass(frozen=True)
class PreferenceRates:
    """Shares of questions, from 0 to 1, each with a confidence interval (low, high).

    Args:
        n: how many questions were judged.
        win: share that our answers win.
        tie: share of ties.
        loss: share that our answers lose.
        win_rate: win + tie / 2; 0.5 means that neither model is preferred.
        win_interval: of `win`.
        tie_interval: of `tie`.
        loss_interval: of `loss`.
        win_rate_interval: of `win_rate`.
    """

    n: int
    win: float
    tie: float
    loss: float
    win_rate: float
    win_interval: Interval
    tie_interval: Interval
    loss_interval: Interval
    win_rate_interval: Interval


def preference_rates(
    outcomes: ArrayLike, *, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> PreferenceRates:
    """Win, tie and loss shares and the win rate, with percentile bootstrap intervals over questions (figure 6.4).

    n questions drawn with replacement hold multinomial counts of wins, ties and losses, so that these are drawn
    instead of the questions: the same distribution (Efron & Tibshirani 1993), in time and memory O(resamples).

    Args:
        outcomes: (n,) per question 1 where our answer wins, 0 for a tie, -1 where it loses.
        resamples: how many bootstrap samples.
        level: of the intervals, in (0, 1).
        seed: of the resampling.

    Returns:
        PreferenceRates.

    Raises:
        InputError: no question, an outcome other than 1, 0 and -1, or a level outside (0, 1).

    Example:
        >>> rates = preference_rates([1, 1, 0, -1])
        >>> rates.win, rates.tie, rates.loss, rates.win_rate
        (0.5, 0.25, 0.25, 0.625)
        >>> rates.win_rate_interval
        (0.25, 1.0)
    """
    judged = check_integers("outcomes", outcomes)
    outside = np.flatnonzero(np.abs(judged) > 1)
    if len(outside):
        raise InputError(
            f"outcomes should be 1 (win), 0 (tie) or -1 (loss); {len(outside)} are not, the first is "
            f"{judged[outside[0]]} at row {outside[0]}."
        )
    check_count("resamples", resamples)
    if check_within("level", level, above=0.0, most=1.0) == 1:
        raise InputError("level should be below 1: no interval is certain. The usual one is 0.95.")
    n = len(judged)
    counts = np.array([(judged == outcome).sum() for outcome in (WIN, TIE, LOSS)])  # (3,)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples) / n  # (resamples, 3)
    win, tie, loss = (counts / n).tolist()
    return PreferenceRates(
        n, win, tie, loss, win + tie / 2,
        *(_interval(drawn, weights, level) for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0.5, 0))),
    )  # fmt: skip


def _interval(
    drawn: np.ndarray[tuple[int, int], np.dtype[np.float64]], weights: Sequence[float], level: float
) -> Interval:
    low, high = np.quantile(drawn @ np.asarray(weights), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
