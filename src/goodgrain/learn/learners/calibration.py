"""What out-of-distribution (OOD) images add to any learner: TAUFE and OAT, as one more part of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from goodgrain.checks import check_within, lookup
from goodgrain.data.pool import OOD, Pool
from goodgrain.data.views import View, weak
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Draw, Run
from goodgrain.learn.learners.backbone import Backbone, turns
from goodgrain.learn.streams import stream_seed
from goodgrain.losses.ood import oat, taufe
from goodgrain.models.batch_norm import has_batch_norm, running_statistics, statistics_kept

WEIGHTS = {"standard": 0.0, "taufe": 1.0, "oat": 1.0}
"""Method -> its weight where none is asked (docs/decisions/0012); TAUFE's published ones are in `published_ood`."""

_APART = {"separate": statistics_kept, "running": running_statistics}
_STATISTICS = ("shared", *_APART)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Which penalty on OOD images goes with a learner's own loss.

    Args:
        method: "taufe" (features are switched off), "oat" (predictions become uniform) or "standard" (OOD images are
            not even looked at).
        weight: lambda of Eq. 3.3; None for 1.
        ratio: OOD images per labelled image of a step.
        statistics: batch normalisation of OOD images: "shared" (one forward pass of both kinds, as published),
            "separate" (a forward pass of their own under their own statistics, which leaves the running ones alone), or
            "running" (under the running statistics of the target's images, as in evaluation). With a weight of 0 the
            target's images never share a pass.
        reduction: as in `goodgrain.losses.taufe`.
        penalty: of TAUFE: "absolute" (Eq. 3.3), "relative" to the target's own features of the same step, which no
            shrinking of all features meets, or "auto": relative for a network without batch normalisation.
        layer: what TAUFE silences: "penultimate" (pooled features), or "maps" (the maps before the last pooling, as the
            published box regression did; place by place, which no opposite sign elsewhere makes up for).

    Raises:
        UnknownName: a name that is in no table.
        InputError: a number outside its range.
    """

    method: str = "taufe"
    weight: float | None = None
    ratio: float = 1.0
    statistics: str = "shared"
    reduction: str = "mean"
    penalty: str = "auto"
    layer: str = "penultimate"

    def __post_init__(self) -> None:
        """Check names and numbers."""
        lookup("calibration method", WEIGHTS, self.method)
        lookup("statistics", dict.fromkeys(_STATISTICS), self.statistics)
        lookup("reduction", dict.fromkeys(("mean", "sum")), self.reduction)
        lookup("penalty", dict.fromkeys(("auto", "absolute", "relative")), self.penalty)
        lookup("layer", dict.fromkeys(("penultimate", "maps")), self.layer)
        check_within("ratio", self.ratio, above=0)
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise InputError(f"weight should be 0 or more, and finite; {self.weight!r} came.")

    @property
    def strength(self) -> float:
        """The weight that counts."""
        return WEIGHTS[self.method] if self.weight is None else self.weight

    def config(self) -> dict[str, str | float]:
        """All of it as plain values; nothing for standard training."""
        if self.method == "standard":
            return {}
        return {f"ood_{name}": value for name, value in {**asdict(self), "weight": self.strength}.items()}


STANDARD = Calibration(method="standard")


class Calibrator:
    """A calibration at work: it draws OOD images beside a learner's own and adds their penalty to its loss.

    OOD images have random streams of their own, and at a weight of 0 a forward pass of their own: that is standard
    training to the bit. Their order is endless: all of them, shuffled anew for each turn, whatever the length of an
    epoch.

    Args:
        asked: which calibration.
        pool: its images with the label OOD.
        run: seed and engine.
        flip: whether views may swap left and right.
        augment: whether training sees the weak view or the images as they are.

    Raises:
        InputError: OOD images are needed and the pool has none.
    """

    def __init__(self, asked: Calibration, pool: Pool, run: Run, *, flip: bool = True, augment: bool = True) -> None:
        self._asked, self._seed = asked, run.seed
        self._positions = np.flatnonzero(pool.labels == OOD)
        self.active = asked.method != "standard"
        if self.active and not len(self._positions):
            raise InputError(
                f"{asked.method} learns from out-of-distribution images, and the pool has none. "
                "Join some with goodgrain.data.ood.join_ood, or train with method standard."
            )
        self._view: View | None = weak(pool.image_shape[:2], flip=flip) if augment else None

    def accompany(self, draws: Sequence[Draw], epoch: int, *, beside: str = "train") -> Sequence[Draw]:
        """The draws of an epoch, each with its OOD images as a part "ood".

        Args:
            draws: of the learner; every epoch has as many images in all.
            epoch: from 0.
            beside: the part whose images are counted.
        """
        if not self.active:
            return draws
        sizes = [max(2, round(self._asked.ratio * len(draw[beside]))) for draw in draws]
        drawn = turns(self._positions, epoch * sum(sizes), sum(sizes), self._seed, "ood")
        parts = np.split(drawn, np.cumsum(sizes)[:-1])
        return [{**draw, "ood": part} for draw, part in zip(draws, parts, strict=True)]

    def forward(self, backbone: Backbone, pixels: Tensor, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The learner's forward pass and that of the OOD images.

        Args:
            backbone: whose network is trained.
            pixels: (b, c, h, w) views of the learner's own images.
            batch: its part "ood" is what was drawn beside them.

        Returns:
            Logits (b, classes) and features (b, d) of the learner's own images, and the terms: "ood", the penalty
            before its weight; none for standard training.
        """
        if not self.active:
            return (*backbone.forward(pixels), {})
        strange = batch.parts["ood"].pixels
        if self._view is not None:
            strange = self._view(strange, stream_seed(batch.seed, "ood"))
        if self._asked.statistics == "shared" and self._asked.strength:
            together = torch.cat([pixels, strange])
            backbone.network.train()
            logits, features, silenced = self._seen(backbone, together)
            count = len(pixels)
            own, silenced = silenced[:count], silenced[count:]
            return logits[:count], features[:count], {"ood": self._penalty(backbone, logits[count:], silenced, own)}
        backbone.network.train()
        logits, features, own = self._seen(backbone, pixels)
        with _APART.get(self._asked.statistics, statistics_kept)(backbone.network):
            strange_logits, _, silenced = self._seen(backbone, strange)
        return logits, features, {"ood": self._penalty(backbone, strange_logits, silenced, own)}

    def _seen(self, backbone: Backbone, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, features, and what TAUFE silences."""
        if self._asked.method == "taufe" and self._asked.layer == "maps":
            return backbone.seen_maps(pixels)
        logits, features = backbone.seen(pixels)
        return logits, features, features

    def add(self, loss: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """The learner's own loss and the weighted penalty."""
        return loss + self._asked.strength * terms["ood"] if terms else loss

    def _penalty(self, backbone: Backbone, logits: Tensor, silenced: Tensor, own: Tensor) -> Tensor:
        if self._asked.method == "oat":
            return oat(logits)
        penalty = self._asked.penalty
        relative = penalty == "relative" or (penalty == "auto" and not has_batch_norm(backbone.network))
        relative_to = own if relative else None
        return taufe(silenced, reduction=self._asked.reduction, relative_to=relative_to)
