"""What is measured of a trained learner of chapter 3: accuracy, boxes, response to OOD images, the known bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from chapter3_data import OODS, Task

from goodgrain.learn import predict
from goodgrain.learn.attack import adversarial_accuracy, logits_of
from goodgrain.learn.detect import purity
from goodgrain.learn.localize import cam_boxes, predict_boxes
from goodgrain.metrics import accuracy, gt_known_loc, mean_iou, ood_metrics
from goodgrain.scores.features import activation, between_classes

if TYPE_CHECKING:
    from chapter3 import Cell

ATTACKED = 500  # test images that are attacked
MEASURED_OOD = 1000


def facts_of(cell: Cell, learner: Any, task: Task) -> dict[str, Any]:
    """What is measured of a trained learner."""
    probabilities, features = predict(learner, task.test)
    facts: dict[str, Any] = {"activation": activation(features)}
    if cell.learner in ("l1", "l1_iou", "d_iou"):
        facts["mean_iou"] = mean_iou(predict_boxes(learner, task.test), task.test.boxes)
    else:
        predicted = probabilities.argmax(axis=1)
        facts["accuracy"] = accuracy(predicted, task.test.labels)
        facts["class_cosine"] = between_classes(features, task.test.labels)
        if cell.target in ("birds", "vehicles"):
            facts["gt_known_loc"] = gt_known_loc(cam_boxes(learner, task.test), task.test.boxes)
        if task.bias is not None:
            facts |= bias_facts(predicted, features, task)
    facts["ood"] = {name: ood_facts(cell, learner, task, name) for name in watched(cell)}
    if cell.learner == "adversarial":
        part = task.test.subset(np.arange(ATTACKED))
        facts["adversarial"] = adversarial_accuracy(logits_of(learner), part, steps=100, seed=0, device=learner.device)
    return facts


def bias_facts(predicted: np.ndarray, features: np.ndarray, task: Task) -> dict[str, float]:
    """How far a model follows the photograph: the undesirable feature is known here, and measured directly."""
    from sklearn.linear_model import RidgeClassifier

    labels, bias = task.test.labels, task.bias
    assert bias is not None
    apart = bias != labels
    half = len(features) // 2
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    probe = RidgeClassifier(alpha=1e-3).fit(unit[:half], bias[:half])
    return {
        "aligned": float((predicted == labels)[~apart].mean()),
        "conflicting": float((predicted == labels)[apart].mean()),
        "follows_photograph": float((predicted == bias)[apart].mean()),
        "photograph_readable": float((probe.predict(unit[half:]) == bias[half:]).mean()),
    }


def watched(cell: Cell) -> tuple[str, ...]:
    """The OOD images that a cell is measured on: its own, and where others are trained with them, those as well."""
    return ("svhn", "tiny-imagenet") if cell.target.startswith("cifar10") else (cell.ood,)


def ood_facts(cell: Cell, learner: Any, task: Task, name: str) -> dict[str, float]:
    """The response to OOD images that training did not see, and how well they are told apart."""
    strangers = task.strangers if name == cell.ood else OODS[name]().subset(np.arange(MEASURED_OOD))
    facts = {"activation": activation(predict(learner, strangers)[1])}
    if cell.learner not in ("l1", "l1_iou", "d_iou"):
        for detector in ("msp", "energy"):
            found = ood_metrics(purity(learner, task.test, detector), purity(learner, strangers, detector))
            facts |= {f"{detector}_{key}": value for key, value in found.items()}
    return facts
