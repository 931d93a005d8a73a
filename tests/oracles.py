"""Slow and obvious versions of what the library computes cleverly."""

import itertools
import math

import numpy as np

GRID = 2.0**40


def similarities(embeddings, similarity="cosine"):
    """(n, n) cosine or shifted similarities, in extended precision, rounded to the library's grid of 2**-40."""
    x = np.asarray(embeddings, dtype=np.longdouble)
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit = x / np.where(length == 0, 1, length)
    cosine = np.round((unit[:, None, :] * unit[None, :, :]).sum(axis=2) * GRID) / GRID
    values = (cosine if similarity == "cosine" else (1 + cosine) / 2).astype(np.float64)
    zero = length[:, 0] == 0
    values[zero, :] = values[:, zero] = -1.0  # a zero row has no neighbour ...
    values[np.diag_indices(len(x))] = 1.0  # ... but itself
    return values


def neighbor_weights(embeddings, threshold, similarity="cosine"):
    """(n, n) similarity where it reaches the threshold, else 0."""
    s = similarities(embeddings, similarity)
    return np.where(s >= threshold - 2.0**-40, s, 0.0)


def log_sinh(z):
    return z + math.log(-math.expm1(-2 * z)) - math.log(2) if z > 0 else -math.inf


def log_cosh(z):
    return z + math.log1p(math.exp(-2 * z)) - math.log(2)


def log_difference(a, c):
    """log(tanh(a + c) - tanh(a))."""
    return log_sinh(c) - log_cosh(a + c) - log_cosh(a)


def prune4rel(embeddings, confidence, k, *, labels=None, threshold=0.95, gain="own", similarity="cosine", eta=1.0):
    """Algorithms 3 and 4 line by line; `gain="coverage"` is the full marginal of Eq. 5.8."""
    weights = neighbor_weights(embeddings, threshold, similarity)
    c = np.asarray(confidence, dtype=np.float64) / eta
    n = len(c)
    sums = np.zeros(n)
    picked = []

    def own(x):
        return log_difference(sums[x], c[x])

    def coverage(x):
        terms = [log_difference(sums[v], weights[v, x] * c[x]) for v in range(n) if weights[v, x] > 0]
        top = max(terms)
        if top == -math.inf:
            return top
        return round(top + math.log(math.fsum(math.exp(t - top) for t in terms)), 11)

    worth = own if gain == "own" else coverage
    classes = [None] if labels is None else sorted(set(np.asarray(labels).tolist()))
    while len(picked) < k:
        for j in classes:
            free = [x for x in range(n) if x not in picked and (j is None or labels[x] == j)]
            if not free:
                continue
            best = max(free, key=lambda x: (worth(x), c[x], -x))
            picked.append(best)
            sums += weights[:, best] * c[best]
            if len(picked) == k:
                break
    return picked


def objective(embeddings, confidence, subset, *, threshold=0.95, similarity="cosine"):
    """Eq. 5.8 for a subset."""
    weights = neighbor_weights(embeddings, threshold, similarity)
    subset = list(subset)
    return float(np.tanh(weights[:, subset] @ np.asarray(confidence, dtype=float)[subset]).sum())


def best_objective(embeddings, confidence, k, *, threshold=0.95):
    """The optimum of Eq. 5.8 by trying every subset."""
    subsets = itertools.combinations(range(len(confidence)), k)
    return max(objective(embeddings, confidence, subset, threshold=threshold) for subset in subsets)
