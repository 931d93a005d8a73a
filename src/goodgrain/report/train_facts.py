"""What a training run tells its report: arrays and plain values, and pictures by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_integers, check_positions, check_rows, check_scores, lookup
from goodgrain.errors import InputError
from goodgrain.metrics.localization import box_iou
from goodgrain.report.facts import Thumbnail
from goodgrain.report.train_views import Projection, SwitchedOff

__all__ = [
    "MEAN_SQUARE",
    "STANDARD",
    "Candidate",
    "FoundBoxes",
    "MethodFacts",
    "OodSource",
    "Projection",
    "SwitchedOff",
    "TrainFacts",
]

STANDARD = "standard"
"""The name of training without OOD images: what every other method is measured against."""

MEAN_SQUARE = "mean square of a feature"
"""What TAUFE's penalty measures; words that follow say of which layer or relative to what."""


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
        attacked: (r,) test accuracy after an attack (PGD), 0..1; of adversarial training.
        auroc: detector -> (r,) AUROC of OOD detection, 0..1.
        terms: loss term -> (e,) mean per epoch, in the first repeat.
        penalty: what its term "ood" measures, with the unit ("mean square of a feature"); "" where it has none.
        cosine: (c, c) in the first repeat (`goodgrain.scores.class_cosine`); NaN where there is no pair.
        projection: in the first repeat (`Projection.of`).

    Raises:
        InputError: values that are not finite, or lists of different numbers of repeats.
    """

    name: str
    weight: float | None = None
    score: Sequence[float] = ()
    activation: Sequence[float] = ()
    ood_activation: Sequence[float] = ()
    between: Sequence[float] = ()
    attacked: Sequence[float] = ()
    auroc: Mapping[str, Sequence[float]] = field(default_factory=dict)
    terms: Mapping[str, ArrayLike] = field(default_factory=dict)
    penalty: str = ""
    cosine: NDArray[np.floating] | None = None
    projection: Projection | None = None

    def __post_init__(self) -> None:
        """Check that repeats pair up."""
        listed = {
            name: getattr(self, name) for name in ("score", "activation", "ood_activation", "between", "attacked")
        }
        told = {name: values for name, values in {**listed, **self.auroc}.items() if len(values)}
        for name, values in {**told, **self.terms}.items():
            check_scores(values, name=f"{name} of {self.name}")
        if len({len(values) for values in told.values()}) > 1:
            lengths = ", ".join(f"{name} {len(values)}" for name, values in told.items())
            raise InputError(f"{self.name} has a different number of repeats here and there: {lengths}. Give all.")


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """Boxes around objects: left, top, right, bottom as shares of the picture's width and height.

    Args:
        positions: (k,) in-distribution images of `TrainFacts` whose true box is known.
        true: (k, 4).
        predicted: method -> (k, 4), of the first repeat.

    Raises:
        InputError: no box, or boxes that are not finite (k, 4) arrays.
    """

    positions: Positions
    true: NDArray[np.floating]
    predicted: Mapping[str, NDArray[np.floating]]

    def __post_init__(self) -> None:
        """Check that each picture has its boxes."""
        check_rows("boxes.predicted", len(self.predicted), None)
        for name, table in {"true": self.true, **self.predicted}.items():
            check_rows(f"boxes of {name}", len(table), len(self.positions))
            box_iou(table, self.true)


@dataclass(frozen=True, eq=False)
class OodSource:
    """One set of OOD images that was trained on.

    Args:
        name: what its owner calls it.
        images: how many of its images were trained on.
        copies: (m, 2) left-out images: position in this set, and of the target image that it repeats.
        ids: names of the set's images, by position.
        thumbnail: position in this set -> picture.

    Raises:
        InputError: copies that are no pairs, or not among the set's images.
    """

    name: str
    images: int
    copies: Positions = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    ids: Sequence[str] | NDArray[np.str_] = ()
    thumbnail: Thumbnail | None = None

    def __post_init__(self) -> None:
        """Check that every copy has its name."""
        if np.shape(self.copies)[1:] != (2,):
            raise InputError(
                f"copies of {self.name} should be (m, 2), two positions each; their shape is {np.shape(self.copies)}."
            )
        if self.thumbnail is not None:
            check_positions(np.unique(self.copies[:, 0]), n=len(self.ids), name=f"copies of {self.name}")


@dataclass(frozen=True)
class Candidate:
    """One OOD set of a comparison.

    Args:
        name: what it is called.
        images: how many it has.
        copies: how many of them repeat one of the target's.
        shared: estimated share of undesirable feature, 0..1 (`goodgrain.scores.ood_sets.shared_features`).
        gain: measured score of TAUFE with it minus that of standard training, 0..1; None where nobody measured.

    Raises:
        InputError: numbers that are not finite.
    """

    name: str
    images: int
    copies: int
    shared: float
    gain: float | None = None

    def __post_init__(self) -> None:
        """Check that sets can be put in order."""
        check_scores([self.shared, self.gain or 0.0], name=f"shared and gain of {self.name}")


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
        width: d, how many features an image has; 0 where that is not told.
        classes: (c,) class names.
        ids: (n,) in-distribution images that were looked at: the test set, or the target's own where there is none.
        labels: (n,) their classes; below 0 for images without one.
        thumbnail: position -> picture.
        ood_ids: (m,) OOD images that were looked at.
        ood_thumbnail: position -> picture.
        ood_held_back: whether these are others than those of training.
        attacked_images: how many test images `MethodFacts.attacked` was measured on.
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
    width: int = 0
    classes: Sequence[str] = ()
    ids: Sequence[str] | NDArray[np.str_] = ()
    labels: Positions | None = None
    thumbnail: Thumbnail | None = None
    ood_ids: Sequence[str] | NDArray[np.str_] = ()
    ood_thumbnail: Thumbnail | None = None
    ood_held_back: bool = True
    attacked_images: int = 0
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
        methods = {one.name: one for one in self.methods}
        if len(methods) < len(self.methods):
            named = ", ".join(one.name for one in self.methods)
            raise InputError(f"two methods have one name: {named}. Give each method once, with all its repeats.")
        own = [self.method] if methods or self.method else []  # a mere comparison of OOD sets trained nothing
        for name in (*own, *(self.boxes.predicted if self.boxes else ())):
            lookup("trained method", methods, name)
        c, n = len(self.classes), len(self.ids)
        for one in self.methods:
            if one.cosine is not None and one.cosine.shape != (c, c):
                raise InputError(f"cosine of {one.name} has shape {one.cosine.shape}, but there are {c} class names.")
            if one.projection is not None:
                _check_classes(f"the projection of {one.name} has", one.projection.labels, c)
        if self.labels is not None:
            _check_classes("labels have", check_integers("labels", self.labels, n=n), c)
        if (off := self.switched_off) is not None:
            check_positions(np.unique(off.top_inside), n=n, name="switched_off.top_inside")
            check_positions(np.unique(off.top_outside), n=len(self.ood_ids), name="switched_off.top_outside")
        if self.boxes is not None:
            check_positions(self.boxes.positions, n=n, name="boxes.positions")
        for source in self.sources:
            if self.target_thumbnail is not None:
                name = f"originals of {source.name}"
                check_positions(np.unique(source.copies[:, 1]), n=len(self.target_ids), name=name)


def _check_classes(what: str, labels: Positions, c: int) -> None:
    if (top := int(labels.max())) >= c:
        raise InputError(f"{what} class {top}, but there are {c} class names. Name every class.")
