"""What tests share: small noisy image sets, the real data where it is at hand, and long drills on request."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from goodgrain.data.noise import asymmetric
from goodgrain.data.pool import Pool
from goodgrain.observations import Observations

QUICK = {"warmup_epochs": 2, "epochs": 2, "flip": False}  # a pruning run that trains next to nothing

torch.set_num_threads(1)  # small networks: on a busy machine threads wait for each other for longer than they work


def pytest_collection_modifyitems(config, items):
    """Leave the long drills to `make soak`."""
    if os.environ.get("GOODGRAIN_SOAK"):
        return
    drills = [item for item in items if "soak" in item.keywords]
    config.hook.pytest_deselected(items=drills)
    items[:] = [item for item in items if item not in drills]


@pytest.fixture(scope="session")
def real_data():
    """The folder of real datasets."""
    folder = os.environ.get("GOODGRAIN_DATA")
    if not folder:
        pytest.skip("GOODGRAIN_DATA names no folder with the real datasets")
    return Path(folder)


def shapes(n, seed, noise=0.0):
    """A pool of 12x12 pictures in 3 classes: a horizontal, a vertical or a diagonal bar in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(0, 90, (n, 12, 12), dtype=np.uint8)
    for image, label, place in zip(images, labels, rng.integers(2, 9, n), strict=True):
        if label == 0:
            image[place : place + 2] += 150
        elif label == 1:
            image[:, place : place + 2] += 150
        else:
            image[np.eye(12, k=place - 5, dtype=bool)] += 150
    given = asymmetric(labels, noise, classes=3, seed=seed)
    names = [f"picture {i}.png" for i in range(n)]
    return Pool.from_arrays(images, given, classes=["lying", "standing", "slanted"], ids=names, clean_labels=labels)


def results_of(folder):
    """The bytes of everything that a run must give again."""
    names = ("metrics.json", "selection.parquet", "suspects.parquet", "report.html", "config.toml")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="session")
def pools():
    return shapes(150, 0, noise=0.3), shapes(60, 1)


def own_observations(n=60, **columns):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    columns = {
        "labels": labels,
        "features": 3 * np.eye(3, 6)[labels] + rng.normal(size=(n, 6)),
        "probabilities": rng.dirichlet(np.ones(3), size=n),
        **columns,
    }
    return Observations(**{"ids": [f"row {i}" for i in range(n)], **columns})
