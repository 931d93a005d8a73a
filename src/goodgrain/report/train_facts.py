"""What a training run tells its report: arrays and plain values, and pictures by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import (
    Positions,
    check_embeddings,
    check_labels,
    check_numbers,
    check_positions,
    check_scores,
    lookup,
)
from goodgrain.errors import InputError
from goodgrain.report.facts import Thumbnail
from goodgrain.scores import features as seen

STANDARD = "standard"
"""The name of training without OOD images: what every other method is measured against."""


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


@dataclass(frozen=True, eq=False, kw_only=True)
class MethodFacts:
    """One method: a number for each repeat (r), and what its first repeat shows.

    Repeat i of every method starts from the same weights and sees the same batches, so that repeats pair up.

    Args:
        name: "taufe", "standard", ...
        weight: of its penalty; None where there is none.
        score: (r,) what the task is measured by, 0..1; empty without a test set.
        activation: (r,) mean ||f||^2 of in-distribution images (`goodgrain.scores.activation`).
        ood_activation: (r,) mean ||f||^2 of OOD images.
        between: (r,) mean cosine between classes (`goodgrain.scores.between_classes`).
        auroc: detector -> (r,) AUROC of OOD detection, 0..1.
        terms: loss term -> (e,) mean per epoch, in the first repeat.
        cosine: (c, c) in the first repeat (`goodgrain.scores.class_cosine`); NaN where there is no pair.
        projection: in the first repeat (`Projection.of`).
    """

    name: str
    weight: float | None = None
    score: Sequence[float] = ()
    activation: Sequence[float] = ()
    ood_activation: Sequence[float] = ()
    between: Sequence[float] = ()
    auroc: Mapping[str, Sequence[float]] = field(default_factory=dict)
    terms: Mapping[str, ArrayLike] = field(default_factory=dict)
    cosine: NDArray[np.floating] | None = None
    projection: Projection | None = None


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
    """

    features: Positions
    before: NDArray[np.floating]
    after: NDArray[np.floating]
    top_inside: Positions
    top_outside: Positions
    agreement: float

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


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """Boxes around objects: left, top, right, bottom as shares of the picture's width and height.

    Args:
        positions: (k,) in-distribution images of `TrainFacts` whose true box is known.
        true: (k, 4).
        predicted: method -> (k, 4), of the first repeat.
    """

    positions: Positions
    true: NDArray[np.floating]
    predicted: Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class OodSource:
    """One set of OOD images that was trained on.

    Args:
        name: what its owner calls it.
        images: how many of its images were trained on.
        copies: (m, 2) left-out images: position in this set, and of the target image that it repeats.
        ids: names of the set's images, by position.
        thumbnail: position in this set -> picture.
    """

    name: str
    images: int
    copies: Positions = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    ids: Sequence[str] | NDArray[np.str_] = ()
    thumbnail: Thumbnail | None = None


