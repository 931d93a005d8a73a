"""How likely an example belongs to one of the classes at all; higher = more in-distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from goodgrain.checks import check_count, check_embeddings, check_labels
from goodgrain.errors import InputError


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
