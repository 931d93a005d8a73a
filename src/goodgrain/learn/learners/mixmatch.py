"""MixMatch: few labelled images and many without a label, blended with each other; with OOD images beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goodgrain.checks import check_count, check_within
from goodgrain.data.pool import UNLABELED, Pool
from goodgrain.data.views import Normalize, weak
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, labeled_positions, turns
from goodgrain.learn.learners.calibration import STANDARD, Calibration, Calibrator
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.losses.mixmatch import mix, sharpen, soft_cross_entropy, squared_error
from goodgrain.models import Split, statistics_kept


class MixMatch:
    """MixMatch (Berthelot et al. 2019), as the paper combines it with TAUFE (table 3.5).

    For each image without a label: `views` weak views, whose mean prediction, sharpened, becomes the target of all of
    them. All views of both kinds are blended with each other (MixUp, each nearer to itself). Loss: cross-entropy on the
    labelled rows, plus `lambda_u`, ramped up from 0, times the squared error on the others. The network itself is
    asked afterwards, not an average of its weights over steps.

    Args:
        network: as in `Recipe`.
        lambda_u: weight of the unlabelled term. The published 100 is for a million steps: on digits, 400 steps collapse
            under it (16 % right; under 10, 90 %).
        temperature: of the sharpening, T.
        views: weak views of each unlabelled image, K.
        alpha: of the Beta distribution of the blend.
        ramp: share of the training in which `lambda_u` rises from 0; the paper's 16,000 steps are 0.016 of its 1,024
            epochs of 1,024 steps.
        steps: per epoch; None for as many as it takes to see each unlabelled image once.
        ood: what the pool's OOD images add to the loss; by default nothing.
        **recipe: everything else in `Recipe`; `batch_size` labelled, and as many unlabelled, images a step.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
        >>> labels = np.where(np.arange(40) < 20, np.arange(40) % 2, UNLABELED)
        >>> learner = MixMatch(flip=False)
        >>> sorted(fit(learner, Pool.from_arrays(images, labels), epochs=1, seed=0, device="cpu").terms)
        ['labeled', 'loss', 'unlabeled']
    """

    device: torch.device
    backbone: Backbone

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        lambda_u: float = 10.0,
        temperature: float = 0.5,
        views: int = 2,
        alpha: float = 0.75,
        ramp: float = 0.4,
        steps: int | None = None,
        ood: Calibration = STANDARD,
        **recipe: Any,
    ) -> None:
        if not (lambda_u >= 0 and 0 <= ramp <= 1):
            raise InputError(f"lambda_u should be 0 or more and ramp in [0, 1]; {lambda_u=}, {ramp=} came.")
        self._recipe = Recipe(network=network, **recipe)
        self._lambda_u, self._ramp, self._ood = lambda_u, ramp, ood
        self._temperature = check_within("temperature", temperature, above=0)
        self._alpha = check_within("alpha", alpha, above=0)
        self._views = check_count("views", views)
        self._steps = None if steps is None else check_count("steps", steps)
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        own = {
            "lambda_u": self._lambda_u,
            "temperature": self._temperature,
            "views": self._views,
            "alpha": self._alpha,
            "ramp": self._ramp,
            "steps": self._steps,
        }
        return {"learner": "mixmatch", **self._recipe.config(), **own, **self._ood.config()}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network and optimiser afresh.

        Raises:
            InputError: fewer than two labelled images, none without a label, or OOD images are asked for and there are
                none.
        """
        self._labeled = labeled_positions(pool)
        self._unlabeled = np.flatnonzero(pool.labels == UNLABELED)
        if len(self._unlabeled) < 2:
            raise InputError(
                f"MixMatch needs images without a label (label {UNLABELED}); the pool has {len(self._unlabeled)}. "
                "Give some, or train with plain cross-entropy."
            )
        self.device, self._seed = run.device, run.seed
        self._size = self._recipe.per_step(len(self._labeled))
        self.backbone = Backbone(self._recipe, pool, run)
        self._calibrator = Calibrator(self._ood, pool, run, flip=self.flip)
        self._weak = weak(pool.image_shape[:2], flip=self.flip)

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics and the optimiser."""
        return self.backbone.saved()

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:  # noqa: ARG002  (the protocol's form)
        """As many labelled as unlabelled images a step, each kind in an endless order of its own."""
        steps = self._steps or max(1, len(self._unlabeled) // self._size)
        drawn = {
            name: turns(positions, epoch * steps * self._size, steps * self._size, self._seed, name)
            for name, positions in (("labeled", self._labeled), ("unlabeled", self._unlabeled))
        }
        parts = {name: np.split(positions, steps) for name, positions in drawn.items()}
        draws = [{name: parts[name][step] for name in parts} for step in range(steps)]
        return self._calibrator.accompany(draws, epoch, beside="labeled")

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on the blended views, and on what OOD images add."""
        labeled, unlabeled = batch.parts["labeled"], batch.parts["unlabeled"]
        first = self._weak(labeled.pixels, stream_seed(batch.seed, "labeled"))  # (b, ...)
        more = self._weak(
            unlabeled.pixels.repeat(self._views, 1, 1, 1), stream_seed(batch.seed, "unlabeled")
        )  # (K b, ...)
        with torch.no_grad():
            targets = torch.cat([self._given(labeled.labels), self._guessed(more)])
            draws = generator(batch.seed, "mix")
            share = draws.beta(self._alpha, self._alpha)
            share = max(share, 1 - share)
            order = torch.from_numpy(draws.permutation(len(targets))).to(self.device)
            pixels, targets = mix(torch.cat([first, more]), share, order), mix(targets, share, order)
        logits, _, ood = self._calibrator.forward(self.backbone, pixels, batch)
        count = len(first)
        terms = {
            "labeled": soft_cross_entropy(logits[:count], targets[:count]),
            "unlabeled": squared_error(logits[count:], targets[count:]),
        }
        own = terms["labeled"] + self._lambda_u * self._risen(batch.progress) * terms["unlabeled"]
        loss = self._calibrator.add(own, ood)
        self.backbone.descend(loss, batch.progress)
        return Outcome({name: term.detach() for name, term in {"loss": loss, **terms, **ood}.items()})

    def _given(self, labels: Tensor) -> Tensor:
        classes = self.backbone.network.head.out_features
        return nn.functional.one_hot(labels, int(classes)).float()  # type: ignore[arg-type]

    def _guessed(self, views: Tensor) -> Tensor:
        """(K b, c): the sharpened mean prediction of each image, once for each of its views."""
        with statistics_kept(self.backbone.network):
            logits, _ = self.backbone.forward(views)
        mean = logits.softmax(dim=1).view(self._views, -1, logits.shape[1]).mean(dim=0)  # (b, c)
        return sharpen(mean, self._temperature).repeat(self._views, 1)

    def _risen(self, progress: float) -> float:
        return min(1.0, progress / self._ramp) if self._ramp else 1.0

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
