"""What the pipelines tell the reports: arrays and plain values, and pictures by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from goodgrain.checks import Positions, check_integers, check_positions, check_rows, check_scores
from goodgrain.errors import InputError
from goodgrain.report.plots import CurvePoint
from goodgrain.scores.suspects import Suspects

Thumbnail = Callable[[int], Image.Image]


@dataclass(frozen=True)
class Noise:
    """Wrong labels, where the true ones are known: shares (0..1) among the kept, per budget, and among all.

    Args:
        budgets: how many were kept.
        share_kept: wrong labels among them.
        share_all: wrong labels among all examples.
        corrected: per budget, the share of the kept wrong labels that the trained learner puts right; None where no
            learner was trained.
    """

    budgets: Sequence[int]
    share_kept: Sequence[float]
    share_all: float
    corrected: Sequence[float | None] = ()


@dataclass(frozen=True, eq=False)
class Threshold:
    """The similarity threshold that was used and why.

    Args:
        value: cosine similarity.
        why: one sentence.
        thresholds: (t,) the thresholds that were looked at; empty when the threshold was given.
        neighbours: which quantile ("median") -> (t,) neighbours per example.
    """

    value: float
    why: str
    thresholds: Sequence[float] = ()
    neighbours: Mapping[str, ArrayLike] | None = None


@dataclass(frozen=True, eq=False)
class Copies:
    """Pictures that are there twice.

    Args:
        pairs: (m, 2) positions; for an overlap, of the training set and of the test set.
        differing: how many pairs carry two different labels.
    """

    pairs: Positions
    differing: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class PruneFacts:
    """All that the pruning report shows; whatever is None or empty is left out of the page.

    Args:
        name: the data set, as its owner calls it.
        method: the pruning method, in words ("prune4rel, balanced").
        command: the command that was run.
        settings: (name, value) of everything that was asked, defaults included.
        ids: (n,) the examples' ids.
        kept: (k,) positions that were kept, in the order picked.
        next_up: positions that a larger budget would have picked next; None shows dropped ones drawn with `seed`.
        seed: for that draw.
        classes: (c,) class names.
        labels: (n,) classes 0..c-1; below 0 for examples without one.
        thumbnail: position -> picture.
        accuracy: measured accuracies, of any methods and budgets.
        accuracy_on: what they were measured on.
        learner: what was trained on the kept part, in words; "" where nothing was.
        advice: where more data stops paying, in one sentence.
        noise: shares of wrong labels.
        suspects: labels that look wrong; None when no labels were judged.
        confidence: (n,) confidence of the warm-up model.
        neighbourhood_confidence: (n,) sum of the kept neighbours' confidence, weighted by similarity.
        threshold: the similarity threshold.
        duplicates: pairs within the data set; None when nobody looked.
        overlap: pairs of this set and the test set; None when nobody looked.
        test_ids: ids of the test set.
        test_thumbnail: position in the test set -> picture.
        rejected: (id, reason) of every file that could not be used.

    Raises:
        InputError: arrays whose lengths differ, or positions out of range.
    """

    name: str
    method: str
    command: str
    settings: Sequence[tuple[str, str]]
    ids: Sequence[str] | NDArray[np.str_]
    kept: Positions
    next_up: Positions | None = None
    seed: int = 0
    classes: Sequence[str] = ()
    labels: Positions | None = None
    thumbnail: Thumbnail | None = None
    accuracy: Sequence[CurvePoint] = ()
    accuracy_on: str = "the test set"
    learner: str = ""
    advice: str = ""
    noise: Noise | None = None
    suspects: Suspects | None = None
    confidence: NDArray[np.floating] | None = None
    neighbourhood_confidence: NDArray[np.floating] | None = None
    threshold: Threshold | None = None
    duplicates: Copies | None = None
    overlap: Copies | None = None
    test_ids: Sequence[str] | NDArray[np.str_] = ()
    test_thumbnail: Thumbnail | None = None
    rejected: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise show one example under another's name."""
        n = len(self.ids)
        check_rows("kept", len(self.kept), None)
        check_positions(self.kept, n=n, name="kept")
        check_positions(self.next_up, n=n, name="next_up")
        if self.labels is not None:
            _check_classes("labels", self.labels, n, self.classes)
        for name in ("confidence", "neighbourhood_confidence"):
            if getattr(self, name) is not None:
                check_scores(getattr(self, name), name=name, n=n)
        if self.suspects is not None and len(self.suspects.positions):
            m = len(check_positions(self.suspects.positions, n=n, name="suspects.positions"))
            _check_classes("suspects.suggested", self.suspects.suggested, m, self.classes)
            check_scores(self.suspects.confidence, name="suspects.confidence", n=m)


def _check_classes(name: str, values: Positions, n: int, classes: Sequence[str]) -> None:
    top = int(check_integers(name, values, n=n).max())
    if top >= len(classes):
        raise InputError(f"{name} has class {top}, but there are {len(classes)} class names. Name every class.")