@dataclass(frozen=True)
class Candidate:
    """One OOD set of a comparison.

    Args:
        name: what it is called.
        images: how many it has.
        copies: how many of them repeat one of the target's.
        shared: estimated share of undesirable feature, 0..1 (`goodgrain.scores.ood_sets.shared_features`).
        gain: measured score of TAUFE with it minus that of standard training, 0..1; None where nobody measured.
    """

    name: str
    images: int
    copies: int
    shared: float
    gain: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainFacts:
    """All that the training report shows; whatever is None or empty is left out of the page.

    Args:
        name: the data set, as its owner calls it.
        command: the command that was run.
        settings: (name, value) of everything that was asked, defaults included.
        target: how many labelled images were trained on.
        task: in words ("classification", "box regression", ...).
        measure: what `MethodFacts.score` is ("test accuracy", "mean IoU", "GT-known Loc").
        method: the run's own method; "" for a mere comparison of OOD sets.
        methods: everything that was trained; `method` and perhaps "standard" are among them.
        classes: (c,) class names.
        ids: (n,) in-distribution images that were looked at: the test set, or the target's own where there is none.
        labels: (n,) their classes; below 0 for images without one.
        thumbnail: position -> picture.
        ood_ids: (m,) OOD images that were looked at.
        ood_thumbnail: position -> picture.
        ood_held_back: whether these are others than those of training.
        switched_off: what the model stopped looking at (`SwitchedOff.of`).
        boxes: true and predicted boxes.
        sources: the OOD sets.
        target_ids: the target's training images, which copies are told of.
        target_thumbnail: position -> picture.
        candidates: OOD sets that were compared.
        rejected: (id, reason) of every file that could not be used.
        seed: for pictures drawn at random.

    Raises:
        InputError: facts that do not belong together.
        UnknownName: `method` is not among `methods`.
    """

    name: str
    command: str
    settings: Sequence[tuple[str, str]] = ()
    target: int = 0
    task: str = ""
    measure: str = "test accuracy"
    method: str = ""
    methods: Sequence[MethodFacts] = ()
    classes: Sequence[str] = ()
    ids: Sequence[str] | NDArray[np.str_] = ()
    labels: Positions | None = None
    thumbnail: Thumbnail | None = None
    ood_ids: Sequence[str] | NDArray[np.str_] = ()
    ood_thumbnail: Thumbnail | None = None
    ood_held_back: bool = True
    switched_off: SwitchedOff | None = None
    boxes: FoundBoxes | None = None
    sources: Sequence[OodSource] = ()
    target_ids: Sequence[str] | NDArray[np.str_] = ()
    target_thumbnail: Thumbnail | None = None
    candidates: Sequence[Candidate] = ()
    rejected: Sequence[tuple[str, str]] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what would otherwise show one thing under another's name."""
        if self.methods:
            lookup("method among the methods", {one.name: one for one in self.methods}, self.method)
        for one in self.methods:
            self._check_method(one)
        if self.labels is not None:
            check_numbers("labels", self.labels, dimensions=1, n=len(self.ids))
            self._check_classes(f"labels have class {int(np.max(self.labels))}", int(np.max(self.labels)))
        if (off := self.switched_off) is not None and len(off.features):
            check_scores(off.before, name="switched_off.before", n=len(off.features))
            check_scores(off.after, name="switched_off.after", n=len(off.features))
            check_positions(np.unique(off.top_inside), n=len(self.ids), name="switched_off.top_inside")
            check_positions(np.unique(off.top_outside), n=len(self.ood_ids), name="switched_off.top_outside")
        if self.boxes is not None:
            k = len(check_positions(self.boxes.positions, n=len(self.ids), name="boxes.positions"))
            for name, table in {"true": self.boxes.true, **self.boxes.predicted}.items():
                check_numbers(f"boxes of {name}", table, dimensions=2, n=k)

    def _check_method(self, one: MethodFacts) -> None:
        named = {name: getattr(one, name) for name in ("score", "activation", "ood_activation", "between")}
        told = {name: values for name, values in {**named, **one.auroc}.items() if len(values)}
        for name, values in told.items():
            check_scores(values, name=f"{name} of {one.name}")
        if len({len(values) for values in told.values()}) > 1:
            lengths = ", ".join(f"{name} {len(values)}" for name, values in told.items())
            raise InputError(f"{one.name} has a different number of repeats here and there: {lengths}. Give all.")
        c = len(self.classes)
        if one.cosine is not None and one.cosine.shape != (c, c):
            raise InputError(f"cosine of {one.name} has shape {one.cosine.shape}, but there are {c} class names.")
        if one.projection is not None:
            top = int(check_labels(one.projection.labels, n=len(one.projection.inside)).max())
            self._check_classes(f"the projection of {one.name} has class {top}", top)

    def _check_classes(self, what: str, top: int) -> None:
        if top >= len(self.classes):
            raise InputError(f"{what}, but there are {len(self.classes)} class names. Name every class.")
