"""Plain supervised learning: cross-entropy on the given labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, View, weak
from goodgrain.errors import InputError
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.models import Split, load_network


class Standard:
    """Cross-entropy by SGD with Nesterov momentum; the rate warms up, then falls along a cosine.

    Args:
        network: "small", "resnet18", "package.module:function", or a module, which is copied.
        lr: the highest learning rate.
        momentum: of SGD; 0 for none.
        weight_decay: of all weights.
        batch_size: images per step; None for a twentieth of the labelled images, between 16 and 128.
        warmup: share of the training in which the rate rises; 0 for none.
        augment: whether training sees the weak view or the images as they are.
        flip: whether views may swap left and right; digits and text should not be.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool = Pool.from_arrays(images, np.arange(20) % 2)
        >>> learner = Standard(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> learner.infer(torch.zeros(3, 1, 8, 8))[0].shape
        torch.Size([3, 2])
    """

    network: Split
    normalize: Normalize
    device: torch.device

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        lr: float = 0.2,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        batch_size: int | None = None,
        warmup: float = 0.1,
        augment: bool = True,
        flip: bool = True,
    ) -> None:
        if batch_size is not None and batch_size < 2:
            raise InputError(f"batch_size should be 2 or more; {batch_size} came.")
        if not (lr >= 0 and 0 <= momentum < 1 and weight_decay >= 0 and 0 <= warmup < 1):
            raise InputError(
                "lr and weight_decay should be 0 or more, momentum and warmup in [0, 1); "
                f"{lr=}, {weight_decay=}, {momentum=}, {warmup=} came."
            )
        self.flip = flip
        self._spec = network
        self._lr, self._momentum, self._weight_decay = lr, momentum, weight_decay
        self._batch_size, self._warmup, self._augment = batch_size, warmup, augment

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        return {
            "learner": "standard",
            "network": self._spec if isinstance(self._spec, str) else type(self._spec).__name__,
            "lr": self._lr,
            "momentum": self._momentum,
            "weight_decay": self._weight_decay,
            "batch_size": self._batch_size,
            "warmup": self._warmup,
            "augment": self._augment,
            "flip": self.flip,
        }

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network and optimiser afresh.

        Raises:
            InputError: fewer than two labelled images.
        """
        self._positions = np.flatnonzero(pool.labels >= 0)
        if len(self._positions) < 2:
            raise InputError(f"training needs at least 2 labelled images; the pool has {len(self._positions)}.")
        height, width, channels = pool.image_shape
        network = load_network(
            self._spec,
            classes=len(pool.classes),
            channels=channels,
            seed=stream_seed(run.seed, "network"),
            size=(height, width),
        )
        self.device, self._run = run.device, run
        self.network = network.to(run.device)
        self.normalize = Normalize.of(pool).to(run.device)
        self._view: View | None = weak((height, width), flip=self.flip) if self._augment else None
        self._optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=self._lr,
            momentum=self._momentum,
            weight_decay=self._weight_decay,
            nesterov=self._momentum > 0,
        )

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics and the optimiser."""
        return {"network": self.network, "normalize": self.normalize, "optimizer": self._optimizer}

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:  # noqa: ARG002  (the protocol's form)
        """All labelled positions, shuffled."""
        size = self._batch_size or adapted_batch_size(len(self._positions))
        order = generator(self._run.seed, "order", epoch)
        return [{"train": positions} for positions in shuffled(self._positions, size, order)]

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD on the mean cross-entropy of the weak view."""
        part = batch.parts["train"]
        pixels = part.pixels if self._view is None else self._view(part.pixels, stream_seed(batch.seed, "weak"))
        self.network.train()
        logits, _ = self.network(self.normalize(pixels))
        loss = functional.cross_entropy(logits, part.labels)
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * warm_cosine(batch.progress, warmup=self._warmup)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        return Outcome({"loss": loss.detach()}, part.positions, logits.detach())

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        self.network.eval()
        with torch.no_grad():
            logits, features = self.network(self.normalize(pixels))
        return functional.log_softmax(logits, dim=1), features


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


def warm_cosine(progress: float, *, warmup: float) -> float:
    """The factor of the learning rate: a straight rise from 0 to 1, then half a cosine down to 0.

    Args:
        progress: share of the training that is behind, 0 to 1.
        warmup: share of the training that rises.

    Example:
        >>> [round(warm_cosine(progress, warmup=0.2), 3) for progress in (0.1, 0.2, 0.6, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
