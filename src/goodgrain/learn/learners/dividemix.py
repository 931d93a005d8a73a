"""DivideMix: two networks tell each other which labels to believe, and learn from the other images without theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import Positions, check_count, check_within
from goodgrain.data.pool import Pool
from goodgrain.data.views import weak
from goodgrain.errors import InputError
from goodgrain.learn.co_divide import clean_probability, label_losses
from goodgrain.learn.learner import Batch, Draw, Outcome, Part, Run, Stateful
from goodgrain.learn.learners.backbone import Backbone, Recipe, labeled_positions, shuffled
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.losses.mixmatch import (
    mix,
    negative_entropy,
    refine,
    sharpen,
    soft_cross_entropy,
    squared_error,
    uniform_divergence,
)

_PARTNER = {"first": "second", "second": "first"}


class DivideMix:
    """DivideMix (Li, Socher & Hoi 2020).

    After a warm-up by cross-entropy, each epoch starts with a mixture of two Gaussians over each network's losses
    (`goodgrain.learn.co_divide`). Each network then trains on the other's division: labels that the other believes are
    refined by the network's own prediction; the other images get the sharpened mean prediction of both networks instead
    of their label. Loss: L_x + `lambda_u` L_u + KL(uniform || mean prediction), on MixMatch's blends of `views` weak
    views of both parts. Defaults are those of CIFAR-10N in table 5.1, but for the recipe, which suits small data.

    Each step takes `batch_size` believed images and as many of the others; by default half of what `Recipe` takes, so
    that a step shows as many images as it does for other learners. Blending is slow to learn from: plan for more epochs
    than cross-entropy needs (60 rather than 30 for a thousand small images). The history is the first network's; after
    the warm-up it has the margins of the images whose labels that network was given.

    Args:
        network: as in `Recipe`. A module is copied twice: the two then differ by the order of their images alone.
        warmup_epochs: of cross-entropy on all labels; None for a tenth of the epochs, at least 1.
        lambda_u: weight of L_u at its highest.
        kappa: a label is believed when it is clean with a higher probability than this, in (0, 1].
        temperature: T, of sharpening, above 0.
        gamma: both parameters of the Beta distribution that draws how far images are blended, above 0.
        views: M, weak views of each image in a step.
        ramp_epochs: over which the weight of L_u rises from 0 after the warm-up.
        confidence_penalty: whether the warm-up punishes sure predictions, as published for asymmetric noise.
        lr: the highest learning rate.
        **recipe: everything else in `Recipe`: momentum, batch_size, flip and so on.

    Raises:
        InputError: a number outside its range.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), DivideMix(flip=False)
        >>> history = fit(learner, pool, epochs=2, seed=0, device="cpu")
        >>> learner.clean_probability(pool).shape
        (20,)
    """

    device: torch.device
    backbones: Mapping[str, Backbone]

    def __init__(
        self,
        network: str | nn.Module = "small",
        *,
        warmup_epochs: int | None = None,
        lambda_u: float = 1.0,
        kappa: float = 0.5,
        temperature: float = 0.5,
        gamma: float = 4.0,
        views: int = 2,
        ramp_epochs: int = 16,
        confidence_penalty: bool = False,
        lr: float = 0.1,
        **recipe: Any,
    ) -> None:
        if not lambda_u >= 0:
            raise InputError(f"lambda_u should be 0 or more; {lambda_u!r} came.")
        self._recipe = Recipe(network=network, lr=lr, **recipe)
        self._warmup_epochs = None if warmup_epochs is None else check_count("warmup_epochs", warmup_epochs, least=0)
        self._lambda_u = lambda_u
        self._kappa = check_within("kappa", kappa, above=0, most=1)
        self._temperature = check_within("temperature", temperature, above=0)
        self._gamma = check_within("gamma", gamma, above=0)
        self._views = check_count("views", views)
        self._ramp_epochs = check_count("ramp_epochs", ramp_epochs, least=0)
        self._confidence_penalty = confidence_penalty
        self.flip = self._recipe.flip

    def config(self) -> Mapping[str, str | int | float | bool | None]:
        """Everything that it was asked for."""
        return {
            "learner": "dividemix",
            **self._recipe.config(),
            "warmup_epochs": self._warmup_epochs,
            "lambda_u": self._lambda_u,
            "kappa": self._kappa,
            "temperature": self._temperature,
            "gamma": self._gamma,
            "views": self._views,
            "ramp_epochs": self._ramp_epochs,
            "confidence_penalty": self._confidence_penalty,
        }

    def prepare(self, pool: Pool, run: Run) -> None:
        """Build both networks and their optimisers afresh.

        Raises:
            InputError: fewer than two labelled images, or no epoch after the warm-up.
        """
        self._positions = labeled_positions(pool)
        self._engine, self._seed, self._epochs, self.device = run.engine, run.seed, run.epochs, run.device
        self._size = self._recipe.batch_size or max(16, self._recipe.per_step(len(self._positions)) // 2)
        self._warmup = settled_warmup(self._warmup_epochs, run.epochs)
        self.backbones = {name: Backbone(self._recipe, pool, run, name) for name in _PARTNER}
        self._weak = weak(pool.image_shape[:2], flip=self.flip)
        self._clean: dict[str, Tensor] = {}  # network -> (n,) what its partner thinks of each label, in this epoch

    def saved(self) -> Mapping[str, Stateful]:
        """The networks, the pixel statistics and the optimisers."""
        return {**self.backbones["first"].saved("first."), **self.backbones["second"].saved("second.")}

    def begin_epoch(self, pool: Pool, epoch: int) -> Sequence[Draw]:
        """All draws of the first network, then all of the second: the whole part, or what the partner makes of it."""
        if epoch < self._warmup:
            return [draw for name in _PARTNER for draw in self._whole(name, epoch)]
        self._clean = {
            name: torch.from_numpy(self._judge(partner, pool)).float().to(self.device)
            for name, partner in _PARTNER.items()
        }
        return [draw for name in _PARTNER for draw in self._divided(name, epoch)]

    def _judge(self, name: str, pool: Pool) -> NDArray[np.float64]:
        """(n,) how probably each label is right by one network's losses; NaN where there is none."""
        positions = labeled_positions(pool)
        losses = label_losses(self.backbones[name].infer, pool, positions, self.device)
        clean = np.full(len(pool), np.nan)
        clean[positions] = clean_probability(losses, seed=stream_seed(self._seed, "mixture", name))
        told: NDArray[np.float64] = self._engine.told(clean)  # another last bit in one process would draw other steps
        return told

    def _whole(self, name: str, epoch: int) -> list[Draw]:
        """All labelled positions, shuffled."""
        order = generator(self._seed, "order", name, epoch)
        return [{f"{name}.whole": positions} for positions in shuffled(self._positions, self._size, order)]

    def _divided(self, name: str, epoch: int) -> list[Draw]:
        """The believed images, shuffled; beside each batch of them as many of the others, in endless turns."""
        believed = self._clean[name].cpu().numpy()[self._positions] > self._kappa
        labeled, unlabeled = self._positions[believed], self._positions[~believed]
        if len(labeled) < 2:  # the mixture found nothing to start from: better all labels than none
            return self._whole(name, epoch)
        batches = shuffled(labeled, self._size, generator(self._seed, "order", name, epoch))
        if len(unlabeled) == 0:
            return [{f"{name}.labeled": positions} for positions in batches]
        order = generator(self._seed, "unlabeled", name, epoch)
        rest = endless(unlabeled, [min(len(positions), len(unlabeled)) for positions in batches], order)
        return [{f"{name}.labeled": one, f"{name}.unlabeled": two} for one, two in zip(batches, rest, strict=True)]

    def step(self, batch: Batch) -> Outcome:
        """One step of SGD for one network: the one that the parts are named after."""
        name = next(iter(batch.parts)).partition(".")[0]
        parts = {part.partition(".")[2]: value for part, value in batch.parts.items()}
        if "whole" in parts:
            shown, logits, terms = parts["whole"], *self._warm(name, parts["whole"], batch.seed)
        else:
            shown = parts["labeled"]
            logits, terms = self._mixmatch(name, shown, parts.get("unlabeled"), batch)
        self.backbones[name].descend(terms["loss"], batch.progress)
        told = {term: value.detach() for term, value in terms.items()}
        return Outcome(told, shown.positions, logits.detach()) if name == "first" else Outcome(told)

    def _warm(self, name: str, part: Part, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (b, c), and the terms: cross-entropy of one weak view."""
        logits, _ = self.backbones[name].forward(self._weak(part.pixels, stream_seed(seed, "weak")))
        terms = {"cross_entropy": functional.cross_entropy(logits, part.labels)}
        if self._confidence_penalty:
            terms["negative_entropy"] = negative_entropy(logits)
        return logits, {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def _mixmatch(
        self, name: str, labeled: Part, unlabeled: Part | None, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (b, c) of the labelled images' first view, not blended, and the terms."""
        pixels = self._weak(_repeated(labeled.pixels, self._views), stream_seed(batch.seed, "labeled"))  # (M b, ...)
        count = len(pixels)
        if unlabeled is not None:
            more = self._weak(_repeated(unlabeled.pixels, self._views), stream_seed(batch.seed, "unlabeled"))
            pixels = torch.cat([pixels, more])
        with torch.no_grad():
            seen, _ = self.backbones[name].forward(pixels)
            predicted = seen.softmax(dim=1)
            own = self._over_views(predicted[:count])
            soft = [refine(labeled.labels, self._clean[name][labeled.positions], own)]
            if unlabeled is not None:
                theirs, _ = self.backbones[_PARTNER[name]].infer(pixels[count:])
                soft.append(self._over_views((predicted[count:] + theirs.exp()) / 2))
            targets = torch.cat([_repeated(sharpen(part, self._temperature), self._views) for part in soft])
            draws = generator(batch.seed, "mix")
            share = draws.beta(self._gamma, self._gamma)
            order = torch.from_numpy(draws.permutation(len(pixels))).to(self.device)
            share = max(share, 1 - share)
            pixels, targets = mix(pixels, share, order), mix(targets, share, order)
        logits, _ = self.backbones[name].forward(pixels)
        terms = {
            "labeled": soft_cross_entropy(logits[:count], targets[:count]),
            "unlabeled": squared_error(logits[count:], targets[count:])
            if unlabeled is not None
            else logits.new_zeros(()),
            "uniform": uniform_divergence(logits),
        }
        weight = self._lambda_u * self._ramp(batch.progress)
        loss = terms["labeled"] + weight * terms["unlabeled"] + terms["uniform"]
        return seen[: len(labeled.labels)], {"loss": loss, **terms}

    def _over_views(self, probabilities: Tensor) -> Tensor:
        """(M b, c) -> (b, c)."""
        return probabilities.view(self._views, -1, probabilities.shape[1]).mean(dim=0)

    def _ramp(self, progress: float) -> float:
        """The share of `lambda_u` that counts: a straight rise from 0 to 1 after the warm-up."""
        passed = progress * self._epochs - self._warmup
        return min(1.0, passed / self._ramp_epochs) if self._ramp_epochs else 1.0

    def clean_probability(self, pool: Pool) -> NDArray[np.float64]:
        """How probably each label of a pool is right, by what both trained networks think of it.

        Args:
            pool: images with labels, of the classes that it was trained on; at least two with a label.

        Returns:
            (n,) the mean of both networks' probabilities; NaN where there is no label.
        """
        return (self._judge("first", pool) + self._judge("second", pool)) / 2

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log of both networks' mean prediction (b, classes), features (b, d).

        The features are those of both networks side by side, as a model loaded from disk gives them.
        """
        logs, features = zip(*(backbone.infer(pixels) for backbone in self.backbones.values()), strict=True)
        return torch.stack(logs).logsumexp(dim=0) - math.log(len(logs)), torch.cat(features, dim=1)


def settled_warmup(asked: int | None, epochs: int) -> int:
    """How many epochs warm up: what was asked, or a tenth of all, at least 1.

    Raises:
        InputError: no epoch would be left to divide in.

    Example:
        >>> settled_warmup(None, 60), settled_warmup(2, 60)
        (6, 2)
    """
    warmup = max(1, round(epochs / 10)) if asked is None else asked
    if warmup >= epochs:
        raise InputError(
            f"DivideMix warms up for {warmup} of {epochs} epochs, so it would never divide. Ask for more epochs, or "
            "for fewer warmup_epochs."
        )
    return warmup


def endless(positions: Positions, sizes: Sequence[int], order: np.random.Generator) -> list[Positions]:
    """Batches of given sizes, drawn by going through shuffled positions again and again.

    Args:
        positions: (n,) what is drawn from, at least one.
        sizes: of the batches.
        order: what shuffles; every turn has an order of its own.

    Example:
        >>> [batch.tolist() for batch in endless(np.arange(3), [2, 2, 2], np.random.default_rng(0))]
        [[2, 0], [1, 2], [1, 0]]
    """
    turns = -(-sum(sizes) // len(positions))
    drawn = np.concatenate([order.permutation(positions) for _ in range(turns)])[: sum(sizes)]
    return np.split(drawn, np.cumsum(sizes)[:-1])


def _repeated(rows: Tensor, times: int) -> Tensor:
    """(b, ...) -> (times * b, ...), the whole batch again and again."""
    return rows.repeat(times, *[1] * (rows.ndim - 1))
