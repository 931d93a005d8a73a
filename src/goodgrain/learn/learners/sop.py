"""SOP+: every example has noise variables of its own, which learn to explain a label that the network contradicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goodgrain.data.pool import Pool
from goodgrain.data.views import strong, weak
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Draw, Outcome, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, labeled_positions, shuffled
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.losses.noisy import class_balance, consistency, sop

_SPREAD = 1e-8  # standard deviation that u and v start with


class NoiseVariables(nn.Module):
    """u and v of every example, stepped by plain SGD on the rows that a batch touches.

    Args:
        ids: (n,) of the pool; an example starts with the same numbers in every pool that holds its id.
        classes: c.
        seed: of the run.
    """

    u: Tensor
    v: Tensor

    def __init__(self, ids: Sequence[str], classes: int, seed: int) -> None:
        super().__init__()
        start = np.stack([generator(seed, "noise", str(name)).normal(0, _SPREAD, 1 + classes) for name in ids])
        self.register_buffer("u", torch.from_numpy(start[:, :1].astype(np.float32)))  # (n, 1)
        self.register_buffer("v", torch.from_numpy(start[:, 1:].astype(np.float32)))  # (n, c)

    def rows(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """U (b, 1) and v (b, c) of some examples, as leaves that gather gradients."""
        return self.u[positions].requires_grad_(), self.v[positions].requires_grad_()

    def descend(self, positions: Tensor, u: Tensor, v: Tensor, *, lr_u: float, lr_v: float, engine: Engine) -> None:
        """Step the rows, all processes' rows in each process.

        Args:
            positions: (b,) that `rows` was called with.
            u: (b, 1) what it returned, after the backward pass of the mean loss of this process's share.
            v: (b, c) likewise.
            lr_u: learning rate of u.
            lr_v: learning rate of v.
            engine: knows the other processes.
        """
        touched = engine.gather(positions)
        for table, leaf, rate in ((self.u, u, lr_u), (self.v, v, lr_v)):
            if leaf.grad is not None:
                table.index_add_(0, touched, engine.gather(leaf.grad), alpha=-rate / engine.processes)


class SOP:
    """SOP+ (Liu et al. 2022): sparse over-parameterisation with class balance and consistency.

    Loss: cross-entropy and squared error of `goodgrain.losses.sop` on the weak view, plus `balance` times
    `class_balance` of the adjusted probabilities, plus `consistency` times the KL divergence between the predictions
    on the weak and on the strong view. Defaults suit some thousand steps; the rates of u and v in table 5.1 (10 and 100
    for CIFAR-10N, where the prose says 1 for u) are for thirty times as many and come with
    `make_learner("sop", config="cifar10n")`.

    Args:
        network: as in `Recipe`.
        lr_u: learning rate of u.
        lr_v: learning rate of v.
        consistency: lambda_C; 0 leaves the strong view out.
        balance: lambda_B.
        **recipe: everything else in `Recipe`: lr, momentum, batch_size, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), SOP(flip=False)
        >>> sorted(fit(learner, pool, epochs=1, seed=0, device="cpu").terms)
        ['class_balance', 'consistency', 'cross_entropy', 'loss', 'squared_error']
    """

    device: torch.device
    backbone: Backbone
    noise: NoiseVariables

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        lr_u: float = 1.0,
        lr_v: float = 10.0,
        consistency: float = 0.9,
        balance: float = 0.1,
        **recipe: Any,
    ) -> None:
        if not min(lr_u, lr_v, consistency, balance) >= 0:
            raise InputError(
                f"lr_u, lr_v, consistency and balance should be 0 or more; {lr_u=}, {lr_v=}, {consistency=}, "
                f"{balance=} came."
            )
        self._recipe = Recipe(network=network, **recipe)
        self._lr_u, self._lr_v, self._consistency, self._balance = lr_u, lr_v, consistency, balance
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        return {
            "learner": "sop",
            **self._recipe.config(),
            "lr_u": self._lr_u,
            "lr_v": self._lr_v,
            "consistency": self._consistency,
            "balance": self._balance,
        }

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build network, noise variables and optimiser afresh.

        Raises:
            InputError: fewer than two labelled images.
        """
        self._positions = labeled_positions(pool)
        self._engine, self._seed, self.device = run.engine, run.seed, run.device
        self.backbone = Backbone(self._recipe, pool, run)
        self.noise = NoiseVariables(pool.ids.tolist(), len(pool.classes), run.seed).to(run.device)
        self._weak = weak(pool.image_shape[:2], flip=self.flip)
        self._strong = strong(pool.image_shape[:2], flip=self.flip)

    def saved(self) -> Mapping[str, Stateful]:
        """The network, the pixel statistics, the optimiser, and u and v."""
        return {**self.backbone.saved(), "noise": self.noise}

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:  # noqa: ARG002  (the protocol's form)
        """All labelled positions, shuffled."""
        size = self._recipe.per_step(len(self._positions))
        order = generator(self._seed, "order", epoch)
        return [{"train": positions} for positions in shuffled(self._positions, size, order)]

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD for the network, and one for u and v of these images."""
        part = batch.parts["train"]
        views = [self._weak(part.pixels, stream_seed(batch.seed, "weak"))]
        if self._consistency:
            views.append(self._strong(part.pixels, stream_seed(batch.seed, "strong")))
        logits, *strong_logits = self.backbone.forward(torch.cat(views))[0].chunk(len(views))  # each (b, c)
        u, v = self.noise.rows(part.positions)
        fitted = sop(logits, part.labels, u, v)
        terms = {
            "cross_entropy": fitted.cross_entropy,
            "squared_error": fitted.squared_error,
            "class_balance": class_balance(fitted.adjusted),
        }
        loss = fitted.cross_entropy + fitted.squared_error + self._balance * terms["class_balance"]
        if strong_logits:
            terms["consistency"] = consistency(logits, strong_logits[0])
            loss = loss + self._consistency * terms["consistency"]
        self.backbone.descend(loss, batch.progress)
        self.noise.descend(part.positions, u, v, lr_u=self._lr_u, lr_v=self._lr_v, engine=self._engine)
        told = {name: term.detach() for name, term in {"loss": loss, **terms}.items()}
        return Outcome(told, part.positions, logits.detach())

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        return self.backbone.infer(pixels)
