"""How likely an example belongs to one of the classes at all; higher = more in-distribution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from goodgrain.checks import Floats, check_count, check_embeddings, check_labels, check_numbers, check_within
from goodgrain.errors import InputError
from goodgrain.scores.uncertainty import max_prob

_BLOCK = 1024  # rows at a time, so that no n x m array is held


def msp(probabilities: ArrayLike) -> NDArray[np.float64]:
    """The largest predicted probability (MSP; Hendrycks & Gimpel 2017).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between 1/c and 1.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> msp([[0.75, 0.25], [0.5, 0.5]])
        array([0.75, 0.5 ])
    """
    return max_prob(probabilities)


def max_logit(logits: ArrayLike) -> NDArray[np.float64]:
    """The largest logit (Hendrycks et al. 2022).

    Args:
        logits: (n, c).

    Raises:
        InputError: not a finite (n, c) array.

    Example:
        >>> max_logit([[1, 3], [0, -1]])
        array([3., 0.])
    """
    largest: NDArray[np.float64] = _logits(logits).max(axis=1)
    return largest


def energy(logits: ArrayLike, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Minus the free energy, T log sum exp(logits / T) (Liu et al. 2020, Eq. 4).

    Args:
        logits: (n, c).
        temperature: T, above 0.

    Raises:
        InputError: not a finite (n, c) array, or a temperature of 0 or less.

    Example:
        >>> energy([[0, 0]]).round(4)
        array([0.6931])
    """
    t = check_within("temperature", temperature, above=0)
    scaled: NDArray[np.float64] = t * logsumexp(_logits(logits) / t, axis=1)
    return scaled


def react(features: ArrayLike, weight: ArrayLike, bias: ArrayLike, *, clip: float) -> NDArray[np.float64]:
    """The energy of a linear head on features that are cut off at `clip` (ReAct; Sun, Guo & Li 2021).

    Args:
        features: (n, d), input of the head.
        weight: (c, d) of the head.
        bias: (c,) of the head.
        clip: the published choice is the 90th percentile of all features of the target's images.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> react([[9.0, 0.0]], [[1, 0], [0, 1]], [0, 0], clip=1.0).round(4)
        array([1.3133])
    """
    x = np.asarray(check_embeddings(features, name="features"), dtype=np.float64)
    w = check_numbers("weight", weight, dimensions=2)
    b = check_numbers("bias", bias, dimensions=1, n=len(w))
    if w.shape[1] != x.shape[1]:
        raise InputError(f"weight should be (c, {x.shape[1]}), one column per feature; its shape is {w.shape}.")
    return energy(np.minimum(x, clip) @ w.T + b)


def odin(logits: ArrayLike, *, temperature: float = 1000.0) -> NDArray[np.float64]:
    """The largest probability at a high temperature (ODIN; Liang, Li & Srikant 2018, Eq. 1).

    The method also moves each image a little towards its own prediction before it is asked: `goodgrain.learn.detect`.

    Args:
        logits: (n, c), of the moved images.
        temperature: above 0.

    Returns:
        (n,) between 1/c and 1.

    Raises:
        InputError: not a finite (n, c) array, or a temperature of 0 or less.

    Example:
        >>> odin([[1000, 0]]).round(4)
        array([0.7311])
    """
    t = check_within("temperature", temperature, above=0)
    largest: NDArray[np.float64] = softmax(_logits(logits) / t, axis=1).max(axis=1)
    return largest


