"""Slow and obvious versions of what the loss-prediction module computes."""

import numpy as np


def predicted(maps, branches, last):
    """Of one image: per stage maps (width, h, w), (weight, bias) of its layer, and that of the last layer."""
    hidden = []
    for stage, (weight, bias) in zip(maps, branches, strict=True):
        means = [sum(stage[c].ravel().tolist()) / stage[c].size for c in range(len(stage))]
        for row, offset in zip(weight, bias, strict=True):
            hidden.append(max(0.0, float(offset) + sum(float(w) * m for w, m in zip(row, means, strict=True))))
    return float(last[1][0]) + sum(float(w) * h for w, h in zip(last[0][0], hidden, strict=True))


def rank_correlation(first, second):
    """Spearman's, for values without ties."""
    ranks = [[sorted(values).index(value) for value in values] for values in (list(first), list(second))]
    return float(np.corrcoef(*ranks)[0, 1])
