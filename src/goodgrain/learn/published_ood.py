"""The configurations that chapter 3 was published with, and learners under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from goodgrain.checks import lookup
from goodgrain.learn.learner import Learner
from goodgrain.learn.learners.adversarial import Adversarial
from goodgrain.learn.learners.boxes import BoxRegression
from goodgrain.learn.learners.calibration import STANDARD, Calibration
from goodgrain.learn.learners.mixmatch import MixMatch
from goodgrain.learn.learners.standard import Standard

CALIBRATED_LEARNERS: Mapping[str, Callable[..., Learner]] = {
    "ce": Standard,
    "mixmatch": MixMatch,
    "adversarial": Adversarial,
    "boxes": BoxRegression,
}
"""What OOD images can be added to: plain cross-entropy, MixMatch, adversarial training, box regression."""


@dataclass(frozen=True)
class Calibrated:
    """One training configuration of section 3.3.

    Args:
        network: the architecture.
        epochs: of the training.
        weight: lambda of TAUFE.
        statistics: of batch normalisation; the published runs put both kinds of images through one forward pass.
        recipe: for every learner.
        own: learner -> what is its own.
    """

    network: str
    epochs: int
    weight: float
    statistics: str
    recipe: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]]


_SGD = {
    "lr": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "warmup": 0.0,
    "schedule": "steps",
    "batch_size": 32,  # and as many OOD images: 64 in all
}
_MIXMATCH = {"lambda_u": 100.0, "temperature": 0.5, "views": 2, "alpha": 0.75, "steps": 1024, "ramp": 16_000 / 1024**2}

CALIBRATED: Mapping[str, Calibrated] = {
    "cifar": Calibrated("resnet18", 200, 0.1, "shared", _SGD, {"mixmatch": _MIXMATCH, "adversarial": {"steps": 7}}),
    "imagenet10": Calibrated("resnet50", 200, 0.01, "shared", _SGD, {}),
    "boxes": Calibrated("resnet50", 100, 0.01, "shared", _SGD, {}),
}
"""Sections 3.3.1 to 3.3.3 by target data; "boxes" is for CUB-200 and Cars, box regression and localisation alike."""


def make_calibrated(
    name: str, calibration: Calibration = STANDARD, *, config: str | None = None, **options: Any
) -> Learner:
    """A learner with what OOD images add to its loss.

    Args:
        name: a key of CALIBRATED_LEARNERS.
        calibration: TAUFE, OAT or nothing; a weight that it leaves open is the published one.
        config: a key of CALIBRATED; None for the house's defaults, which suit small data and small networks.
        **options: take the place of single values; network among them.

    Raises:
        UnknownName: no such learner or configuration.

    Example:
        >>> learner = make_calibrated("ce", Calibration(weight=0.01), config="cifar")
        >>> learner.config()["network"], learner.config()["ood_weight"]
        ('resnet18', 0.01)
    """
    make = lookup("learner", CALIBRATED_LEARNERS, name)
    if config is None:
        return make(ood=calibration, **options)
    published = lookup("published configuration", CALIBRATED, config)
    if calibration.method == "taufe" and calibration.weight is None:
        calibration = replace(calibration, weight=published.weight)
    theirs: dict[str, str | nn.Module | Any] = {"network": published.network, **published.recipe}
    return make(ood=calibration, **{**theirs, **published.own.get(name, {}), **options})
