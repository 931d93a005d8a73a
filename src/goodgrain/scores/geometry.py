"""Where each example lies among the others: near the middle distance of its class, or near a prototype."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from goodgrain.checks import check_count, check_embeddings, check_labels


def moderate(features: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """How close an example's distance to its class is to the median distance (Moderate; Xia et al. 2023).

    The middle of a class is the coordinate-wise median of its features; the median distance is taken over all
    examples. Neither the typical (too near) nor the outlying (too far) come first.

    Args:
        features: (n, d) one row per example.
        labels: (n,) given classes, 0 or more; a class may be missing.

    Returns:
        (n,) at most 0: minus |distance - median distance|, in units of the features.

    Raises:
        InputError: not a finite (n, d) array, or labels of another length.

    Example:
        >>> moderate([[0.0], [1.0], [5.0]], [0, 0, 0])
        array([ 0., -1., -3.])
    """
    x = check_embeddings(features, name="features")
    y = check_labels(labels, n=len(x))
    distances = np.empty(len(x))
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        rows = x[members].astype(np.float64)
        distances[members] = np.linalg.norm(rows - np.median(rows, axis=0), axis=1)
    return 0.0 - np.abs(distances - np.median(distances))  # 0.0 - 0.0 is 0.0, not -0.0


def prototypical(features: ArrayLike, *, clusters: int, seed: int = 0) -> NDArray[np.float64]:
    """Closeness to the own k-means centroid, the prototype first (SSP; Sorscher et al. 2022).

    One run of k-means from k-means++ seeds, on one thread: several threads add in an order of their own, and the
    last bits would differ from run to run.

    Args:
        features: (n, d) self-supervised embeddings, or anyone's.
        clusters: how many centroids, 1 to n; usually the number of classes. Equal rows share a centroid, so that
            fewer may come to be.
        seed: of the first centroids.

    Returns:
        (n,) at most 0: minus the Euclidean distance, in units of the features.

    Raises:
        InputError: not a finite (n, d) array, or more clusters than examples.

    Example:
        >>> prototypical([[0.0], [2.0], [3.0], [100.0]], clusters=2).round(2)
        array([-1.67, -0.33, -1.33,  0.  ])
    """
    x = check_embeddings(features, name="features")
    k = check_count("clusters", clusters, most=len(x))
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters is no error here
        fitted = KMeans(k, n_init=1, random_state=seed).fit(x)
    own = fitted.cluster_centers_[fitted.labels_]
    distances: NDArray[np.float64] = np.linalg.norm(x.astype(np.float64) - own, axis=1)
    return 0.0 - distances
