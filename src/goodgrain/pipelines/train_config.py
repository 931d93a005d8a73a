"""All that a training run with out-of-distribution (OOD) images can be asked, checked before anything heavy starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from goodgrain.checks import check_count, check_within, lookup
from goodgrain.errors import InputError
from goodgrain.learn.engine import PRECISIONS
from goodgrain.learn.learners.calibration import WEIGHTS, Calibration
from goodgrain.learn.published_ood import CALIBRATED
from goodgrain.losses.boxes import BOX_LOSSES
from goodgrain.pipelines.prune_config import several

TASKS = {"classify": "test accuracy", "box": "mean IoU", "wsol": "GT-known Loc"}
"""Task -> what is measured of it."""

BRIEF = 20
"""Epochs of a comparison of OOD sets: the features that mislead are learned early."""

LEARNERS = ("ce", "mixmatch", "adversarial")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What to train, against which OOD images, and beside what.

    Args:
        method: "taufe", "oat" or "standard".
        task: "classify", "box" (box regression) or "wsol" (boxes from a classifier's activation maps).
        learner: what the method is added to: "ce" (plain training), "mixmatch" (images without a label, and those
            beyond `few_shot`, are used too) or "adversarial" (PGD).
        compare: other methods that are trained as well, on the same images in the same order.
        few_shot: how many labelled images, equally many of each class; None for all.
        ood_count: how many OOD images; None for as many as `few_shot`, or all.
        ood_weights: OOD source -> weight of its share; None for all images of all sources.
        weight: of the penalty; None for the recipe's, or 1.
        ratio: OOD images per labelled image of a step.
        statistics: batch normalisation of OOD images, as in `goodgrain.learn.Calibration`.
        layer: what TAUFE silences, "penultimate" or "maps", as in `goodgrain.learn.Calibration`.
        penalty: of TAUFE, "absolute", "relative" or "auto", as in `goodgrain.learn.Calibration`.
        box_loss: "l1", "l1_iou" or "d_iou".
        recipe: a published configuration (`goodgrain.learn.published_ood.CALIBRATED`); None for the house's defaults.
        model: as `goodgrain.models.load_network` takes it.
        epochs: how often training goes through the labelled images.
        batch_size: labelled images a step; None for a twentieth of them, between 16 and 128.
        lr: the highest learning rate; None for the learner's own.
        precision: "float32" or "bf16".
        repeats: trainings per method, each with a seed of its own.
        flip: whether augmentation may swap left and right; not for digits or text.
        seed: all randomness follows from it.
        near: least likeness of OOD images that are taken for copies of the target's own, and left out.

    Raises:
        InputError: a value outside its range, or a combination that means nothing.
        UnknownName: a name that no table has.
    """

    method: str = "taufe"
    task: str = "classify"
    learner: str = "ce"
    compare: tuple[str, ...] = ("standard",)
    few_shot: int | None = None
    ood_count: int | None = None
    ood_weights: Mapping[str, float] | None = None
    weight: float | None = None
    ratio: float = 1.0
    statistics: str = "shared"
    layer: str = "penultimate"
    penalty: str = "auto"
    box_loss: str = "l1_iou"
    recipe: str | None = None
    model: str = "small"
    epochs: int = 100
    batch_size: int | None = None
    lr: float | None = None
    precision: str = "float32"
    repeats: int = 1
    flip: bool = True
    seed: int = 0
    near: float = 0.98

    def __post_init__(self) -> None:
        """Check all that can be checked without the data."""
        compare = dict.fromkeys(several("compare", self.compare))
        object.__setattr__(self, "compare", tuple(name for name in compare if name != self.method))
        lookup("task", TASKS, self.task)
        lookup("learner", dict.fromkeys(LEARNERS), self.learner)
        lookup("box loss", BOX_LOSSES, self.box_loss)
        lookup("precision", PRECISIONS, self.precision)
        if self.recipe is not None:
            lookup("recipe", CALIBRATED, self.recipe)
        for method in self.methods:
            lookup("method", WEIGHTS, method)
            self.calibration(method)
        if self.method == "standard" and self.weight is not None:
            raise InputError("standard training has no penalty for weight to weigh. Leave weight out, or train taufe.")
        for name in ("layer", "penalty"):
            if "taufe" not in self.methods and getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise InputError(f"{name} is of method taufe, and {' and '.join(self.methods)} is asked. Leave it out.")
        if self.task == "box" and "oat" in self.methods:
            raise InputError(
                "OAT makes the class predictions for OOD images uniform, and a box regression predicts no classes. "
                "Use method taufe, which acts on the features."
            )
        if self.task != "classify" and self.learner != "ce":
            raise InputError(f"learner {self.learner} is for task classify; {self.task} came. Use learner ce.")
        for name in ("few_shot", "ood_count", "batch_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least=2)
        check_count("epochs", self.epochs)
        check_count("repeats", self.repeats)
        check_count("seed", self.seed, least=0)
        check_within("near", self.near, above=0.0, most=1.0)
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise InputError(f"lr should be above 0 and finite; {self.lr!r} came.")

    @property
    def methods(self) -> tuple[str, ...]:
        """The method and those it is compared with."""
        return (self.method, *self.compare)

    def calibration(self, method: str) -> Calibration:
        """What a method adds to the learner's loss; a weight that was given is that of the run's own method."""
        weight = self.weight if method == self.method else None
        if weight is None and method == "taufe" and self.recipe is not None:
            weight = CALIBRATED[self.recipe].weight
        return Calibration(
            method=method,
            weight=weight,
            ratio=self.ratio,
            statistics=self.statistics,
            layer=self.layer,
            penalty=self.penalty,
        )

    def recipe_options(self) -> dict[str, Any]:
        """What the learner is asked beyond the method."""
        asked = {"network": self.model, "batch_size": self.batch_size, "lr": self.lr, "flip": self.flip}
        if self.task == "box":
            asked["loss"] = self.box_loss
        return {name: value for name, value in asked.items() if value is not None}

    def table(self) -> dict[str, Any]:
        """All of it as plain values, for config.toml."""
        return asdict(self)


def under_recipe(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, and the recipe's model, epochs and statistics where they were not.

    Raises:
        UnknownName: no such recipe.
    """
    if asked.get("recipe") is None:
        return dict(asked)
    recipe = lookup("recipe", CALIBRATED, asked["recipe"])
    theirs: dict[str, Any] = {"model": recipe.network, "epochs": recipe.epochs, "statistics": recipe.statistics}
    return {**theirs, **asked}
