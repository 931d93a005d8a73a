"""Plain supervised learning: cross-entropy on the given labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, View, weak
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, labeled_positions, shuffled
from goodgrain.learn.learners.calibration import STANDARD, Calibration, Calibrator
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.models import Split


class Standard:
    """Cross-entropy by SGD; by default with Nesterov momentum, and a rate that warms up, then falls along a cosine.

    Args:
        network: as in `Recipe`.
        augment: whether training sees the weak view or the images as they are.
        ood: what the pool's OOD images add to the loss (TAUFE, OAT); by default nothing.
        **recipe: everything else in `Recipe`: lr, momentum, batch_size, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> import numpy as np
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool = Pool.from_arrays(images, np.arange(20) % 2)
        >>> learner = Standard(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> learner.infer(torch.zeros(3, 1, 8, 8))[0].shape
        torch.Size([3, 2])
    """

    device: torch.device
    backbone: Backbone

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        augment: bool = True,
        ood: Calibration = STANDARD,
        **recipe: Any,
    ) -> None:
        self._recipe = Recipe(network=network, **recipe)
        self._augment, self._ood = augment, ood
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        own = {"augment": self._augment, **self._ood.config()}
        return {"learner": "standard", **self._recipe.config(), **own}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network and optimiser afresh.

        Raises:
            InputError: fewer than two labelled images, or OOD images are asked for and there are none.
        """
        self._positions = labeled_positions(pool)
        self.device, self._seed = run.device, run.seed
        self.backbone = Backbone(self._recipe, pool, run)
        self._calibrator = Calibrator(self._ood, pool, run, flip=self.flip, augment=self._augment)
        self._view: View | None = weak(pool.image_shape[:2], flip=self.flip) if self._augment else None

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics and the optimiser."""
        return self.backbone.saved()

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:  # noqa: ARG002  (the protocol's form)
        """All labelled positions, shuffled, and OOD images beside them where they count."""
        size = self._recipe.per_step(len(self._positions))
        order = generator(self._seed, "order", epoch)
        draws = [{"train": positions} for positions in shuffled(self._positions, size, order)]
        return self._calibrator.accompany(draws, epoch)

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on the mean cross-entropy of the weak view, and on what OOD images add."""
        part = batch.parts["train"]
        pixels = part.pixels if self._view is None else self._view(part.pixels, stream_seed(batch.seed, "weak"))
        return self._learn(pixels, batch)

    def _learn(self, pixels: Tensor, batch: Batch) -> Outcome:
        part = batch.parts["train"]
        logits, _, terms = self._calibrator.forward(self.backbone, pixels, batch)
        own = functional.cross_entropy(logits, part.labels)
        loss = self._calibrator.add(own, terms)
        self.backbone.descend(loss, batch.progress)
        told = {"loss": loss, **({"cross_entropy": own, **terms} if terms else {})}
        return Outcome({name: term.detach() for name, term in told.items()}, part.positions, logits.detach())

    @property
    def network(self) -> Split:
        """The network."""
        return self.backbone.network

    @property
    def normalize(self) -> Normalize:
        """The pixel statistics."""
        return self.backbone.normalize

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        return self.backbone.infer(pixels)
