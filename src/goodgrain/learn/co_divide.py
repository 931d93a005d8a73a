"""Which labels to believe: a mixture of two Gaussians over what the labels cost a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels

_BATCH = 512


def label_losses(
    infer: Callable[[Tensor], tuple[Tensor, Tensor]], pool: Pool, positions: Positions, device: torch.device
) -> NDArray[np.float64]:
    """What each given label costs a network: cross-entropy on the image as it is, a block of images at a time.

    Args:
        infer: of a predictor (`goodgrain.learn.learner.Predictor`).
        pool: images and labels.
        positions: (m,) which of them; each has a class label.
        device: where the network is.

    Returns:
        (m,) losses, 0 or more.
    """
    blocks = []
    for start in range(0, len(positions), _BATCH):
        rows = positions[start : start + _BATCH]
        log_probabilities, _ = infer(to_pixels(pool.images(rows), device))
        labels = torch.from_numpy(pool.labels[rows]).to(device)
        blocks.append(-log_probabilities.gather(1, labels[:, None])[:, 0])
    return torch.cat(blocks).double().cpu().numpy()


def clean_probability(losses: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """The probability that each label is right, from the losses of all.

    Two Gaussians are fitted to the losses, scaled to [0, 1]; a label is right as far as its loss belongs to the one
    with the lower mean (Li, Socher & Hoi 2020, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning").

    Args:
        losses: (n,) one per label, n at least 2.
        seed: of the fit's start.

    Returns:
        (n,) in [0, 1]; all 1 where all losses are equal, since nothing then speaks against any label.

    Example:
        >>> clean_probability(np.array([0.1, 0.2, 0.1, 2.0, 2.1]), seed=0).round().tolist()
        [1.0, 1.0, 1.0, 0.0, 0.0]
    """
    low, high = losses.min(), losses.max()
    if low == high:
        return np.ones(len(losses))
    scaled = ((losses - low) / (high - low))[:, None]  # (n, 1)
    mixture: Any = GaussianMixture(n_components=2, reg_covar=5e-4, tol=1e-2, max_iter=10, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the published number, done or not
        mixture.fit(scaled)
    posterior: NDArray[np.float64] = mixture.predict_proba(scaled)  # (n, 2)
    return posterior[:, mixture.means_[:, 0].argmin()]
