"""The noisy datasets of chapter 5: as one folder of Parquet files, or in their published layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

from goodgrain.data.noise import asymmetric
from goodgrain.data.pool import Pool
from goodgrain.data.read import read

Dataset = Callable[[int | None], tuple[Pool, Pool]]
"""How many training images (None for all) -> training pool with true labels known, and test pool."""


def folder() -> Path:
    """Where the data is, as GOODGRAIN_DATA says."""
    if "GOODGRAIN_DATA" not in os.environ:
        raise SystemExit("Set GOODGRAIN_DATA to the folder of the datasets; benchmarks/README.md says what it holds.")
    return Path(os.environ["GOODGRAIN_DATA"])


def _drawn(pool: Pool, images: int | None) -> Pool:
    """So many images, drawn with a seed of their own, in the data's order."""
    if images is None or images >= len(pool):
        return pool
    return pool.subset(np.sort(np.random.default_rng(0).permutation(len(pool))[:images]))


@cache
def cifar_n(classes: int, column: str, images: int | None) -> tuple[Pool, Pool]:
    """CIFAR-10N or CIFAR-100N under one of its columns of human labels."""
    there = folder()
    parquet = there / f"cifar{classes}_train.parquet"
    published = there / {10: "cifar-10-batches-py", 100: "cifar-100-python"}[classes]
    data, held = (
        (parquet, there / f"cifar{classes}_test.parquet")
        if parquet.exists()
        else (f"{published}#train", f"{published}#test")
    )
    labels = there / (f"cifar{classes}n_labels.parquet" if parquet.exists() else f"CIFAR-{classes}_human.pt")
    train = read(data, labels=f"{labels}:{column}", clean_labels=f"{labels}:clean_label")
    return _drawn(train, images), read(held)


@cache
def tiny_imagenet(images: int | None) -> tuple[Pool, Pool]:
    """Tiny ImageNet at 32 x 32 under 20% asymmetric noise, class c to c + 1."""
    there = folder()
    train = read(there / "tiny_imagenet32_train100k.parquet")
    train = train.with_labels(asymmetric(train.labels, 0.2, classes=len(train.classes), seed=0), train.labels)
    return _drawn(train, images), read(there / "tiny_imagenet32_val10k.parquet")


DATASETS: dict[str, Dataset] = {
    "cifar10n-random1": partial(cifar_n, 10, "random_label1"),
    "cifar10n-random2": partial(cifar_n, 10, "random_label2"),
    "cifar10n-random3": partial(cifar_n, 10, "random_label3"),
    "cifar10n-worst": partial(cifar_n, 10, "worse_label"),
    "cifar100n-noisy": partial(cifar_n, 100, "noisy_label"),
    "tiny-imagenet-20": tiny_imagenet,
}
