"""Slow and obvious: ranking losses pair by pair, and MQNet number by number with its gradient written out."""

from __future__ import annotations

import math
import statistics

import numpy as np


def meta_ranking(first, second, sign, margin):
    """Eq. 4.10 with the margin on the side where it asks for a lead."""
    total = 0.0
    for a, b, s in zip(first, second, sign, strict=True):
        if s > 0:
            total += max(0.0, margin - (a - b))
        elif s < 0:
            total += max(0.0, margin - (b - a))
    return total


def loss_prediction(predicted, losses, margin):
    """Eq. 2 of Yoo & Kweon (2019), averaged over the pairs (i, b-1-i)."""
    terms = []
    for i in range(len(predicted) // 2):
        j = len(predicted) - 1 - i
        s = 1 if losses[i] > losses[j] else -1
        terms.append(max(0.0, margin - s * (predicted[i] - predicted[j])))
    return sum(terms) / len(terms) if terms else 0.0


def meta_column(values, pool):
    mean, deviation = statistics.fmean(pool), statistics.pstdev(pool)
    return [math.exp((value - mean) / deviation) for value in values]


def sigmoid(value):
    return 1 / (1 + math.exp(-value)) if value > 0 else 1 - 1 / (1 + math.exp(value))


def output(row, hidden, bias, out):
    """Eq. 4.4 of one row."""
    units = (sigmoid(row[0] * hidden[0][k] + row[1] * hidden[1][k] + bias[k]) for k in range(len(bias)))
    return sum(unit * weight for unit, weight in zip(units, out, strict=True))


def train(x, masked, *, hidden, seed, epochs, margin=0.1, rate=0.01, floor=1e-6, pairs=64):
    """SGD with weight decay 5e-4; the same draws from the same generator, everything else by hand."""
    rng = np.random.default_rng(seed)
    w, b, v = rng.uniform(0, 1 / 2, (2, hidden)), np.zeros(hidden), rng.uniform(0, 1 / hidden, hidden)
    half = len(x) // 2
    for epoch in range(epochs):
        step = rate if epoch < epochs / 2 else rate / 10
        order = rng.permutation(len(x))
        couples = [(order[p], order[half + p]) for p in range(half)]
        for start in range(0, half, pairs):
            of_w, of_b, of_v = np.zeros_like(w), np.zeros_like(b), np.zeros_like(v)
            for i, j in couples[start : start + pairs]:
                s = (masked[i] > masked[j]) * 1.0 - (masked[i] < masked[j]) * 1.0
                gap = output(x[i], w, b, v) - output(x[j], w, b, v)
                if s == 0 or margin - s * gap <= 0:
                    continue
                for row, sign in ((x[i], -s), (x[j], s)):
                    for k in range(hidden):
                        unit = sigmoid(row[0] * w[0, k] + row[1] * w[1, k] + b[k])
                        slope = sign * v[k] * unit * (1 - unit)
                        of_v[k] += sign * unit
                        of_b[k] += slope
                        of_w[0, k] += slope * row[0]
                        of_w[1, k] += slope * row[1]
            w, b, v = (value - step * (grad + 5e-4 * value) for value, grad in ((w, of_w), (b, of_b), (v, of_v)))
            w, v = np.maximum(w, floor), np.maximum(v, floor)
    return w, b, v
