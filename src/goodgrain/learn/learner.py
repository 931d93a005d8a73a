"""What the loop asks of a learner, and what the two hand to each other.

The loop says when, the learner says what. Once an epoch, `begin_epoch` names the positions of each step's images, in
named parts; the loop brings those images to the device; `step` learns from them and tells what it saw. So each way of
learning fits without the loop knowing it:

- Cross-entropy: one part a step ("train"), a shuffled cover of the labelled positions.
- SOP+: likewise; `saved` adds the per-example u and v, modules that are indexed by `Part.positions`, and an optimiser
  for each. `step` makes the weak and the strong view of the same part itself, from two streams of `batch.seed`.
- DivideMix: `begin_epoch` predicts over the pool with both networks, fits the mixture and yields first the draws of
  one network, then of the other, with the parts "labeled" and "unlabeled"; `step` tells them apart by a part's name.
  `infer` averages the two.
- OOD batches (TAUFE, OAT): two parts, "train" and "ood"; the second is drawn endlessly from the positions labelled OOD
  and, like its views, from a stream of its own, so that a weight of 0 is standard training to the bit.
- Contrastive: one part without labels; `step` makes two views and hands out no logits, so the history stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.learn.engine import Engine

Draw = Mapping[str, Positions]
"""Part name -> positions in the pool: the images of one step."""


@dataclass(frozen=True)
class Run:
    """What a learner is told before the first epoch.

    Args:
        seed: all randomness is derived from it by name (`goodgrain.learn.streams`).
        epochs: how many there will be.
        engine: where the arithmetic happens.
    """

    seed: int
    epochs: int
    engine: Engine

    @property
    def device(self) -> torch.device:
        """Where the networks and the images go."""
        return self.engine.device


@dataclass(frozen=True)
class Part:
    """Images of one kind in one step, on the device.

    Args:
        positions: (b,) int64, into the pool.
        pixels: (b, c, h, w) float32 in [0, 1], as they are in the pool.
        labels: (b,) int64, UNLABELED and OOD included.
    """

    positions: Tensor
    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """One step's images.

    Args:
        parts: by the names that `begin_epoch` gave them.
        progress: share of the training that is behind, at the middle of this step: in (0, 1), for schedules.
        seed: of this step alone; views derive theirs from it by name.
    """

    parts: Mapping[str, Part]
    progress: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What one step tells.

    Args:
        terms: scalars to log by name; "loss" is among them.
        positions: (b,) the pool positions that `logits` belong to; None where there is nothing to record.
        logits: (b, c) of the training forward pass.
    """

    terms: Mapping[str, Tensor]
    positions: Tensor | None = None
    logits: Tensor | None = None


class Stateful(Protocol):
    """A module, an optimiser, or anything else that can be put down and taken up again."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, nested in dicts and lists."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take up what `state_dict` gave."""


class Predictor(Protocol):
    """A model that can be asked."""

    @property
    def device(self) -> torch.device:
        """Where pixels should be."""

    @property
    def flip(self) -> bool:
        """Whether views may swap left and right."""

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d); without gradient.

        classes is 0 for a model that knows none.
        """


class Learner(Predictor, Protocol):
    """A way of learning; it owns its networks, optimisers and schedules."""

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything it was asked for; a checkpoint is only taken up by a learner with the same."""

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build everything afresh: fitting twice gives the same result twice."""

    def saved(self) -> Mapping[str, Stateful]:
        """All that changes in training, by name; with these taken up, training goes on as if never stopped."""

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:
        """The draws of an epoch, one per step; a function of the saved state, the pool, the seed and the epoch."""

    def step(self, batch: Batch) -> Outcome:
        """Learn from one batch."""
