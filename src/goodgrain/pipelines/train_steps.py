"""The steps of a training run: train each method, and measure what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import GoodgrainError, InputError
from goodgrain.learn import fit, predict
from goodgrain.learn.attack import adversarial_accuracy, logits_of
from goodgrain.learn.detect import purity
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Run
from goodgrain.learn.localize import cam_boxes, predict_boxes
from goodgrain.learn.loop import History
from goodgrain.learn.model_file import save_model
from goodgrain.learn.published_ood import make_calibrated
from goodgrain.learn.streams import generator, stream_seed
from goodgrain.metrics import accuracy, gt_known_loc, mean_iou, ood_metrics
from goodgrain.models import last_maps
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.train_config import TrainConfig
from goodgrain.pipelines.train_inputs import Images
from goodgrain.run import RunFolder
from goodgrain.scores.features import activation, between_classes

DETECTORS = ("msp", "energy")
_DIVERGED = 1e12  # of a feature: its square is still a float32
_ATTACKED = 500  # test images at most that adversarial accuracy is measured on


@dataclass(frozen=True, eq=False)
class Trained:
    """One training and what it came to.

    Args:
        method: "standard", "taufe" or "oat".
        repeat: from 0.
        learner: holding its networks.
        history: what training saw.
        facts: name -> number.
        features: (m, d) of the test images, or of the target's where there is no test set.
        strange: (k, d) of the OOD images that were kept back.
        boxes: (m, 4) predicted for the test images, where the task has boxes.
    """

    method: str
    repeat: int
    learner: Any
    history: History
    facts: Mapping[str, float]
    features: NDArray[np.float32]
    strange: NDArray[np.float32] | None
    boxes: NDArray[np.float32] | None


def train_all(run: RunFolder, images: Images, asked: TrainConfig, device: str, watch: Monitor) -> list[Trained]:
    """Each method, for each repeat; the last epoch counts."""
    return [
        _train(run, images, asked, method, repeat, device, watch)
        for repeat in range(asked.repeats)
        for method in asked.methods
    ]


def _train(
    run: RunFolder, images: Images, asked: TrainConfig, method: str, repeat: int, device: str, watch: Monitor
) -> Trained:
    learner = _learner(asked, method)
    name = f"{method}-{repeat}"
    which = f", repeat {repeat + 1} of {asked.repeats}" if asked.repeats > 1 else ""
    history = fit(
        learner,
        images.train,
        epochs=asked.epochs,
        seed=stream_seed(asked.seed, "train", repeat),  # the same for each method: same weights, same batches
        checkpoint=run.path(f"checkpoints/{name}.pt"),
        progress=watch.training(f"training with {method}{which}", asked.epochs),
        device=device,
        precision=asked.precision,
    )
    run.write(f"models/{name}.safetensors", lambda path: save_model(path, learner, images.train))
    shown = images.target if images.test is None else images.test
    probabilities, features = predict(learner, shown)
    strange = None if images.strangers is None else predict(learner, images.strangers)[1]
    for seen in (features, strange):
        if seen is not None and not np.abs(seen).max() < _DIVERGED:
            raise GoodgrainError(
                f"training with {method} diverged: its last loss is {history.loss[-1]:.3g}, and features are larger "
                f"than {_DIVERGED:g}. Give a lower learning rate (lr, --lr) and another run folder."
            )
    facts: dict[str, float] = {"loss": float(history.loss[-1])}
    boxes = None
    if images.test is not None and asked.task != "box":
        facts["accuracy"] = accuracy(probabilities.argmax(axis=1), images.test.labels)
    if images.test is not None and asked.task != "classify":
        boxes = predict_boxes(learner, images.test) if asked.task == "box" else cam_boxes(learner, images.test)
        known = known_boxes(images.test)
        measure = mean_iou if asked.task == "box" else gt_known_loc
        facts["mean_iou" if asked.task == "box" else "gt_known_loc"] = measure(
            boxes[known], _boxes_of(images.test)[known]
        )
    facts["activation"] = activation(features)
    if strange is not None and images.strangers is not None:
        facts["ood_activation"] = activation(strange)
        if asked.task != "box":
            for detector in DETECTORS:
                inside, outside = (purity(learner, pool, detector) for pool in (shown, images.strangers))
                facts.update({f"{detector}_{key}": value for key, value in ood_metrics(inside, outside).items()})
    if asked.learner == "adversarial" and images.test is not None:
        watch.stage(f"attacking the model trained with {method}")
        facts["adversarial_accuracy"] = adversarial_accuracy(
            logits_of(learner), attacked(images.test, asked.seed), seed=asked.seed, device=learner.device
        )
    if asked.task != "box" and len(np.unique(shown.labels)) > 1:
        facts["class_cosine"] = between_classes(features, shown.labels)
    run.log("evaluated", method=method, repeat=repeat, **facts)
    return Trained(method, repeat, learner, history, facts, features, strange, boxes)


def rehearse(images: Images, asked: TrainConfig, engine: Engine) -> None:
    """Refuse what no training of this run could work with, before any is begun: networks are built, one image is seen.

    Raises:
        InputError: a network that cannot be made or does not suit the task, or images that a learner cannot train on.
        UnknownName: no such model.
        MissingExtra: a library that the model comes from is not installed.
    """
    for method in asked.methods:
        learner = _learner(asked, method)
        learner.prepare(images.train, Run(asked.seed, asked.epochs, engine))
        if asked.task == "wsol" and images.test is not None:
            cam_boxes(learner, images.test.subset(np.array([0])))
        if asked.layer == "maps" and method == "taufe":
            learner.network.eval()
            with torch.no_grad():
                one = to_pixels(images.train.images(np.array([0])), engine.device)
                last_maps(learner.network, learner.normalize(one))


def attacked(test: Pool, seed: int) -> Pool:
    """The test images that are attacked: all, or so many drawn at random, since an attack takes a hundred steps."""
    if len(test) <= _ATTACKED:
        return test
    return test.subset(np.sort(generator(seed, "attacked").permutation(len(test))[:_ATTACKED]))


def _attacked_count(images: Images, asked: TrainConfig) -> dict[str, int]:
    if asked.learner != "adversarial" or images.test is None:
        return {}
    return {"adversarial_images": min(_ATTACKED, len(images.test))}


def _learner(asked: TrainConfig, method: str) -> Any:
    kind = "boxes" if asked.task == "box" else asked.learner
    return make_calibrated(kind, asked.calibration(method), config=asked.recipe, **asked.recipe_options())


def known_boxes(pool: Pool) -> NDArray[np.int64]:
    """(m,) positions of the images with a known box.

    Raises:
        InputError: there are none.
    """
    known = np.flatnonzero(~np.isnan(_boxes_of(pool)).any(axis=1))
    if not len(known):
        raise InputError("no test image has a known box, so boxes cannot be measured. Give a test set with boxes.")
    return known


def _boxes_of(pool: Pool) -> NDArray[np.float32]:
    return np.full((len(pool), 4), np.nan, dtype=np.float32) if pool.boxes is None else pool.boxes


def measure(trained: list[Trained], images: Images, asked: TrainConfig) -> dict[str, Any]:
    """What metrics.json holds: the facts of each method, over its repeats."""
    methods = []
    for method in asked.methods:
        own = [one.facts for one in trained if one.method == method]
        values = {name: [float(facts[name]) for facts in own] for name in own[0]}
        methods.append({"method": method, "weight": asked.calibration(method).strength, **_summed(values)})
    return {
        "task": asked.task,
        "learner": asked.learner,
        "target": len(images.target),
        "ood": dict(images.sources),
        "ood_copies_left_out": {name: len(found) for name, (_, found) in images.copies.items()},
        "ood_measured_on": None if images.strangers is None else len(images.strangers),
        "ood_held_back": images.held_back,
        "test": None if images.test is None else len(images.test),
        **_attacked_count(images, asked),
        "methods": methods,
    }


def _summed(values: Mapping[str, list[float]]) -> dict[str, Any]:
    summed: dict[str, Any] = {}
    for name, one in values.items():
        summed[name] = one
        summed[f"{name}_mean"] = float(np.mean(one))
        summed[f"{name}_std"] = float(np.std(one, ddof=1)) if len(one) > 1 else 0.0
    return summed
