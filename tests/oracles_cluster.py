"""Slow and obvious versions of clusters of bounded sizes."""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment


def squared_distances(x, centers):
    x, centers = np.asarray(x, dtype=np.float64), np.asarray(centers, dtype=np.float64)
    return np.square(x[:, None, :] - centers[None, :, :]).sum(axis=2)


def cheapest(x, centers, least, most):
    """Total squared distance of the best assignment: every center has `most` places, and its first `least` are filled
    at any price."""
    cost = squared_distances(x, centers)
    places = np.repeat(cost, most, axis=1)
    bonus = 1.0 + cost.sum()
    first = np.tile(np.arange(most) < least, len(centers))
    rows, taken = linear_sum_assignment(places - bonus * first)
    assert first[taken].sum() == least * len(centers)
    return places[rows, taken].sum()


def inertia(x, labels):
    x, labels = np.asarray(x, dtype=np.float64), np.asarray(labels)
    return sum(np.square(x[labels == c] - x[labels == c].mean(axis=0)).sum() for c in np.unique(labels))


def best_inertia(x, k, least, most):
    """The least inertia of all k^n labelings that keep the sizes."""
    allowed = (
        labels
        for labels in itertools.product(range(k), repeat=len(x))
        if all(least <= labels.count(c) <= most for c in range(k))
    )
    return min(inertia(x, labels) for labels in allowed)


def best_move(x, labels, k, least, most):
    """The most by which a single move, or an exchange of two rows, lowers the inertia."""
    labels = np.asarray(labels)
    now, best = inertia(x, labels), 0.0
    sizes = np.bincount(labels, minlength=k)
    for i in range(len(x)):
        for c in range(k):
            if sizes[labels[i]] > least and sizes[c] < most:
                other = labels.copy()
                other[i] = c
                best = max(best, now - inertia(x, other))
    for i, j in itertools.combinations(range(len(x)), 2):
        other = labels.copy()
        other[[i, j]] = labels[[j, i]]
        best = max(best, now - inertia(x, other))
    return best
