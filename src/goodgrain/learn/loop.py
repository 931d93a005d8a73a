"""The only training loop: epochs, the history, checkpoints, and the end of a training that went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import GoodgrainError, InputError
from goodgrain.learn import checkpoint as files
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Draw, Learner, Outcome, Part, Run
from goodgrain.learn.streams import stream_seed

Progress = Callable[[int, int, int, Mapping[str, float]], None]
"""Called after each step with (epoch, step, steps, terms); epoch and step count from 0."""


@dataclass(frozen=True, eq=False)
class History:
    """What training saw of every example, recorded from its own forward passes.

    Args:
        correct: (e, n) bool, whether the given label was predicted when the example was last seen in the epoch.
        margin: (e, n) float32, the given label's logit minus the best other; NaN where the epoch did not show the
            example with a label.
        terms: name -> (e,) float64, the mean over the epoch's steps; "loss" is among them.
    """

    correct: NDArray[np.bool_]
    margin: NDArray[np.float32]
    terms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def loss(self) -> NDArray[np.float64]:
        """(e,) mean training loss per epoch."""
        return self.terms["loss"]


def fit(
    learner: Learner,
    pool: Pool,
    *,
    epochs: int,
    seed: int,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> History:
    """Train a learner on a pool from the beginning, or from where its checkpoint ends.

    On a CPU the result is the same to the bit for the same seed and number of threads, however often the training was
    killed and called again. A finished checkpoint is taken up without training.

    Args:
        learner: what learns; it holds the trained networks afterwards.
        pool: the training images.
        epochs: how often the learner goes through the pool.
        seed: all randomness of the training follows from it.
        checkpoint: file that is written after each epoch, and continued from where it exists.
        progress: called after each step.
        device: "auto" (a GPU where there is one), or a torch device such as "cpu" or "cuda".
        precision: "float32", or "bf16" for mixed precision.

    Returns:
        What the training saw, all epochs included.

    Raises:
        InputError: no epochs, no such device, or the checkpoint belongs to another training.
        UnknownName: no such precision.
        GoodgrainError: the loss or the weights became NaN or infinite.

    Example:
        >>> from goodgrain.learn.learners.standard import Standard
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool = Pool.from_arrays(images, np.arange(20) % 2)
        >>> fit(Standard(), pool, epochs=2, seed=0, device="cpu").correct.shape
        (2, 20)
    """
    if epochs < 1 or int(epochs) != epochs:
        raise InputError(f"epochs should be a whole number of 1 or more; {epochs!r} came.")
    engine = Engine(device, precision)
    run = Run(int(seed), int(epochs), engine)
    path = None if checkpoint is None else Path(checkpoint)
    how = {**learner.config(), "precision": precision, "processes": engine.processes}
    mark = files.stamp(pool, seed=run.seed, epochs=run.epochs, config=how)
    saved = engine.told(None if path is None or not engine.main else files.read(path, mark))
    with engine.repeatable():
        torch.manual_seed(stream_seed(run.seed, "prepare"))
        learner.prepare(pool, run)
        record = _Record(pool.labels, run.epochs)
        if saved is not None:
            for name, part in learner.saved().items():
                part.load_state_dict(saved["state"][name])
            record.take_up(saved["history"])
        for epoch in range(record.done, run.epochs):
            _epoch(learner, pool, run, epoch, record, progress, path)
            for part in learner.saved().values():
                if isinstance(part, nn.Module):
                    engine.agree(part)
            state = {name: part.state_dict() for name, part in learner.saved().items()}
            if not _finite(state):
                raise _diverged("the weights", epoch, path)
            if path is not None and engine.main:
                files.write(path, mark, {"state": state, "history": record.put_down()})
    return record.history()


def _epoch(
    learner: Learner, pool: Pool, run: Run, epoch: int, record: _Record, progress: Progress | None, path: Path | None
) -> None:
    torch.manual_seed(stream_seed(run.seed, "epoch", epoch))
    draws = learner.begin_epoch(pool, epoch)
    for step, draw in enumerate(draws):
        seed = stream_seed(run.seed, "step", epoch, step, run.engine.rank)
        torch.manual_seed(seed)  # for layers that draw from the global generator, such as dropout
        done = (epoch + (step + 0.5) / len(draws)) / run.epochs
        outcome = learner.step(Batch(_parts(pool, draw, run.engine), done, seed))
        values = run.engine.mean(torch.stack([value.detach().float() for value in outcome.terms.values()])).tolist()
        terms = dict(zip(outcome.terms, values, strict=True))
        if not all(map(math.isfinite, terms.values())):
            bad = next(name for name, value in terms.items() if not math.isfinite(value))
            raise _diverged(f"the {bad}", epoch, path)
        record.add(outcome, terms, run.engine)
        if progress is not None:
            progress(epoch, step, len(draws), terms)
    record.close_epoch()


def _parts(pool: Pool, draw: Draw, engine: Engine) -> dict[str, Part]:
    """This process's share of each part, on its device."""
    shares = {name: engine.share(positions) for name, positions in draw.items()}
    return {
        name: Part(
            torch.from_numpy(positions).to(engine.device),
            to_pixels(pool.images(positions), engine.device),
            torch.from_numpy(pool.labels[positions]).to(engine.device),
        )
        for name, positions in shares.items()
    }


