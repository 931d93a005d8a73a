"""Box regression: a network that tells where the object is, from boxes that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goodgrain.checks import Positions, lookup
from goodgrain.data.pool import OOD, Pool
from goodgrain.data.views import BoxView, Normalize, weak_with_boxes
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, shuffled
from goodgrain.learn.learners.calibration import STANDARD, Calibration, Calibrator
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.losses.boxes import BOX_LOSSES
from goodgrain.models import Split


class BoxRegression:
    """Regression of the box around the object of an image (section 3.3.2), by SGD as in `Standard`.

    The head has four outputs, which are the coordinates as they are, as published. A sigmoid would keep them within
    the image, but reaches its border only in the limit, where many boxes of close-up photographs end.

    Args:
        network: as in `Recipe`.
        loss: "l1", "l1_iou" or "d_iou", as in `goodgrain.losses.boxes`.
        augment: whether training sees the weak view or the images as they are.
        ood: what the pool's OOD images add to the loss (TAUFE); by default nothing.
        **recipe: everything else in `Recipe`: lr, momentum, batch_size, flip and so on.

    Raises:
        InputError: a number outside its range, or OAT.
        UnknownName: no such loss.

    Example:
        >>> from dataclasses import replace
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool = Pool.from_arrays(images, np.zeros(20, int))
        >>> pool = replace(pool, boxes=np.tile([0.25, 0.25, 0.75, 1.0], (20, 1)))
        >>> learner = BoxRegression()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> learner.boxes(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 4])
    """

    device: torch.device
    backbone: Backbone
    outputs = "boxes"  # for the model's file: what its network tells

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        loss: str = "l1",
        augment: bool = True,
        ood: Calibration = STANDARD,
        **recipe: Any,
    ) -> None:
        if ood.method == "oat":
            raise InputError(
                "OAT makes the class predictions for OOD images uniform, and a box regression predicts no classes. "
                "Use TAUFE, which acts on the features."
            )
        self._distance = lookup("box loss", BOX_LOSSES, loss)
        self._loss, self._augment, self._ood = loss, augment, ood
        self._recipe = Recipe(network=network, **recipe)
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        own = {"loss": self._loss, "augment": self._augment, **self._ood.config()}
        return {"learner": "box_regression", **self._recipe.config(), **own}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network and optimiser afresh.

        Raises:
            InputError: fewer than two images with a known box, or OOD images are asked for and there are none.
        """
        self._positions = boxed_positions(pool)
        self.device, self._seed = run.device, run.seed
        self._boxes = torch.from_numpy(np.array(pool.boxes)).to(run.device)  # (n, 4)
        self.backbone = Backbone(self._recipe, pool, run, outputs=4)
        self._calibrator = Calibrator(self._ood, pool, run, flip=self.flip, augment=self._augment)
        self._view: BoxView | None = weak_with_boxes(pool.image_shape[:2], flip=self.flip) if self._augment else None

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics and the optimiser."""
        return self.backbone.saved()

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:  # noqa: ARG002  (the protocol's form)
        """All images with a known box, shuffled, and OOD images beside them where they count."""
        size = self._recipe.per_step(len(self._positions))
        order = generator(self._seed, "order", epoch)
        draws = [{"train": positions} for positions in shuffled(self._positions, size, order)]
        return self._calibrator.accompany(draws, epoch)

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on the loss of the weak view, and on what OOD images add."""
        part = batch.parts["train"]
        pixels, boxes = part.pixels, self._boxes[part.positions]
        if self._view is not None:
            pixels, boxes = self._view(pixels, boxes, stream_seed(batch.seed, "weak"))
        outputs, _, terms = self._calibrator.forward(self.backbone, pixels, batch)
        own = self._distance(outputs, boxes)
        loss = self._calibrator.add(own, terms)
        self.backbone.descend(loss, batch.progress)
        told = {"loss": loss, **({self._loss: own, **terms} if terms else {})}
        return Outcome({name: term.detach() for name, term in told.items()})

    @property
    def network(self) -> Split:
        """The network."""
        return self.backbone.network

    @property
    def normalize(self) -> Normalize:
        """The pixel statistics."""
        return self.backbone.normalize

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, 0), for it knows no classes, and features (b, d)."""
        _, features = self._seen(pixels)
        return features.new_empty(len(features), 0), features

    def boxes(self, pixels: Tensor) -> Tensor:
        """Pixels (b, c, h, w) in [0, 1] -> boxes (b, 4), left, top, right, bottom as shares, cut off at the border.

        The order of the corners stays as the network has it: a box may come out empty.
        """
        return self._seen(pixels)[0].clamp(0, 1)

    def _seen(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.backbone.network.eval()
        with torch.no_grad():
            return self.backbone.seen(pixels)


def boxed_positions(pool: Pool) -> Positions:
    """(m,) positions of the images with a known box, whether or not they have a class label; none that is OOD.

    Raises:
        InputError: fewer than two.
    """
    known = np.zeros(len(pool), dtype=bool) if pool.boxes is None else ~np.isnan(pool.boxes).any(axis=1)
    positions = np.flatnonzero(known & (pool.labels != OOD))
    if len(positions) < 2:
        raise InputError(
            f"box regression needs at least 2 images with a known box; the pool has {len(positions)}. "
            "Give them as the pool's boxes, (n, 4)."
        )
    return positions
