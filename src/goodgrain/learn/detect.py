"""Which images a trained model takes for its own: purity scores that need the model itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.checks import Positions, lookup
from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.models import Split
from goodgrain.scores import purity as scores
from goodgrain.scores.quantiles import StreamedQuantile

Floats = NDArray[np.float64]

CLIP = 0.9  # of ReAct: the quantile of the target's features above which they are cut off
NUDGE = 0.0014  # of ODIN, in pixels of [0, 1]
NEIGHBORS = 50
_BATCH = 256


def purity(model: Any, pool: Pool, method: str, *, reference: Pool | None = None) -> Floats:
    """How far a trained model takes each image for one of its own kind.

    Args:
        model: a learner with one network and its pixel statistics (`network`, `normalize`), such as `Standard`.
        pool: n images.
        method: a key of DETECTORS: "msp", "max_logit", "energy", "react", "odin", "mahalanobis" or "knn".
        reference: images that the model was trained on, for "react", "mahalanobis" (labelled) and "knn".

    Returns:
        (n,) higher = more in-distribution.

    Raises:
        UnknownName: no such method.
        InputError: a model without one network, or no reference where one is needed.

    Example:
        >>> from goodgrain.learn import Standard, fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), Standard(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> purity(learner, pool, "react", reference=pool).shape
        (20,)
    """
    score = lookup("purity score", DETECTORS, method)
    asked = _Asked(model)
    if score in _WITH_REFERENCE and reference is None:
        raise InputError(f"{method} compares with the images that the model was trained on. Give them as reference.")
    return score(asked, pool, reference)


class Detector(Protocol):
    """A detector of another library, such as those of pytorch-ood: higher = more OOD."""

    def predict(self, x: Tensor, /) -> Tensor:
        """Images (b, c, h, w), as its own model takes them -> (b,)."""


def foreign_purity(detector: Detector, pool: Pool, *, normalize: Callable[[Tensor], Tensor] | None = None) -> Floats:
    """The purity that a detector of another library sees, such as one of pytorch-ood: minus its outlier score.

    Args:
        detector: already fitted, on the CPU.
        pool: n images.
        normalize: pixels (b, c, h, w) in [0, 1] -> what the detector's model takes; None for the pixels as they are.

    Returns:
        (n,) higher = more in-distribution.

    Raises:
        InputError: the detector does not give one finite number per image.

    Example:
        >>> class Darkness:
        ...     def predict(self, x):
        ...         return -x.mean(dim=(1, 2, 3))
        >>> images = np.stack([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)])
        >>> foreign_purity(Darkness(), Pool.from_arrays(images, [0, 0]))
        array([0., 1.])
    """
    found = []
    for rows in _blocks(len(pool)):
        pixels = to_pixels(pool.images(rows), "cpu")
        with torch.no_grad():
            answer = detector.predict(pixels if normalize is None else normalize(pixels))
        values = np.asarray(torch.as_tensor(answer).float().cpu(), dtype=np.float64)
        if values.shape != (len(rows),) or not np.isfinite(values).all():
            raise InputError(
                f"{type(detector).__name__} should give one finite number per image; for {len(rows)} images it gave "
                f"an array of shape {values.shape}."
            )
        found.append(-values)
    return np.concatenate(found) + 0.0  # no -0.0


class _Asked:
    """A network in evaluation mode, asked in batches."""

    def __init__(self, model: Any) -> None:
        network, normalize = getattr(model, "network", None), getattr(model, "normalize", None)
        if not isinstance(network, Split) or not isinstance(normalize, nn.Module):
            raise InputError(
                f"purity asks one network for its logits; {type(model).__name__} has none, or several. "
                "Use a learner such as Standard."
            )
        self.network, self.normalize = network, normalize
        self.device = next(network.parameters()).device
        network.eval()

    def batches(self, pool: Pool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Pixels, logits (b, c) and features (b, d)."""
        for rows in _blocks(len(pool)):
            pixels = to_pixels(pool.images(rows), self.device)
            with torch.no_grad():
                logits, features = self.network(self.normalize(pixels))
            yield pixels, logits.float(), features.float()

    def logits(self, pool: Pool) -> NDArray[np.float32]:
        """(n, c)."""
        return np.concatenate([logits.cpu().numpy() for _, logits, _ in self.batches(pool)])

    def features(self, pool: Pool) -> NDArray[np.float32]:
        """(n, d)."""
        return np.concatenate([features.cpu().numpy() for *_, features in self.batches(pool)])


def _msp(asked: _Asked, pool: Pool, _: Pool | None) -> Floats:
    return scores.odin(asked.logits(pool), temperature=1.0)


def _max_logit(asked: _Asked, pool: Pool, _: Pool | None) -> Floats:
    return scores.max_logit(asked.logits(pool))


def _energy(asked: _Asked, pool: Pool, _: Pool | None) -> Floats:
    return scores.energy(asked.logits(pool))


def _react(asked: _Asked, pool: Pool, reference: Pool | None) -> Floats:
    assert reference is not None
    head = asked.network.head
    if not isinstance(head, nn.Linear):
        raise InputError(f"react needs a linear head; this network's is {type(head).__name__}.")
    clip = StreamedQuantile(CLIP, len(reference) * head.in_features)
    for *_, features in asked.batches(reference):
        clip.add(features.cpu().numpy())
    weight = head.weight.detach().cpu().numpy()
    bias = np.zeros(len(weight)) if head.bias is None else head.bias.detach().cpu().numpy()
    return scores.react(asked.features(pool), weight, bias, clip=clip.value())


def _odin(asked: _Asked, pool: Pool, _: Pool | None) -> Floats:
    """Each image is first moved a little to where its own prediction, at the high temperature, is surer."""
    temperature, found = 1000.0, []
    for pixels, _logits, _features in asked.batches(pool):
        moved = pixels.clone().requires_grad_()
        logits = asked.network(asked.normalize(moved))[0].float() / temperature
        loss = functional.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        with torch.no_grad():
            again = asked.network(asked.normalize(pixels - NUDGE * gradient.sign()))[0]
        found.append(scores.odin(again.float().cpu().numpy(), temperature=temperature))
    return np.concatenate(found)


def _mahalanobis(asked: _Asked, pool: Pool, reference: Pool | None) -> Floats:
    assert reference is not None
    labeled = reference.subset(np.flatnonzero(reference.labels >= 0))
    return scores.mahalanobis(asked.features(pool), asked.features(labeled), labeled.labels)


def _knn(asked: _Asked, pool: Pool, reference: Pool | None) -> Floats:
    assert reference is not None
    return scores.knn(asked.features(pool), asked.features(reference), k=min(NEIGHBORS, len(reference)))


DETECTORS: dict[str, Callable[[_Asked, Pool, Pool | None], Floats]] = {
    "msp": _msp,
    "max_logit": _max_logit,
    "energy": _energy,
    "react": _react,
    "odin": _odin,
    "mahalanobis": _mahalanobis,
    "knn": _knn,
}
"""Name -> the score of a pool's images, given the model and, where it is needed, its training images."""

_WITH_REFERENCE = (_react, _mahalanobis, _knn)


def _blocks(n: int) -> list[Positions]:
    return [np.arange(start, min(start + _BATCH, n)) for start in range(0, n, _BATCH)]
