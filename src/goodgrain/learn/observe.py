"""From a model and a pool to Observations: what the model makes of each image, plain and strongly changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from goodgrain.checks import Positions, check_positions
from goodgrain.data.pool import Pool
from goodgrain.data.views import strong as strong_view
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.learner import Predictor
from goodgrain.learn.loop import History
from goodgrain.learn.streams import stream_seed
from goodgrain.observations import Observations

_BATCH = 512


def predict(
    learner: Predictor, pool: Pool, positions: ArrayLike | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ask a trained model about images as they are.

    Args:
        learner: what was trained.
        pool: where the images are.
        positions: (m,) which ones; None for all.

    Returns:
        probabilities (m, c) and features (m, d).

    Raises:
        InputError: positions that the pool does not have, or none at all.

    Example:
        >>> from goodgrain.learn import Standard, fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), Standard()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> probabilities, features = predict(learner, pool)
        >>> probabilities.shape, features.shape
        ((20, 2), (20, 96))
    """
    rows = np.arange(len(pool)) if positions is None else check_positions(positions, n=len(pool))
    if len(rows) == 0:
        raise InputError("there is no image to predict. Give at least one position.")
    log_probabilities, features = _infer(learner, pool, rows)
    return np.exp(log_probabilities), features


def observe(
    learner: Predictor,
    pool: Pool,
    *,
    seed: int,
    views: int = 1,
    strong: bool = True,
    history: History | None = None,
) -> Observations:
    """Ask a trained model about every image of a pool: what selections need to know.

    Args:
        learner: what was trained.
        pool: the images to observe.
        seed: draws the strong views.
        views: how many strong views are averaged; the paper uses 1.
        strong: whether strong views are asked for at all.
        history: what `fit` returned for this pool; adds `correct` and `margin`.

    Returns:
        probabilities, features and, with `strong`, their strong counterparts. Where every image has a class label,
        also labels, losses (cross-entropy of the given label), and the history.

    Raises:
        InputError: no views, or the history of another pool or of a training that left labelled images out.

    Example:
        >>> from goodgrain.learn import Standard, fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), Standard()
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> observe(learner, pool, seed=0, strong=False).columns
        ('ids', 'labels', 'probabilities', 'features', 'losses')
    """
    if views < 1:
        raise InputError(f"views should be 1 or more; {views} came.")
    labeled = bool((pool.labels >= 0).all())
    if history is not None:
        _check_history(history, pool, labeled)
    rows = np.arange(len(pool))
    log_probabilities, features = _infer(learner, pool, rows)
    columns: dict[str, NDArray[Any]] = {"probabilities": np.exp(log_probabilities), "features": features}
    if strong:
        columns["strong_probabilities"], columns["strong_features"] = _strong(learner, pool, seed, views)
    knows_classes = log_probabilities.shape[1] > 0
    if not knows_classes:
        columns = {name: values for name, values in columns.items() if not name.endswith("probabilities")}
    if labeled:
        columns["labels"] = pool.labels
        if knows_classes:
            columns["losses"] = -log_probabilities[rows, pool.labels]
        if history is not None:
            columns |= {"correct": history.correct, "margin": history.margin}
    return Observations(ids=pool.ids, **columns)


def _strong(learner: Predictor, pool: Pool, seed: int, views: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean probabilities (n, c) and mean features (n, d) over strong views."""
    rows = np.arange(len(pool))
    log_probabilities, features = _infer(learner, pool, rows, seed=stream_seed(seed, "strong", 0))
    probabilities = np.exp(log_probabilities)
    for view in range(1, views):
        log_probabilities, more = _infer(learner, pool, rows, seed=stream_seed(seed, "strong", view))
        probabilities += np.exp(log_probabilities)
        features += more
    probabilities /= views
    features /= views
    return probabilities, features


def _infer(
    learner: Predictor, pool: Pool, rows: Positions, *, seed: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-probabilities (m, c) and features (m, d), of the plain view or, with a seed, of one strong view."""
    answers = [learner.infer(pixels) for pixels in _pixels(learner, pool, rows, seed)]
    log_probabilities, features = (torch.cat(part).float().cpu().numpy() for part in zip(*answers, strict=True))
    return log_probabilities, features


def _pixels(learner: Predictor, pool: Pool, rows: Positions, seed: int | None) -> Iterator[Tensor]:
    view = strong_view((pool.image_shape[0], pool.image_shape[1]), flip=learner.flip)
    for start in range(0, len(rows), _BATCH):
        pixels = to_pixels(pool.images(rows[start : start + _BATCH]), learner.device)
        yield pixels if seed is None else view(pixels, stream_seed(seed, start))


def _check_history(history: History, pool: Pool, labeled: bool) -> None:
    if history.correct.shape[1] != len(pool):
        raise InputError(f"the history is of {history.correct.shape[1]} images, the pool has {len(pool)}.")
    if labeled and np.isnan(history.margin).any():
        raise InputError("the history has epochs that did not show every image. Observe without it.")
