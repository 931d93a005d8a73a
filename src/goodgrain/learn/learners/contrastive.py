"""Learning without labels: two views of one image belong together, and apart from all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goodgrain.data.pool import Pool
from goodgrain.data.views import contrastive
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, shuffled
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.losses.contrastive import nt_xent
from goodgrain.models import Split


class SimCLR:
    """SimCLR (Chen et al. 2020): features that know an image again in any view, learned from all images, no labels.

    A projection, d -> d -> `projection`, takes the place of the network's head in training, with the loss of
    `goodgrain.losses.nt_xent` on its outputs; the features before it are what is kept. The head stays as it started,
    so that `Standard(learner.network)` can go on from here. SGD as in `Recipe`: LARS is for batches of thousands.

    Args:
        network: as in `Recipe`.
        temperature: of the loss. In short trainings of small networks 0.2 gave better features than the usual 0.5.
        projection: width of the projection's output.
        lr: as in `Recipe`, and lower than there: at 0.2 the features were worse.
        batch_size: images per step, in all processes together. Each is told apart from all others of its step, so that
            batches as small as `Recipe` chooses for small data gave features worse than untrained ones.
        **recipe: everything else in `Recipe`: momentum, weight_decay, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit, predict
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.full(20, -1), classes=["cat", "dog"]), SimCLR(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> predict(learner, pool)[1].shape
        (20, 96)
    """

    device: torch.device
    backbone: Backbone
    projection: nn.Sequential

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        temperature: float = 0.2,
        projection: int = 128,
        lr: float = 0.05,
        batch_size: int = 256,
        **recipe: Any,
    ) -> None:
        if not (temperature > 0 and projection >= 1):
            raise InputError(
                f"temperature should be above 0 and projection 1 or more; {temperature=}, {projection=} came."
            )
        self._recipe = Recipe(network=network, lr=lr, batch_size=batch_size, **recipe)
        self._temperature, self._width = temperature, projection
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        own = {"temperature": self._temperature, "projection": self._width}
        return {"learner": "simclr", **self._recipe.config(), **own}

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network, projection and optimiser afresh; the network starts as `Standard`'s would.

        Raises:
            InputError: fewer than two images.
        """
        if len(pool) < 2:
            raise InputError(f"contrastive training needs at least 2 images; the pool has {len(pool)}.")
        self.device, self._seed, self._engine = run.device, run.seed, run.engine
        self.backbone = Backbone(self._recipe, pool, run)
        height, width, channels = pool.image_shape
        _, features = self.backbone.infer(torch.zeros(1, channels, height, width, device=run.device))
        d = features.shape[1]
        layers = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, self._width))
        self.projection = layers.to(run.device)
        self.backbone.optimizer.add_param_group({"params": list(self.projection.parameters())})
        self._view = contrastive((height, width), flip=self.flip, channels=channels)

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics, the optimiser and the projection."""
        return {**self.backbone.saved(), "projection": self.projection}

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:
        """All images, with or without a label, shuffled."""
        size = self._recipe.per_step(len(pool))
        order = generator(self._seed, "order", epoch)
        return [{"train": positions} for positions in shuffled(np.arange(len(pool)), size, order)]

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on two views of each image."""
        pixels = batch.parts["train"].pixels
        views = [self._view(pixels, stream_seed(batch.seed, name)) for name in ("first", "second")]
        _, features = self.backbone.forward(torch.cat(views))  # (2b, d)
        first, second = (of_all(rows, self._engine) for rows in self.projection(features).chunk(2))
        loss = nt_xent(first, second, temperature=self._temperature)
        self.backbone.descend(loss * self._engine.processes, batch.progress)
        return Outcome({"loss": loss.detach()})

    @property
    def network(self) -> Split:
        """The network; its head is not trained."""
        return self.backbone.network

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, 0), for it knows no classes, and features (b, d)."""
        _, features = self.backbone.infer(pixels)
        return features.new_empty(len(features), 0), features


def of_all(rows: Tensor, engine: Engine) -> Tensor:
    """The rows of all processes, as a loss over every pair needs them; a gradient only reaches this process's own.

    Each process then has its own summand of the whole gradient. The engine takes the mean of the summands, so that
    the loss has to be multiplied by the number of processes: the step is that of one process with all images.

    Args:
        rows: (b, d), as many in each process.
        engine: knows the other processes.

    Returns:
        (processes * b, d), in the same order everywhere.
    """
    parts = list(engine.gather(rows.detach()).chunk(engine.processes))
    parts[engine.rank] = rows
    return torch.cat(parts)
