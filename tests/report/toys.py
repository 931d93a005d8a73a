"""Facts of a made-up training run in which every section has something to show."""

import numpy as np
from PIL import Image

from goodgrain.report.train_facts import (
    Candidate,
    FoundBoxes,
    MethodFacts,
    OodSource,
    Projection,
    SwitchedOff,
    TrainFacts,
)
from goodgrain.scores.features import activation, between_classes, class_cosine

N, M, WIDTH, EPOCHS = 120, 80, 16, 30
CLASSES = ("airplane", "bird", "cat", "ship", "truck")
SCORES = {"taufe": (0.60, 0.64, 0.62), "standard": (0.58, 0.60, 0.59), "oat": (0.59, 0.58, 0.61)}
OOD = {"taufe": 0.2, "standard": 0.9, "oat": 0.6}  # how strongly OOD images are answered
PENALTIES = {"taufe": "mean square of a feature", "oat": "cross-entropy to uniform, nats"}
CANDIDATES = (
    Candidate("textures", 5640, 0, 0.12, -0.004),
    Candidate("places", 10_000, 3, 0.47, 0.021),
    Candidate("street numbers", 26_032, 0, 0.31),
)


def picture(position):
    """An 8 x 8 picture of its own for every position."""
    return Image.fromarray(np.random.default_rng(position).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def features(method):
    """In-distribution and OOD features: five directions, and a common one that OOD images share."""
    rng = np.random.default_rng(len(method))
    directions = np.abs(np.random.default_rng(0).normal(size=(len(CLASSES) + 1, WIDTH)))
    inside = directions[np.arange(N) % len(CLASSES)] + OOD[method] * directions[-1] + 0.3 * rng.random((N, WIDTH))
    return inside, OOD[method] * (directions[-1] + 0.8 * rng.random((M, WIDTH)))


def method_facts(method, **changes):
    inside, outside = features(method)
    labels = np.arange(N) % len(CLASSES)
    spread = np.array([1.0, 0.95, 1.05])
    fall = np.exp(-np.arange(EPOCHS) / 6)
    known = {
        "name": method,
        "weight": None if method == "standard" else 0.1,
        "score": SCORES[method],
        "activation": spread * activation(inside),
        "ood_activation": spread * activation(outside),
        "between": spread * between_classes(inside, labels),
        "auroc": {"msp": 0.7 * spread, "energy": 0.75 * spread},
        "terms": {"cross-entropy": 1.6 * fall + OOD[method] / 4}
        | ({} if method == "standard" else {"ood": 40 * fall**1.5 + OOD[method]}),
        "penalty": PENALTIES.get(method, ""),
        "cosine": class_cosine(inside, labels),
        "projection": Projection.of(inside, labels, outside),
    }
    return MethodFacts(**(known | changes))


def boxes():
    rng = np.random.default_rng(1)
    corner, size = rng.uniform(0.05, 0.4, (20, 2)), rng.uniform(0.3, 0.5, (20, 2))
    true = np.concatenate([corner, corner + size], axis=1)
    noise = {"standard": 0.12, "taufe": 0.04, "oat": 0.1}
    found = {name: np.clip(true + rng.normal(scale=scale, size=true.shape), 0, 1) for name, scale in noise.items()}
    return FoundBoxes(np.arange(0, 100, 5), true, found)


def train_facts(**changes):
    """Three methods, boxes, sources with copies, and OOD sets that were compared; keywords replace what they name."""
    inside, outside = zip(*map(features, ("standard", "taufe")), strict=True)
    known = {
        "name": "toys",
        "command": "goodgrain train toys --ood places --ood textures --compare standard,oat --repeats 3",
        "settings": [("train.method", "taufe"), ("train.repeats", "3")],
        "target": 500,
        "task": "classification",
        "method": "taufe",
        "methods": [method_facts(name) for name in SCORES],
        "width": WIDTH,
        "classes": CLASSES,
        "ids": np.asarray([f"test/{i:03}.png" for i in range(N)]),
        "labels": np.arange(N) % len(CLASSES),
        "thumbnail": picture,
        "ood_ids": np.asarray([f"places/{i:03}.jpg" for i in range(M)]),
        "ood_thumbnail": lambda i: picture(1000 + i),
        "switched_off": SwitchedOff.of(inside[0], outside[0], inside[1], outside[1]),
        "boxes": boxes(),
        "sources": [
            OodSource("places", 480, np.array([[3, 1], [5, 0]]), [f"p{i}" for i in range(9)], picture),
            OodSource("textures", 20),
        ],
        "target_ids": ["train/0.png", "train/1.png"],
        "target_thumbnail": picture,
        "candidates": CANDIDATES,
        "rejected": [("broken.png", "the file ends too early")],
    }
    return TrainFacts(**(known | changes))


def ood_comparison(**changes):
    """What is told of OOD sets when nothing was trained on them."""
    known = {
        "name": "toys",
        "command": "goodgrain train toys --ood places --ood textures --compare-ood",
        "settings": [("train.epochs", "20")],
        "candidates": CANDIDATES,
    }
    return TrainFacts(**(known | changes))
