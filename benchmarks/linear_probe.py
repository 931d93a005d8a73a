"""A head fitted on features that stay as they are: how SimCLR's are judged in table 3.8."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from goodgrain.data.pool import Pool
from goodgrain.learn import SimCLR, predict

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
HELD_BACK = 5  # every fifth labelled image chooses the strength


class LinearProbe:
    """What SimCLR has learned, with a logistic regression as the network's head.

    Args:
        learner: trained without labels; its head is overwritten.
        pool: its images with a label, every class among them, are what the head is fitted on.
    """

    def __init__(self, learner: SimCLR, pool: Pool) -> None:
        labelled = pool.subset(np.flatnonzero(pool.labels >= 0))
        x, y = predict(learner, labelled)[1], labelled.labels
        held = np.arange(len(y)) % HELD_BACK == 0
        scores = [_fitted(strength, x[~held], y[~held]).score(x[held], y[held]) for strength in STRENGTHS]
        scaler, regression = _fitted(STRENGTHS[int(np.argmax(scores))], x, y)
        weight = regression.coef_ / scaler.scale_
        head = learner.network.head
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(regression.intercept_ - weight @ scaler.mean_))
        self._backbone, self.device, self.flip = learner.backbone, learner.device, learner.flip
        self.network, self.normalize = learner.network, learner.backbone.normalize

    def infer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (b, c, h, w) in [0, 1] -> log-probabilities (b, classes), features (b, d)."""
        return self._backbone.infer(pixels)


def _fitted(strength: float, x: np.ndarray, y: np.ndarray) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(x, y)
