"""What the features of trained models show, ready to be drawn: projections, and features that were switched off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_embeddings, check_labels, check_rows, check_scores
from goodgrain.errors import InputError
from goodgrain.scores import features as seen


@dataclass(frozen=True, eq=False)
class Projection:
    """Where one model puts images, in two dimensions with the zero vector at the origin.

    Args:
        inside: (n, 2) in-distribution images.
        labels: (n,) their classes.
        outside: (m, 2) OOD images.
    """

    inside: NDArray[np.floating]
    labels: Positions
    outside: NDArray[np.floating]

    @classmethod
    def of(
        cls,
        features: ArrayLike,
        labels: ArrayLike,
        ood_features: ArrayLike,
        *,
        method: str = "pca",
        most: int = 1000,
        seed: int = 0,
    ) -> Projection:
        """The projection of one model's features, by `goodgrain.scores.projection`.

        Args:
            features: (n, d) of in-distribution images.
            labels: (n,) their classes.
            ood_features: (m, d) of OOD images, by the same model.
            method: "pca" or "tsne".
            most: larger sets are drawn down to so many images, in-distribution and OOD each.
            seed: for the draw, and for "tsne".

        Raises:
            InputError: arrays that are not finite or do not belong together.

        Example:
            >>> Projection.of([[1, 0], [0, 2]], [0, 1], [[0, 0]]).outside
            array([[0., 0.]])
        """
        x, z = check_embeddings(features, name="features"), check_embeddings(ood_features, name="ood_features")
        y, rng = check_labels(labels, n=len(x)), np.random.default_rng(seed)
        inside, outside = (np.sort(rng.permutation(len(table))[:most]) for table in (x, z))
        if x.shape[1] != z.shape[1]:
            raise InputError(
                f"features have {x.shape[1]} dimensions and ood_features {z.shape[1]}. Take both from one model."
            )
        points = seen.projection(np.concatenate([x[inside], z[outside]]), seed=seed, method=method)
        return cls(points[: len(inside)], y[inside], points[len(inside) :])


@dataclass(frozen=True, eq=False)
class SwitchedOff:
    """The features that respond less to OOD images than in standard training, those switched off most first.

    Args:
        features: (f,) their indices.
        before: (f,) `goodgrain.scores.response` to OOD images of the standard model.
        after: (f,) that of the run's own method.
        top_inside: (f, k) positions of the in-distribution images that excite each most in the standard model.
        top_outside: (f, k') positions of such OOD images.
        agreement: median over features of `goodgrain.scores.agreement`: whether an index means the same feature in both
            models.

    Raises:
        InputError: arrays that are not finite or differ in f.
    """

    features: Positions
    before: NDArray[np.floating]
    after: NDArray[np.floating]
    top_inside: Positions
    top_outside: Positions
    agreement: float

    def __post_init__(self) -> None:
        """Check what would otherwise show one feature under another's number."""
        if f := len(self.features):
            for name in ("before", "after"):
                check_scores(getattr(self, name), name=f"switched_off.{name}", n=f)
            for name in ("top_inside", "top_outside"):
                check_rows(f"switched_off.{name}", len(getattr(self, name)), f)

    @classmethod
    def of(
        cls,
        before_in: ArrayLike,
        before_ood: ArrayLike,
        after_in: ArrayLike,
        after_ood: ArrayLike,
        *,
        most: int = 12,
        images: int = 8,
    ) -> SwitchedOff:
        """Find them: the arguments of `goodgrain.scores.switched_off`, the rows being the images of `TrainFacts`.

        Args:
            before_in: (n, d) features of the in-distribution images by the standard model.
            before_ood: (m, d) of the OOD images.
            after_in: (n, d) by the run's own method, from the same first weights.
            after_ood: (m, d).
            most: how many features.
            images: how many pictures of each.

        Raises:
            InputError: arrays that are not finite or do not belong together.

        Example:
            >>> found = SwitchedOff.of([[1, 1], [3, 1]], [[1, 2], [2, 1]], [[1, 1], [3, 1]], [[0, 2], [0, 1]])
            >>> found.features, found.top_inside, found.top_outside
            (array([0]), array([[1, 0]]), array([[1, 0]]))
        """
        less = seen.switched_off(before_in, before_ood, after_in, after_ood)
        features = np.argsort(-less, kind="stable")[:most]
        features = features[less[features] > 0]
        inside, outside = (
            np.argsort(-np.abs(np.asarray(table))[:, features], axis=0, kind="stable")[:images].T
            for table in (before_in, before_ood)
        )
        before, after = seen.response(before_in, before_ood), seen.response(after_in, after_ood)
        same = float(np.median(seen.agreement(before_in, after_in)))
        return cls(features, before[features], after[features], inside, outside, same)
