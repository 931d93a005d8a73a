"""What the answers train: a network from scratch, or a head on what an encoder sees."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from goodgrain.annotate.answers import OOD as OOD_ANSWER
from goodgrain.checks import Positions
from goodgrain.data.pool import OOD, Pool
from goodgrain.learn import LossPrediction, Standard, fit, predict, predicted_losses
from goodgrain.learn.detect import purity
from goodgrain.learn.learners.backbone import adapted_batch_size
from goodgrain.learn.learners.calibration import STANDARD, Calibration
from goodgrain.learn.model_file import HEAD_FORMAT, save_model
from goodgrain.learn.streams import stream_seed
from goodgrain.metrics import accuracy
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_space import Floats, Scores, Space
from goodgrain.pipelines.monitor import Monitor
from goodgrain.scores import energy, msp


class Target(Protocol):
    """What the answers train, round by round, always from the beginning."""

    def train(self, labels: Positions, number: int, checkpoint: Path) -> None:
        """Train on (n,) classes, OOD or UNLABELED, for the round of this number."""

    def columns(self) -> dict[str, NDArray[Any]]:
        """What a `Standing` needs to know of the pool: probabilities (n, c), features (n, d), predicted_losses (n,)."""

    def purity(self, name: str) -> Scores:
        """(n,) purity by what the target itself makes of the images."""

    def accuracy(self) -> float | None:
        """On the test images; None without any."""

    def save(self, path: Path) -> None:
        """Write it as safetensors."""


class NetworkTarget:
    """A network, trained from scratch for a fixed number of steps (section 4.4.1).

    Args:
        pool: n images; their own labels are not looked at.
        test: images with class labels, or None.
        classes: c names.
        asked: the configuration.
        device: for the training.
        watch: told of the progress.
    """

    def __init__(
        self, pool: Pool, test: Pool | None, classes: tuple[str, ...], asked: LabelConfig, device: str, watch: Monitor
    ) -> None:
        self._pool, self._test, self._classes = pool, test, classes
        self._asked, self._device, self._watch = asked, device, watch

    def train(self, labels: Positions, number: int, checkpoint: Path) -> None:
        """Train from scratch; what answers "none of these" are used for is the configuration's."""
        asked, names = self._asked, self._classes
        strange = bool((labels == OOD).any())
        if asked.ood_answers == "class" and strange:
            labels, names = np.where(labels == OOD, len(names), labels), (*names, OOD_ANSWER)
        self._labeled = self._pool.with_labels(labels, classes=names)
        taufe = asked.ood_answers == "taufe" and strange
        options = {"network": asked.model, "batch_size": asked.batch_size, "lr": asked.lr, "flip": asked.flip}
        recipe = {name: value for name, value in options.items() if value is not None}
        make: Any = LossPrediction if asked.predicts_losses else Standard
        self._learner = make(ood=Calibration(method="taufe") if taufe else STANDARD, **recipe)
        count = int((labels >= 0).sum())
        size = asked.batch_size or adapted_batch_size(count)
        epochs = math.ceil(asked.steps / math.ceil(count / size))
        fit(
            self._learner,
            self._labeled,
            epochs=epochs,
            seed=stream_seed(asked.seed, "target", number),
            checkpoint=checkpoint,
            progress=self._watch.training(f"training on {count:,} labelled images", epochs),
            device=self._device,
            precision=asked.precision,
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Probabilities of the c classes, features, and predicted losses where the network learned to."""
        probabilities, features = predict(self._learner, self._labeled)
        columns: dict[str, NDArray[Any]] = {"probabilities": self._own(probabilities), "features": features}
        if self._asked.predicts_losses:
            columns["predicted_losses"] = predicted_losses(self._learner, self._labeled)
        return columns

    def _own(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Among the c classes alone, where one more was trained."""
        own = probabilities[:, : len(self._classes)]
        if own.shape[1] == probabilities.shape[1]:
            return own
        summed = own.sum(axis=1, keepdims=True)
        return np.where(summed > 0, own / np.where(summed > 0, summed, 1), np.float32(1 / own.shape[1]))

    def purity(self, name: str) -> Scores:
        """A key of `goodgrain.learn.detect.DETECTORS`; what it compares with are the images with a class."""
        known = self._labeled.subset(
            np.flatnonzero((self._labeled.labels >= 0) & (self._labeled.labels < len(self._classes)))
        )
        return purity(self._learner, self._labeled, name, reference=known)

    def accuracy(self) -> float | None:
        """On the test images, among the c classes."""
        if self._test is None:
            return None
        return accuracy(self._own(predict(self._learner, self._test)[0]).argmax(axis=1), self._test.labels)

    def save(self, path: Path) -> None:
        """For `goodgrain.load`."""
        save_model(path, self._learner, self._labeled)


_STRENGTH = 0.1  # of the head; on self-supervised features better than 1 from 100 to 1,000 answers


class HeadTarget:
    """A logistic regression on features that stay as they are.

    Args:
        space: of the pool.
        test: of the test images, and their labels; or None.
        classes: c names.
        asked: the configuration.
    """

    def __init__(
        self, space: Space, test: tuple[Space, Positions] | None, classes: tuple[str, ...], asked: LabelConfig
    ) -> None:
        scaler = StandardScaler().fit(space.features)
        self._scale: Mapping[str, Floats] = {"mean": scaler.mean_, "scale": scaler.scale_}
        self._features = scaler.transform(space.features).astype(np.float32)
        self._test = None if test is None else (scaler.transform(test[0].features).astype(np.float32), test[1])
        self._classes, self._asked = classes, asked

    def train(self, labels: Positions, number: int, checkpoint: Path) -> None:  # noqa: ARG002  (the protocol's form)
        """Fit on the images with a class, and on OOD as one more class where that is asked."""
        if self._asked.ood_answers == "class":
            labels = np.where(labels == OOD, len(self._classes), labels)
        rows = np.flatnonzero(labels >= 0)
        with threadpool_limits(1):  # the same bits on any number of cores
            fitted = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(self._features[rows], labels[rows])
        weight, bias = fitted.coef_, fitted.intercept_
        if len(weight) == 1:  # two classes share one row
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        own = fitted.classes_ < len(self._classes)
        self._weight = np.zeros((len(self._classes), self._features.shape[1]))
        self._bias = np.full(len(self._classes), -np.inf)  # of a class that nobody has named yet
        self._weight[fitted.classes_[own]], self._bias[fitted.classes_[own]] = weight[own], bias[own]

    def _logits(self, features: NDArray[np.float32]) -> Scores:
        logits: Scores = features @ self._weight.T + self._bias
        return logits

    def columns(self) -> dict[str, NDArray[Any]]:
        """Probabilities, and the features on one scale."""
        return {"probabilities": np.exp(log_softmax(self._logits(self._features), axis=1)), "features": self._features}

    def purity(self, name: str) -> Scores:
        """By the largest probability ("msp") or by "energy"."""
        logits = self._logits(self._features)
        if name == "msp":
            return msp(np.exp(log_softmax(logits, axis=1)))
        return energy(logits[:, np.isfinite(self._bias)])

    def accuracy(self) -> float | None:
        """On the test images."""
        if self._test is None:
            return None
        return accuracy(self._logits(self._test[0]).argmax(axis=1), self._test[1])

    def save(self, path: Path) -> None:
        """Weight (c, d) and bias (c,) on scaled features, the scale, and the classes."""
        about = json.dumps({"format": HEAD_FORMAT, "classes": self._classes})
        save_file({"weight": self._weight, "bias": self._bias, **self._scale}, path, {"goodgrain": about})
