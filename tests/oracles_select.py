"""Slow and obvious: what the selections by rank and by distance must equal, pick by pick."""

from __future__ import annotations

import numpy as np


def class_in_turn(counts, groups, left):
    """The class with the fewest picks among those that have candidates left, the lower one first."""
    return min({int(groups[i]) for i in left}, key=lambda group: (counts.get(group, 0), group))


def greedy(n, budget, worth, *, groups=None, kept=(), dropped=()):
    """Take must-keep, then the highest worth(i, picks) of the class whose turn it is; ties to the lower position."""
    groups = np.zeros(n, dtype=int) if groups is None else groups
    left = [i for i in range(n) if i not in set(dropped)]
    picks, gains, counts = [], [], {}
    while len(picks) < budget:
        if len(picks) < len(kept):
            i = kept[len(picks)]
        else:
            group = class_in_turn(counts, groups, left)
            i = max((j for j in left if groups[j] == group), key=lambda j: (worth(j, picks), -j))
        gains.append(worth(i, picks))
        picks.append(i)
        left.remove(i)
        counts[int(groups[i])] = counts.get(int(groups[i]), 0) + 1
    return picks, gains


def squared_distance(x, i, j):
    return np.square(np.float64(x[i]) - np.float64(x[j])).sum()


def k_center(x, budget, *, labeled=(), first=None, groups=None, kept=(), dropped=()):
    """The largest distance to the nearest center, every distance computed anew in float64."""
    table = np.array([[squared_distance(x, i, j) for j in range(len(x))] for i in range(len(x))])

    def worth(i, picks):
        centers = [*labeled, *picks]
        if not centers:
            return np.inf if first in (None, i) else 0.0
        return np.sqrt(table[i, centers].min())

    return greedy(len(x), budget, worth, groups=groups, kept=kept, dropped=[*labeled, *dropped])


def herding(x, budget, *, groups=None, kept=(), dropped=()):
    """The mean of the picks closest to the mean of all that are not dropped."""
    x = np.asarray(x, dtype=np.float64)
    mean = np.delete(x, list(dropped), axis=0).mean(axis=0)

    def worth(i, picks):
        return -np.linalg.norm(x[[*picks, i]].mean(axis=0) - mean)

    return greedy(len(x), budget, worth, groups=groups, kept=kept, dropped=dropped)


def running_minimum(x, first, budget):
    """k-center again, fast enough for thousands of rows: every distance in float64, from the rows themselves."""
    x = np.asarray(x, dtype=np.float64)
    picks, nearest = [first], np.full(len(x), np.inf)
    while len(picks) < budget:
        nearest = np.minimum(nearest, np.square(x - x[picks[-1]]).sum(axis=1))
        nearest[picks] = -1.0
        picks.append(int(nearest.argmax()))
    return picks


def running_mean(x, budget):
    """Herding again, fast enough for thousands of rows."""
    about = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64)
    picks, total = [], np.zeros(about.shape[1])
    while len(picks) < budget:
        cost = np.square(total + about).sum(axis=1)
        cost[picks] = np.inf
        picks.append(int(cost.argmin()))
        total += about[picks[-1]]
    return picks


def level(sizes, budget):
    """How many picks each stratum can have at least, when numbers are equal while they last."""
    return max(count for count in range(budget + 1) if np.minimum(sizes, count).sum() <= budget)
