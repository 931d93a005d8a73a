"""Slow and obvious versions of what judging and its measures compute."""

import itertools
import math


def exact_bootstrap(outcomes):
    """The distribution of (win, tie, loss, win rate) over all n^n equally likely resamples, value -> probability."""
    n = len(outcomes)
    tables = [{}, {}, {}, {}]
    for drawn in itertools.product(outcomes, repeat=n):
        win, tie, loss = (sum(o == kind for o in drawn) / n for kind in (1, 0, -1))
        for table, value in zip(tables, (win, tie, loss, win + tie / 2), strict=True):
            table[value] = table.get(value, 0.0) + n**-n
    return tables


def below_and_upto(table, value):
    """P(X < value) and P(X <= value), up to rounding."""
    close = [v for v in table if math.isclose(v, value, abs_tol=1e-9)]
    below = sum(p for v, p in table.items() if v < value and v not in close)
    return below, below + sum(table[v] for v in close)


def pair_outcome(with_ours_first, with_theirs_first):
    """Ours wins or loses only if it does so wherever it stands; places are 1, 2 or None for a tie."""
    if (with_ours_first, with_theirs_first) == (1, 2):
        return "win"
    if (with_ours_first, with_theirs_first) == (2, 1):
        return "loss"
    return "tie"


def expected_rates(quality, accuracy, bias):
    """What a judge of stated accuracy and bias makes of pairs whose better answer is known, by all its cases.

    With probability `bias` it prefers the first place, else it names the better answer with probability `accuracy`;
    both orders are judged independently. `quality` is the share of pairs whose better answer is ours.

    Returns:
        (win rate with ours always first, with theirs always first, of both orders by the tie rule)
    """
    right = {}
    for ours_better in (True, False):
        says_better = {}
        for ours_first in (True, False):
            better_is_first = ours_better == ours_first
            says_better[ours_first] = bias * better_is_first + (1 - bias) * accuracy
        right[ours_better] = says_better
    single, both = {True: 0.0, False: 0.0}, 0.0
    for ours_better, weight in ((True, quality), (False, 1 - quality)):
        for ours_first in (True, False):
            p = right[ours_better][ours_first]
            single[ours_first] += weight * (p if ours_better else 1 - p)
        one, other = right[ours_better][True], right[ours_better][False]
        better_wins, better_loses = one * other, (1 - one) * (1 - other)
        tie = 1 - better_wins - better_loses
        both += weight * ((better_wins if ours_better else better_loses) + tie / 2)
    return single[True], single[False], both