def mahalanobis(features: ArrayLike, reference: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Minus the squared Mahalanobis distance to the nearest class mean, under one covariance (Lee et al. 2018, Eq. 2).

    Args:
        features: (n, d).
        reference: (m, d) of the target's labelled images, by the same model.
        labels: (m,) their classes.

    Returns:
        (n,) 0 or less.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> mahalanobis([[0.0], [3.0]], [[-1.0], [1.0], [9.0], [11.0]], [0, 0, 1, 1])
        array([-0., -9.])
    """
    x, r = _pair(features, reference)
    y = check_labels(labels, n=len(r))
    classes = np.unique(y)
    means = np.stack([r[y == label].mean(axis=0) for label in classes])  # (c, d)
    centred = r - means[np.searchsorted(classes, y)]
    precision = np.linalg.pinv(centred.T @ centred / len(r), hermitian=True)
    distances = []
    for mean in means:
        away = x - mean
        distances.append(np.einsum("nd,de,ne->n", away, precision, away, optimize=True))
    nearest: NDArray[np.float64] = -np.maximum(np.min(distances, axis=0), 0.0)
    return nearest


def knn(features: ArrayLike, reference: ArrayLike, *, k: int = 50) -> NDArray[np.float64]:
    """Minus the distance to the k-th nearest reference, all at unit length (Sun et al. 2022).

    Args:
        features: (n, d).
        reference: (m, d) of the target's images, by the same model.
        k: 1 to m.

    Returns:
        (n,) between -2 and 0.

    Raises:
        InputError: arrays that are not finite or do not fit each other, or too large a k.

    Example:
        >>> knn([[1, 0], [0, 5]], [[2, 0], [3, 0]], k=2).round(4)
        array([-0.    , -1.4142])
    """
    x, r = _pair(features, reference)
    which = check_count("k", k, most=len(r))
    near = _unit(r).T
    similar = [np.partition(_unit(part) @ near, len(r) - which, axis=1)[:, len(r) - which] for part in _parts(x)]
    distance: NDArray[np.float64] = -np.sqrt(np.maximum(2 - 2 * np.concatenate(similar), 0.0))
    return distance


def nearest_in(features: ArrayLike, labeled: ArrayLike) -> NDArray[np.float64]:
    """The largest cosine to a labelled in-distribution example, as MQNet's published runs have it.

    Args:
        features: (n, d).
        labeled: (m, d) of examples whose class is known.

    Returns:
        (n,) between -1 and 1.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> nearest_in([[1, 1]], [[1, 0], [0, -1]]).round(4)
        array([0.7071])
    """
    x, r = _pair(features, labeled)
    near = _unit(r).T
    return np.concatenate([(_unit(part) @ near).max(axis=1) for part in _parts(x)])


def nearest_ood(features: ArrayLike, ood: ArrayLike) -> NDArray[np.float64]:
    """The Euclidean distance to the closest example that is known to be OOD (MQNet, section 4.3): farther is purer.

    Args:
        features: (n, d).
        ood: (m, d) of examples that were labelled OOD.

    Returns:
        (n,) 0 or more.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> nearest_ood([[0, 0], [3, 4]], [[3, 4]])
        array([5., 0.])
    """
    x, r = _pair(features, ood)
    nearest = []
    for part in _parts(x):
        squares = np.square(part).sum(axis=1)[:, None] - 2 * part @ r.T + np.square(r).sum(axis=1)
        closest = r[squares.argmin(axis=1)]
        nearest.append(np.linalg.norm(part - closest, axis=1))  # again, exactly: the expansion cancels near 0
    return np.concatenate(nearest)


def label_agreement(features: ArrayLike, labels: ArrayLike, *, neighbors: int = 20) -> NDArray[np.float64]:
    """How far the nearest examples agree on one class, whichever it is.

    An image of some class sits among images of that class, and most of those carry its label even where its own label
    is wrong. An image of no class carries a label that somebody had to give, and so do its like: their labels scatter.
    The example's own label has no say, so wrong labels that can be corrected are not punished. Nearest neighbours by
    cosine, as in Deep k-NN (Papernot & McDaniel 2018), which asks for one class in particular.

    Args:
        features: (n, d) one row per example.
        labels: (n,) given classes, right or wrong.
        neighbors: how many are asked, 1 to n - 1.

    Returns:
        (n,) share of the commonest label among the neighbours, above 0, at most 1.

    Raises:
        InputError: not a finite (n, d) array, labels of another length, or too many neighbours.

    Example:
        >>> label_agreement([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]], [0, 0, 0, 0, 1, 2], neighbors=2)
        array([1. , 1. , 1. , 0.5, 0.5, 0.5])
    """
    x = check_embeddings(features, name="features")
    y = check_labels(labels, n=len(x))
    if len(x) < 2:
        raise InputError("agreement needs neighbours, and there is 1 example. Give at least 2.")
    k = check_count("neighbors", neighbors, most=len(x) - 1)
    with threadpool_limits(1):  # several threads add in an order of their own, and ties would fall differently
        nearest = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(x)
        positions = nearest.kneighbors(return_distance=False)  # (n, k), without the example itself
    voted = y[positions]
    votes = np.zeros((len(x), int(y.max()) + 1))
    np.add.at(votes, (np.arange(len(x))[:, None], voted), 1.0)
    share: NDArray[np.float64] = votes.max(axis=1) / k
    return share


def _logits(values: ArrayLike) -> NDArray[np.float64]:
    logits = check_numbers("logits", values, dimensions=2)
    if logits.shape[1] < 1:
        raise InputError(f"logits should be (n, c) with at least 1 class; their shape is {logits.shape}.")
    wide: NDArray[np.float64] = np.asarray(logits, dtype=np.float64)
    return wide


def _pair(features: ArrayLike, reference: ArrayLike) -> tuple[Floats, NDArray[np.float64]]:
    x = check_embeddings(features, name="features")
    r = np.asarray(check_embeddings(reference, name="reference"), dtype=np.float64)
    if x.shape[1] != r.shape[1]:
        raise InputError(
            f"features have {x.shape[1]} dimensions and the reference {r.shape[1]}. Take both from one model."
        )
    return x, r


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def _parts(rows: Floats) -> Iterator[NDArray[np.float64]]:
    """Blocks in double precision: of a million rows on disk, no copy of all is made."""
    for start in range(0, len(rows), _BLOCK):
        yield np.asarray(rows[start : start + _BLOCK], dtype=np.float64)
