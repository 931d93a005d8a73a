"""Learning loss (LL): while a network learns, a module beside it learns which images have a large loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Outcome, Run, Stateful
from goodgrain.learn.learners.standard import Standard
from goodgrain.losses.ranking import loss_prediction
from goodgrain.models.loss_predictor import LossPredictor

_BATCH = 512


class LossPrediction(Standard):
    """Cross-entropy as in `Standard`, with a `LossPredictor` on the network's intermediate maps (Yoo & Kweon 2019).

    The predictor learns the order of the images' cross-entropies in a step (`goodgrain.losses.loss_prediction`, margin
    1), by the same optimiser. At first the network learns from it too; later the predictor follows the network alone.

    Args:
        network: as in `Recipe`, with maps as `goodgrain.models.loss_predictor.find_stages` needs them.
        weight: of the predictor's loss; with 0 the network trains as in `Standard`, to the bit.
        cut: share of the training after which the predictor's gradient stops before the network.
        **options: everything else in `Standard`: augment, ood, lr, batch_size, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), LossPrediction(flip=False)
        >>> sorted(fit(learner, pool, epochs=1, seed=0, device="cpu").terms)
        ['cross_entropy', 'loss', 'loss_prediction']
        >>> predicted_losses(learner, pool).shape
        (20,)
    """

    predictor: LossPredictor

    def __init__(
        self, network: str | nn.Module = "small", *, weight: float = 1.0, cut: float = 0.6, **options: Any
    ) -> None:
        super().__init__(network, **options)
        if not (0 <= weight < math.inf and 0 <= cut <= 1):
            raise InputError(f"weight should be 0 or more and finite, cut in [0, 1]; {weight=}, {cut=} came.")
        self._weight, self._cut = weight, cut

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        return {**super().config(), "learner": "loss_prediction", "weight": self._weight, "cut": self._cut}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network, predictor and optimiser afresh; the network starts as `Standard`'s would.

        Raises:
            InputError: as in `Standard`, or a network without maps.
        """
        super().prepare(pool, run)
        height, width, channels = pool.image_shape
        example = torch.zeros(1, channels, height, width, device=run.device)
        self.predictor = LossPredictor(self.network, example).to(run.device)
        self.backbone.optimizer.add_param_group({"params": list(self.predictor.parameters())})

    def saved(self) -> Mapping[str, Stateful]:
        """What `Standard` saves, and the predictor."""
        return {**super().saved(), "predictor": self.predictor}

    def _learn(self, pixels: Tensor, batch: Batch) -> Outcome:
        part = batch.parts["train"]
        with self.predictor.watching(self.network) as means:
            logits, _, terms = self._calibrator.forward(self.backbone, pixels, batch)
        if not self._weight or batch.progress > self._cut:  # 0 times a gradient could still be another to the bit
            means = {layer: rows.detach() for layer, rows in means.items()}
        predicted = self.predictor(means)[: len(pixels)]  # OOD images may have passed behind them
        own = functional.cross_entropy(logits, part.labels)
        each = functional.cross_entropy(logits, part.labels, reduction="none")
        ranking = loss_prediction(predicted, each)
        loss = self._calibrator.add(own, terms) + self._weight * ranking
        self.backbone.descend(loss, batch.progress)
        told = {"loss": loss, "cross_entropy": own, "loss_prediction": ranking, **terms}
        return Outcome({name: term.detach() for name, term in told.items()}, part.positions, logits.detach())

    def losses(self, pixels: Tensor) -> Tensor:
        """Pixels (b, c, h, w) in [0, 1] -> predicted losses (b,), in evaluation mode, without gradient."""
        with torch.no_grad(), self.predictor.watching(self.network) as means:
            self.backbone.infer(pixels)
            predicted: Tensor = self.predictor(means)
        return predicted


def predicted_losses(learner: LossPrediction, pool: Pool) -> NDArray[np.float64]:
    """How large a trained learner expects its loss on each image to be: the informativeness of LL.

    Args:
        learner: what was trained.
        pool: n images as they are, with or without labels.

    Returns:
        (n,) higher = larger loss; only the order means anything.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), LossPrediction()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> predicted_losses(learner, pool).dtype
        dtype('float64')
    """
    parts = [
        learner.losses(to_pixels(pool.images(rows), learner.device))
        for rows in np.split(np.arange(len(pool)), range(_BATCH, len(pool), _BATCH))
    ]
    return torch.cat(parts).double().cpu().numpy()