class _Record:
    """The history while it grows."""

    def __init__(self, labels: Positions, epochs: int) -> None:
        self.done = 0
        self._labels = labels
        self._correct = np.zeros((epochs, len(labels)), dtype=bool)
        self._margin = np.full((epochs, len(labels)), np.nan, dtype=np.float32)
        self._terms: list[dict[str, float]] = []  # one per epoch
        self._steps: list[Mapping[str, float]] = []  # of the epoch under way

    def add(self, outcome: Outcome, terms: Mapping[str, float], engine: Engine) -> None:
        """Note one step: its terms, and margin and hit of each example that has a label, in whichever process."""
        self._steps.append(terms)
        if outcome.positions is None or outcome.logits is None:
            return
        positions = engine.gather(outcome.positions).cpu().numpy()
        logits = engine.gather(outcome.logits.detach().float()).cpu().numpy()  # (b, c)
        labeled = self._labels[positions] >= 0
        positions, logits = positions[labeled], logits[labeled]
        rows, labels = np.arange(len(positions)), self._labels[positions]
        others = logits.copy()
        others[rows, labels] = -np.inf
        self._margin[self.done, positions] = logits[rows, labels] - others.max(axis=1, initial=-np.inf)
        self._correct[self.done, positions] = logits.argmax(axis=1) == labels

    def close_epoch(self) -> None:
        """Average the terms of the epoch's steps."""
        names = {name: None for step in self._steps for name in step}
        self._terms.append(
            {name: float(np.mean([step[name] for step in self._steps if name in step])) for name in names}
        )
        self._steps = []
        self.done += 1

    def put_down(self) -> dict[str, Any]:
        """The epochs so far, as a checkpoint keeps them."""
        return {
            "correct": torch.from_numpy(self._correct[: self.done]),
            "margin": torch.from_numpy(self._margin[: self.done]),
            "terms": self._terms,
        }

    def take_up(self, kept: Mapping[str, Any]) -> None:
        """Continue after the epochs of a checkpoint."""
        self.done = len(kept["terms"])
        self._correct[: self.done] = kept["correct"].numpy()
        self._margin[: self.done] = kept["margin"].numpy()
        self._terms = list(kept["terms"])

    def history(self) -> History:
        """All epochs; a term that an epoch did not have is NaN there."""
        names = {name: None for epoch in self._terms for name in epoch}
        terms = {name: np.array([epoch.get(name, math.nan) for epoch in self._terms]) for name in names}
        return History(self._correct, self._margin, terms)


def _finite(state: object) -> bool:
    if isinstance(state, torch.Tensor):
        return not state.is_floating_point() or bool(state.isfinite().all())
    if isinstance(state, Mapping):
        return all(map(_finite, state.values()))
    return True


def _diverged(what: str, epoch: int, path: Path | None) -> GoodgrainError:
    kept = f" The last good checkpoint is {path}, after {epoch} epochs." if path is not None and epoch else ""
    return GoodgrainError(f"{what} became NaN or infinite in epoch {epoch + 1}: try a lower learning rate.{kept}")
