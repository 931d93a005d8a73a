"""Where trained models see the objects of a pool: boxes that were learned, and boxes around what a classifier sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, to_pixels
from goodgrain.errors import InputError
from goodgrain.metrics.localization import box_around
from goodgrain.models import Split, class_activation_maps

_BATCH = 128


class Boxer(Protocol):
    """A model that tells boxes, such as a trained `BoxRegression`."""

    @property
    def device(self) -> torch.device:
        """Where pixels should be."""

    def boxes(self, pixels: Tensor) -> Tensor:
        """Pixels (b, c, h, w) in [0, 1] -> (b, 4), in evaluation mode, without gradient."""


class Classifier(Protocol):
    """A model with one network that classifies, such as a trained `Standard`."""

    @property
    def device(self) -> torch.device:
        """Where pixels should be."""

    @property
    def network(self) -> Split:
        """Normalised pixels -> logits and features."""

    @property
    def normalize(self) -> Normalize:
        """The pixel statistics that the network expects."""


def predict_boxes(learner: Boxer, pool: Pool) -> NDArray[np.float32]:
    """The box that a trained regressor sees in each image of a pool.

    Args:
        learner: what was trained.
        pool: n images as they are.

    Returns:
        (n, 4) left, top, right, bottom as shares of width and height; a box may be empty, and its IoU is then 0.

    Example:
        >>> from dataclasses import replace
        >>> from goodgrain.learn import fit
        >>> from goodgrain.learn.learners.boxes import BoxRegression
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> boxes = np.tile([0.25, 0.25, 0.75, 1.0], (20, 1))
        >>> pool, learner = replace(Pool.from_arrays(images, np.zeros(20, int)), boxes=boxes), BoxRegression()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> predict_boxes(learner, pool).shape
        (20, 4)
    """
    return _in_batches(lambda pixels, _: learner.boxes(pixels).float().cpu().numpy(), learner.device, pool)


def cam_boxes(learner: Classifier, pool: Pool, *, share: float = 0.2) -> NDArray[np.float32]:
    """The box around what a trained classifier sees of each image's own class: GT-known localisation (section 3.3.3).

    Args:
        learner: what was trained on class labels alone.
        pool: n images, each with its given class label, which says whose activation map is asked for.
        share: as in `goodgrain.metrics.box_around`.

    Returns:
        (n, 4) left, top, right, bottom as shares of width and height.

    Raises:
        InputError: an image without a class label, a class that the network does not know, a share outside [0, 1), or
            a network without maps, as in `goodgrain.models.last_maps`.

    Example:
        >>> from goodgrain.learn import Standard, fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), Standard()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> cam_boxes(learner, pool).shape
        (20, 4)
    """
    without = np.flatnonzero(pool.labels < 0)
    if len(without):
        raise InputError(
            f"activation maps are of each image's own class; {len(without)} of {len(pool)} images have none, "
            f"the first is {str(pool.ids[without[0]])!r}. Take the subset of those with a label."
        )

    def around(pixels: Tensor, labels: Tensor) -> NDArray[np.float32]:
        learner.network.eval()
        with torch.no_grad():
            maps = class_activation_maps(learner.network, learner.normalize(pixels), labels)
        return np.array([box_around(cam, share=share) for cam in maps.float().cpu().numpy()], dtype=np.float32)

    return _in_batches(around, learner.device, pool)


def _in_batches(
    boxes: Callable[[Tensor, Tensor], NDArray[np.float32]], device: torch.device, pool: Pool
) -> NDArray[np.float32]:
    """Pixels (b, c, h, w) and labels (b,) -> (b, 4), over the whole pool."""
    found = []
    for start in range(0, len(pool), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(pool)))
        labels = torch.from_numpy(pool.labels[rows]).to(device)
        found.append(boxes(to_pixels(pool.images(rows), device), labels))
    return np.concatenate(found)
