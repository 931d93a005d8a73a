"""Adversarial training: each step learns from the worst small change of its images; with OOD images beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from goodgrain.learn.attack import RADIUS, STEP, pgd
from goodgrain.learn.learner import Batch, Outcome
from goodgrain.learn.learners.standard import Standard
from goodgrain.learn.streams import stream_seed
from goodgrain.models import running_statistics


class Adversarial(Standard):
    """Training on PGD's images in place of the given ones (Madry et al. 2018), as the paper combines it with TAUFE.

    The attack sees the network with its running statistics and leaves them alone. OOD images are not attacked.

    Args:
        network: as in `Recipe`.
        steps: of the attack.
        radius: the largest change of a pixel.
        step: the change of a pixel in one step of the attack.
        **standard: everything else in `Standard`.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> import numpy as np
        >>> from goodgrain.data.pool import Pool
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> learner = Adversarial(steps=2, flip=False)
        >>> history = fit(learner, Pool.from_arrays(images, np.arange(20) % 2), epochs=1, seed=0, device="cpu")
        >>> learner.config()["attack_steps"]
        2
    """

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        steps: int = 7,
        radius: float = RADIUS,
        step: float = STEP,
        **standard: Any,
    ) -> None:
        super().__init__(network, **standard)
        self._steps, self._radius, self._step = steps, radius, step

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        own = {"attack_steps": self._steps, "attack_radius": self._radius, "attack_step": self._step}
        return {**super().config(), "learner": "adversarial", **own}

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on attacked views, and on what OOD images add."""
        part = batch.parts["train"]
        pixels = part.pixels if self._view is None else self._view(part.pixels, stream_seed(batch.seed, "weak"))
        self.backbone.network.train()
        with running_statistics(self.backbone.network):
            pixels = self._attacked(pixels, part.labels, stream_seed(batch.seed, "attack"))
        return self._learn(pixels, batch)

    def _attacked(self, pixels: Tensor, labels: Tensor, seed: int) -> Tensor:
        return pgd(self._logits, pixels, labels, steps=self._steps, radius=self._radius, step=self._step, seed=seed)

    def _logits(self, pixels: Tensor) -> Tensor:
        return self.backbone.seen(pixels)[0]
