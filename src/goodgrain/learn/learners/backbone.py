"""A network in training, whatever its loss: the recipe, the optimiser, the schedule, and how it is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import Positions, lookup
from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize
from goodgrain.errors import InputError
from goodgrain.learn.learner import Run, Stateful
from goodgrain.learn.schedules import SCHEDULES
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.models import Split, load_network
from goodgrain.models.maps import with_maps


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained by SGD, whatever its loss.

    Args:
        network: a name that `goodgrain.models.load_network` knows, "package.module:function", or a module, which is
            copied.
        lr: the highest learning rate.
        momentum: of SGD; 0 for none.
        nesterov: whether the momentum looks ahead.
        weight_decay: of all weights.
        batch_size: images per step; None for a twentieth of the labelled images, between 16 and 128.
        schedule: "cosine", or "halfway" (a tenth of the rate in the second half), or "steps" (a tenth from a half, a
            hundredth from three quarters).
        warmup: share of the training in which the rate rises; 0 for none.
        flip: whether views may swap left and right; digits and text should not be.

    Raises:
        InputError: a number outside its range.
        UnknownName: no such schedule.
    """

    network: str | nn.Module = "small"
    lr: float = 0.2
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    batch_size: int | None = None
    schedule: str = "cosine"
    warmup: float = 0.1
    flip: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.batch_size is not None and self.batch_size < 2:
            raise InputError(f"batch_size should be 2 or more; {self.batch_size} came.")
        if not (self.lr >= 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0 and 0 <= self.warmup < 1):
            raise InputError(
                "lr and weight_decay should be 0 or more, momentum and warmup in [0, 1); "
                f"lr={self.lr!r}, weight_decay={self.weight_decay!r}, momentum={self.momentum!r}, "
                f"warmup={self.warmup!r} came."
            )
        lookup("schedule", SCHEDULES, self.schedule)

    def config(self) -> dict[str, str | int | float | bool | None]:
        """All of it as plain values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        network = self.network if isinstance(self.network, str) else type(self.network).__name__
        return {**values, "network": network}

    def per_step(self, count: int) -> int:
        """How many images a step takes, of so many labelled images."""
        return self.batch_size or adapted_batch_size(count)


class Backbone:
    """A network, its pixel statistics and its optimiser.

    Args:
        recipe: how it is trained.
        pool: the training images.
        run: seed and engine.
        name: tells the networks of one learner apart; another name starts from other weights.
        outputs: width of the head; None for one per class.
    """

    def __init__(
        self, recipe: Recipe, pool: Pool, run: Run, name: str = "network", *, outputs: int | None = None
    ) -> None:
        height, width, channels = pool.image_shape
        network = load_network(
            recipe.network,
            classes=outputs or len(pool.classes),
            channels=channels,
            seed=stream_seed(run.seed, name),
            size=(height, width),
        )
        self._recipe, self._engine = recipe, run.engine
        self.network: Split = network.to(run.device)
        self.normalize = Normalize.of(pool).to(run.device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov and recipe.momentum > 0,
        )

    def saved(self, prefix: str = "") -> dict[str, Stateful]:
        """All that changes in training, by name."""
        return {
            f"{prefix}network": self.network,
            f"{prefix}normalize": self.normalize,
            f"{prefix}optimizer": self.optimizer,
        }

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Training forward pass: pixels (b, c, h, w) in [0, 1] -> logits (b, classes), features (b, d), float32."""
        self.network.train()
        return self.seen(pixels)

    def seen(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """A forward pass in whatever mode the network's layers are: logits (b, classes), features (b, d), float32."""
        with self._engine.autocast():
            logits, features = self.network(self.normalize(pixels))
        return logits.float(), features.float()

    def seen_maps(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `seen`, with the maps (b, d, h', w') before the last pooling."""
        with self._engine.autocast():
            logits, features, maps = with_maps(self.network, self.normalize(pixels))
        return logits.float(), features.float(), maps.float()

    def descend(self, loss: Tensor, progress: float) -> None:
        """One step of SGD, at the rate that the schedule gives."""
        rate = self._recipe.lr * SCHEDULES[self._recipe.schedule](progress, warmup=self._recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._engine.descend(loss, self.optimizer)

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        self.network.eval()
        with torch.no_grad(), self._engine.autocast():
            logits, features = self.network(self.normalize(pixels))
        return functional.log_softmax(logits.float(), dim=1), features.float()


def labeled_positions(pool: Pool) -> Positions:
    """(m,) positions of the images with a class label.

    Raises:
        InputError: fewer than two.
    """
    positions = np.flatnonzero(pool.labels >= 0)
    if len(positions) < 2:
        raise InputError(f"training needs at least 2 labelled images; the pool has {len(positions)}.")
    return positions


def adapted_batch_size(count: int) -> int:
    """A twentieth of the images, between 16 and 128: small data needs more steps than full batches give.

    Example:
        >>> adapted_batch_size(100), adapted_batch_size(1437), adapted_batch_size(50_000)
        (16, 71, 128)
    """
    return min(128, max(16, count // 20))


def shuffled(positions: Positions, batch_size: int, order: np.random.Generator) -> list[Positions]:
    """All positions in random order, in batches whose sizes differ by one at most.

    Even batches keep batch normalisation away from a last batch of one image.

    Args:
        positions: (n,) to cover.
        batch_size: the most per batch.
        order: what draws the order.

    Example:
        >>> [len(batch) for batch in shuffled(np.arange(9), 4, np.random.default_rng(0))]
        [3, 3, 3]
    """
    return np.array_split(order.permutation(positions), math.ceil(len(positions) / batch_size))


def turns(positions: Positions, start: int, count: int, seed: int, name: str) -> Positions:
    """A stretch of the endless order in which positions are gone through again and again, shuffled anew each turn.

    Args:
        positions: (n,) what is gone through, at least one.
        start: how many were drawn before.
        count: how many are drawn.
        seed: of the run.
        name: of this order; another name gives another one.

    Returns:
        (count,) positions.

    Example:
        >>> drawn = turns(np.arange(3), 0, 6, seed=0, name="any")
        >>> sorted(drawn[:3].tolist()), sorted(drawn[3:].tolist())
        ([0, 1, 2], [0, 1, 2])
        >>> np.array_equal(drawn[2:], turns(np.arange(3), 2, 4, seed=0, name="any"))
        True
    """
    n = len(positions)
    first, last = start // n, (start + count - 1) // n
    orders = [generator(seed, "endless order", name, turn).permutation(positions) for turn in range(first, last + 1)]
    drawn: Positions = np.concatenate(orders)[start - first * n :][:count]
    return drawn
