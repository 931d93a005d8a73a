"""ConstrainedKMeans: k-means whose clusters all have between size_min and size_max members."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from goodgrain.checks import Floats, Positions, check_count, check_numbers, check_within, lookup
from goodgrain.cluster.fitting import Start, fit_best, fit_once
from goodgrain.cluster.initialisation import INITIALISATIONS
from goodgrain.cluster.nearest import nearest_centers
from goodgrain.cluster.shards import fit_shards
from goodgrain.errors import InputError

_BLOCK = 8192  # rows


class ConstrainedKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """K-means whose clusters all have between `size_min` and `size_max` members.

    Minimises the sum of squared Euclidean distances to the means of the clusters under size bounds (Bradley, Bennett &
    Demiriz 2000). A step assigns all rows to the current centers at the least total cost, exactly, by a minimum-cost
    flow over few arcs that its prices prove to be enough. Then rows move, and are exchanged, one by one, while that
    lowers the inertia (Hartigan's rule), and clusters that lose little are merged where a split gains more.
    Time O(n k d) a step, memory O(n (d + 16)): never an n x k array. The inertia never rises from step to step,
    and the order in which rows come changes nothing.

    Args:
        n_clusters: k.
        size_min: least members of a cluster; None for 1: no cluster is empty.
        size_max: most members of a cluster; None for no limit.
        init: "k-means++", "random" (rows), or an array (k, d) of centers.
        n_init: how many starts; the one of least inertia is kept. An array is only started from once.
        max_iter: most steps of a start.
        tol: a start ends with the first step that lowers the inertia by no more than this share.
        random_state: int, RandomState or None. The same int gives the same labels.
        shards: for millions of rows: cut them into about this many parts of near ones first, cluster each by itself,
            and let rows move across the seams in the end. None for no cut.
        n_jobs: processes that work on shards; -1 for one per core.

    Attributes:
        labels_: (n,) cluster of each row.
        cluster_centers_: (k, d) means of the members.
        inertia_: sum of squared distances of the rows to their centers.
        inertia_history_: (n_iter_,) the inertia after each step; with shards, one entry.
        n_iter_: steps of the best start; with shards, of the longest one.

    Raises:
        InputError: rows that no clusters of these sizes can hold, or an argument outside its range.
        UnknownName: no such `init`.

    Example:
        >>> model = ConstrainedKMeans(2, size_max=2, random_state=0).fit([[0.0], [1.0], [2.0], [9.0]])
        >>> model.labels_[0] == model.labels_[1], model.labels_[2] == model.labels_[3], model.inertia_
        (np.True_, np.True_, 25.0)
    """

    def __init__(
        self,
        n_clusters: int = 8,
        size_min: int | None = None,
        size_max: int | None = None,
        *,
        init: str | ArrayLike = "k-means++",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
        shards: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.size_min = size_min
        self.size_max = size_max
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.shards = shards
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Cluster the rows.

        Args:
            X: (n, d) finite rows; float32 is worked on as float32.
            y: ignored.
        """
        x: Floats = validate_data(self, X, dtype=[np.float64, np.float32])
        least, most = check_sizes(len(x), self.n_clusters, self.size_min, self.size_max)
        init = self.init if isinstance(self.init, str) else "k-means++"
        lookup("init", INITIALISATIONS, init)
        starts, max_iter = check_count("n_init", self.n_init), check_count("max_iter", self.max_iter)
        tol = check_within("tol", self.tol, above=0)
        start = Start(self.n_clusters, least, most, init, starts, max_iter, tol)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        order = own_order(x)
        x = x[order]
        middle = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
        x -= middle
        if not isinstance(self.init, str):
            centers = self._given_centers(x.shape[1]) - middle
            best = fit_once(x, centers, least, most, max_iter, tol)
        elif self.shards is not None:
            best = fit_shards(x, start, check_count("shards", self.shards, most=self.n_clusters), self.n_jobs, rng)
        else:
            best = fit_best(x, start, rng)
        self.labels_ = np.empty(len(x), dtype=np.int32)
        self.labels_[order] = best.labels
        self.cluster_centers_ = (best.centers + middle).astype(x.dtype)
        self.inertia_ = best.inertias[-1]
        self.inertia_history_ = np.asarray(best.inertias)
        self.n_iter_ = best.steps
        self._n_features_out = self.n_clusters
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """The nearest center of each row, whatever the sizes.

        A new row's cluster depends on no other row. On the rows of `fit` it may differ from `labels_`, where a cluster
        was full.

        Args:
            X: (m, d).

        Returns:
            (m,) clusters.
        """
        check_is_fitted(self)
        x: Floats = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        middle = self.cluster_centers_.mean(axis=0)
        near = nearest_centers(x - middle.astype(x.dtype), self.cluster_centers_ - middle, 1)
        return near.centers[:, 0].astype(np.int32)

    def transform(self, X: ArrayLike) -> Floats:
        """The distance of each row to each center, (m, d) -> (m, k)."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        distances: Floats = euclidean_distances(x, self.cluster_centers_)
        return distances

    def _given_centers(self, d: int) -> Floats:
        if self.shards is not None:
            raise InputError("init is an array of centers, which shards cannot share. Give a name, or shards=None.")
        centers = check_numbers("init", self.init, dimensions=2)
        if centers.shape != (self.n_clusters, d):
            raise InputError(
                f"init should hold n_clusters={self.n_clusters} centers of {d} columns; its shape is {centers.shape}."
            )
        return centers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def own_order(x: Floats) -> Positions:
    """(n,) the rows by a hash of their bits: an order that depends on what they hold, and not on where they stand."""
    weights = np.random.default_rng(0).integers(1, 2**63, size=x.shape[1], dtype=np.uint64) | np.uint64(1)
    keys = np.empty(len(x), dtype=np.uint64)
    for start in range(0, len(x), _BLOCK):
        rows = np.ascontiguousarray(x[start : start + _BLOCK]) + 0.0  # -0.0 becomes 0.0
        keys[start : start + _BLOCK] = rows.view(f"u{x.itemsize}").astype(np.uint64) @ weights
    return np.argsort(keys, kind="stable")


def check_sizes(n: int, k: int, size_min: int | None, size_max: int | None) -> tuple[int, int]:
    """The bounds as numbers, after a look whether n rows can meet them."""
    k = check_count("n_clusters", k)
    least = 1 if size_min is None else check_count("size_min", size_min)
    most = n if size_max is None else check_count("size_max", size_max)
    if least > most and size_max is not None:
        raise InputError(f"size_min={least} is more than size_max={most}. Give a size_min of at most {most}.")
    if k * least > n:
        raise InputError(
            f"{k} clusters of at least {least} need {k * least} rows; X has n_samples={n}. "
            f"Ask for at most n_clusters={n // least}" + (f", or size_min={n // k}." if n >= k else ".")
        )
    if k * most < n:
        raise InputError(
            f"{k} clusters of at most {most} hold {k * most} rows; X has n_samples={n}. "
            f"Ask for at least n_clusters={-(-n // most)}, or size_max={-(-n // k)}."
        )
    return least, most
