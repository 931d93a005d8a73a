"""Asking contrastive learners about a pool: which images are of a known kind (CSI), and what they would add (CCAL)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goodgrain.checks import Floats, lookup
from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.learners.contrastive import SimCLR
from goodgrain.learn.learners.csi import CSI, ROTATIONS
from goodgrain.scores import contrast
from goodgrain.scores.purity import nearest_in

Scores = NDArray[np.float64]

_BATCH = 128  # images at a time, each in four rotations


def csi_purity(learner: CSI, pool: Pool, reference: Pool, *, score: str = "csi") -> Scores:
    """How far each image is of the kind of the reference, as a trained CSI learner sees it.

    Images are asked about as they are, in four rotations and without random views, so that the answer is always the
    same. An image that is also in the reference is its own nearest one.

    Args:
        learner: trained, as a rule on the whole pool: no clean images are at hand.
        pool: n images.
        reference: images that count as in-distribution: those that are labelled so far, or a clean set.
        score: "csi" (`goodgrain.scores.csi`, the original), or "cosine": the largest cosine to the reference
            (`goodgrain.scores.nearest_in`), the mean over the rotations. The original also goes by the lengths of
            features and by how surely rotations are told, which both tell what was trained on from what was not: after
            a training on the whole pool, all of it was. There "cosine" was far better wherever it was measured.

    Returns:
        (n,) higher = more in-distribution.

    Raises:
        InputError: a learner that was not trained, or images of another shape than it was trained on.
        UnknownName: no such score.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> pool, learner = Pool.from_arrays(images, np.arange(20) % 2), CSI(flip=False)
        >>> history = fit(learner, pool, epochs=1, seed=0, device="cpu")
        >>> csi_purity(learner, pool, pool.subset([0, 2, 4])).shape
        (20,)
    """
    compare = lookup("CSI score", _COMPARISONS, score)
    return compare(*rotations_of(learner, pool), *rotations_of(learner, reference))


def _original(x: Floats, logits: Floats, reference: Floats, reference_logits: Floats) -> Scores:
    return contrast.csi(x, reference, logits, reference_logits)


def _cosine(x: Floats, _: Floats, reference: Floats, __: Floats) -> Scores:
    """Of projections (n, 4, e) and (m, 4, e)."""
    cosines: Scores = np.mean([nearest_in(x[:, turn], reference[:, turn]) for turn in range(ROTATIONS)], axis=0)
    return cosines


_COMPARISONS: Mapping[str, Callable[[Floats, Floats, Floats, Floats], Scores]] = {"csi": _original, "cosine": _cosine}


def ccal_scores(learner: CSI, pool: Pool, labeled: Pool, *, semantic: SimCLR | None = None) -> Scores:
    """How far each image is of a known kind and new within its class, as CCAL scores it (`goodgrain.scores.ccal`).

    Args:
        learner: trained, for the distinctive part: the original trains it to tell rotations apart.
        pool: n images that may be asked for, without the labelled ones.
        labeled: images with class labels; any others in it are left out.
        semantic: a second learner, for the semantic part: the original trains a SimCLR. None for the upright images as
            `learner` sees them: half the training.

    Returns:
        (n,) between -1 and 2.

    Raises:
        InputError: a learner that was not trained, images of another shape, or none with a class label.

    Example:
        >>> from goodgrain.learn import fit
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
        >>> whole, learner = Pool.from_arrays(images, np.arange(20) % 2), CSI(flip=False)
        >>> history = fit(learner, whole, epochs=1, seed=0, device="cpu")
        >>> ccal_scores(learner, whole.subset(np.arange(10, 20)), whole.subset(np.arange(10))).shape
        (10,)
    """
    classified = np.flatnonzero(labeled.labels >= 0)
    if len(classified) == 0:
        raise InputError(f"CCAL compares with labelled images; none of the {len(labeled)} has a class label.")
    known = labeled.subset(classified)
    shifted, _ = rotations_of(learner, pool)
    known_shifted, _ = rotations_of(learner, known)
    upright, known_upright = shifted[:, 0], known_shifted[:, 0]
    if semantic is not None:
        upright, known_upright = projections_of(semantic, pool), projections_of(semantic, known)
    return contrast.ccal(upright, known_upright, known.labels, shifted=shifted, labeled_shifted=known_shifted)


def rotations_of(learner: CSI, pool: Pool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a trained CSI learner makes of each image in four rotations.

    Args:
        learner: trained.
        pool: n images.

    Returns:
        projections (n, 4, e), and (n, 4) the logit of each rotation for the image under it.

    Raises:
        InputError: a learner that was not trained, or images of another shape than it was trained on.
    """
    _trained(learner)
    if pool.image_shape != learner.image_shape:
        raise InputError(
            f"the learner was trained on images of shape {learner.image_shape} (height, width, channels); "
            f"{pool.image_shape} came. Read the images with image_size={learner.image_shape[:2]}."
        )
    projections, logits = zip(*(learner.contrast(pixels) for pixels in _batches(learner, pool)), strict=True)
    return torch.cat(projections).cpu().numpy(), torch.cat(logits).cpu().numpy()


def projections_of(learner: SimCLR, pool: Pool) -> NDArray[np.float32]:
    """Where a trained contrastive learner puts each image, as it is.

    Args:
        learner: trained.
        pool: n images.

    Returns:
        (n, e); their cosines are what the learner was trained on.

    Raises:
        InputError: a learner that was not trained.
    """
    _trained(learner)
    with torch.no_grad():
        return (
            torch.cat([learner.projection(learner.infer(pixels)[1]) for pixels in _batches(learner, pool)])
            .cpu()
            .numpy()
        )


def _trained(learner: SimCLR) -> None:
    if not hasattr(learner, "projection"):
        raise InputError(
            f"this {type(learner).__name__} has not been trained. Train it with goodgrain.learn.fit first."
        )


def _batches(learner: SimCLR, pool: Pool) -> Iterator[Tensor]:
    for start in range(0, len(pool), _BATCH):
        yield to_pixels(pool.images(np.arange(start, min(start + _BATCH, len(pool)))), learner.device)
