"""A confidence for models that give none: a linear classifier on their features, asked about what it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from goodgrain.checks import Floats, Positions
from goodgrain.errors import InputError
from goodgrain.learn.streams import generator

FOLDS = 5

_STRENGTH = 0.01  # scikit-learn's C: with wrong labels about, lean fits find the truth more often (docs/guide/embed.md)
_STEPS = 300


def check_probe(labels: Positions | None) -> None:
    """Refuse labels that no classifier could be fitted on in every fold.

    Raises:
        InputError: no labels, or fewer than two classes with two examples.
    """
    if labels is None:
        raise InputError("a probe needs a label for every example. Add labels, or ask for no probe.")
    if (np.bincount(labels) >= 2).sum() < 2:
        raise InputError("a probe needs two classes with two examples each. Add examples, or ask for no probe.")


def folds(labels: Positions, *, seed: int) -> NDArray[np.int64]:
    """(n,) a fold 0..4 for each example: classes are shuffled and dealt out in turn, so that each is spread evenly.

    Example:
        >>> np.bincount(folds(np.repeat([0, 1], [10, 5]), seed=0)).tolist()
        [3, 3, 3, 3, 3]
    """
    order = generator(seed, "folds").permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % FOLDS
    return fold


def out_of_fold(
    features: Floats, labels: Positions, *, classes: int, seed: int, others: Sequence[Floats] = ()
) -> list[NDArray[np.float32]]:
    """Probabilities of each example from a logistic regression that was fitted without it.

    Five folds; features are standardised by the rest of the data. A class that the rest lacks gets 0. Takes the
    memory of another copy of the features.

    Args:
        features: (n, d) that classifiers are fitted on.
        labels: (n,) classes, possibly wrong; at least two with two examples each.
        classes: c.
        seed: draws the folds.
        others: more (n, d) features of the same examples, such as those of other views, that are only asked about.

    Returns:
        (n, c) for the features, then for each of the others.

    Example:
        >>> apart = np.array([[-1.0], [1.0]] * 10)
        >>> probabilities = out_of_fold(apart, np.arange(20) % 2, classes=2, seed=0)[0]
        >>> bool((probabilities.argmax(axis=1) == np.arange(20) % 2).all())
        True
    """
    asked = [features, *others]
    made = [np.zeros((len(labels), classes), dtype=np.float32) for _ in asked]
    fold = folds(labels, seed=seed)
    for k in range(FOLDS):
        rest, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(held) == 0:
            continue
        seen = features[rest]
        mean, deviation = seen.mean(axis=0), seen.std(axis=0)
        deviation[deviation <= 1e-6 * deviation.max()] = 1.0  # a column that says nothing
        seen -= mean
        seen /= deviation
        model = LogisticRegression(C=_STRENGTH, max_iter=_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a little short of the optimum is lean too
            model.fit(seen, labels[rest])
        for out, values in zip(made, asked, strict=True):
            out[np.ix_(held, model.classes_)] = model.predict_proba((values[held] - mean) / deviation)
    return made
