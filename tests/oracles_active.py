"""Slow and obvious: what the selections for labelling must equal, pick by pick."""

from __future__ import annotations

import numpy as np

from oracles_select import class_in_turn, greedy


def gradients(probabilities, features):
    """(n, c d) gradients of the last layer, written out: (onehot(argmax p) - p) h^T."""
    p, h = np.asarray(probabilities, dtype=np.float64), np.asarray(features, dtype=np.float64)
    residuals = np.eye(p.shape[1])[p.argmax(axis=1)] - p
    return (residuals[:, :, np.newaxis] * h[:, np.newaxis, :]).reshape(len(p), -1)


def k_means_plus_plus(g, budget, seed, *, groups=None, kept=(), dropped=()):
    """Longest first, then in proportion to D^2: the largest D^2 / e, with one exponential number e for each row."""
    groups = np.zeros(len(g), dtype=int) if groups is None else groups
    left = [i for i in range(len(g)) if i not in set(dropped)]
    rng, rank = np.random.default_rng(seed), {row: i for i, row in enumerate(left)}
    noise = 1e-27 * max(np.square(g).sum(axis=1).max(), 1e-300)  # equal but for the rounding of g
    picks, gains, counts = [], [], {}

    def squared(i):
        value = min(np.square(g[i] - g[j]).sum() for j in picks)
        return value if value > noise else 0.0

    while len(picks) < budget:
        group = class_in_turn(counts, groups, left)
        candidates = [i for i in left if groups[i] == group]
        if len(picks) < len(kept):
            i = kept[len(picks)]
        elif not picks:
            i = max(candidates, key=lambda j: (np.square(g[j]).sum(), -j))
        else:
            e = rng.standard_exponential(len(rank))
            worth = {j: squared(j) for j in candidates}
            if not any(worth.values()):
                worth = dict.fromkeys(candidates, 1.0)
            i = max(candidates, key=lambda j: worth[j] / e[rank[j]])
        gains.append(np.sqrt(squared(i) if picks else np.square(g[i]).sum()))
        picks.append(i)
        left.remove(i)
        counts[int(groups[i])] = counts.get(int(groups[i]), 0) + 1
    return picks, gains


def cosines(x, y):
    """(m, n); 0 with a row of zeros."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    lengths = np.linalg.norm(x, axis=1)[:, np.newaxis] * np.linalg.norm(y, axis=1)
    return np.where(lengths > 0, (x @ y.T) / np.where(lengths > 0, lengths, 1.0), 0.0)


def _best(similarities):
    return np.maximum(similarities.max(axis=1, initial=0.0), 0.0)


def flcmi(pool, query, private, chosen, *, eta=1.0, nu=1.0):
    """Facility location of a subset: what it shares with the query and not with the private set."""
    pool = np.asarray(pool)
    reach, query, private = (_best(cosines(pool, other)) for other in (pool[list(chosen)], query, private))
    return np.maximum(np.minimum(reach, eta * query) - nu * private, 0.0).sum()


def logdetcmi(pool, query, private, chosen, *, eta=1.0, nu=1.0, ridge=1.0):
    """log det of (A, P) and of (Q, P), less that of (A, Q, P) and of P, from one kernel that is written out."""
    rows = np.concatenate([np.asarray(part, dtype=np.float64) for part in (pool, query, private)])
    n, m = len(pool), len(pool) + len(query)
    kernel = cosines(rows, rows)
    kernel[:n, n:m] *= eta
    kernel[n:m, :n] *= eta
    kernel[:n, m:] *= nu
    kernel[m:, :n] *= nu
    kernel += ridge * np.eye(len(kernel))
    a, q, p = list(chosen), list(range(n, m)), list(range(m, len(rows)))

    def f(which):
        return np.linalg.slogdet(kernel[np.ix_(which, which)])[1]

    return f(a + p) + f(q + p) - f(a + q + p) - f(p)


def similar(value, pool, query, private, budget, *, groups=None, kept=(), dropped=(), **options):
    """Greedy on any of these values, every gain from scratch; the sum over the pool leaves out what is dropped.

    Of equal gains, the one that is itself most like the query and least like the private set.
    """
    left = np.setdiff1d(np.arange(len(pool)), dropped)
    rank = {int(row): i for i, row in enumerate(left)}
    rows = np.asarray(pool)[left]
    near, far = _best(cosines(pool, query)), _best(cosines(pool, private))
    likeness = options.get("eta", 1.0) * near - options.get("nu", 1.0) * far

    def worth(i, picks):
        before = [rank[j] for j in picks]
        parts = (value(rows, query, private, chosen, **options) for chosen in ([*before, rank[i]], before))
        return round(float(np.subtract(*parts)), 9), round(float(likeness[i]), 9)

    picks, worths = greedy(len(pool), budget, worth, groups=groups, kept=kept, dropped=dropped)
    return picks, [gain for gain, _ in worths]
