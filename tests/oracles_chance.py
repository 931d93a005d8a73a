"""What chance does, slow and obvious."""

from itertools import combinations

import numpy as np
from scipy import stats


def pooled(won, expected, least=5.0):
    """Neighbouring places joined, from the first on, until each group expects enough; the rest joins the last."""
    edges, start = [], 0
    for end in range(1, len(expected) + 1):
        if sum(expected[start:end]) >= least:
            edges.append((start, end))
            start = end
    if start < len(expected) and edges:
        edges[-1] = (edges[-1][0], len(expected))
    return [(sum(won[a:b]), sum(expected[a:b])) for a, b in edges]


def chi_square(won, expected):
    """(statistic, degrees of freedom, p) of pooled places; None with fewer than two groups."""
    groups = pooled(won, expected)
    if len(groups) < 2:
        return None
    counted, wanted = (np.array(part, dtype=float) for part in zip(*groups, strict=True))
    found = stats.chisquare(counted, wanted)
    return found.statistic, len(groups) - 1, found.pvalue


def spread_of_random_subsets(marks, size):
    """Standard deviation of the share of marks, over every subset of that size."""
    return float(np.std([np.mean(subset) for subset in combinations(marks, size)]))
