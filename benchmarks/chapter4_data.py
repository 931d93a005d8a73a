"""The pools of chapter 4's stand-ins, and what an encoder that saw no label makes of their images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from chapter3_data import LIKE_CIFAR, all_but, cifar10, svhn, tiny_imagenet

from goodgrain.data.ood import join_ood
from goodgrain.data.open_set import OpenSet, cross_datasets, split_dataset
from goodgrain.data.pool import OOD, Pool
from goodgrain.files import whole_file
from goodgrain.learn import CSI, fit, predict
from goodgrain.learn.contrast import rotations_of

KNOWN = 4  # classes of ten that are in-distribution
PER_CLASS = {"split": 1000, "cross": 400}
EPOCHS = 40  # of the encoder; each image comes eight times in each


@cache
def images(setup: str) -> Pool:
    """What the encoder of a setup is trained on: every image that one of its pools may hold, 10,000 in all.

    "split": 1,000 images of each class of CIFAR-10. "cross": 400 of each class, then 3,000 house numbers and 3,000
    images of Tiny ImageNet's classes that are unlike CIFAR-10's.
    """
    train, _ = cifar10(False)
    rng = np.random.default_rng(7)
    each = PER_CLASS[setup]
    rows = [rng.permutation(np.flatnonzero(train.labels == label))[:each] for label in range(10)]
    own = train.subset(np.sort(np.concatenate(rows)))
    if setup == "split":
        return own
    return join_ood(own, {"svhn": svhn(), "tiny-imagenet": tiny_imagenet(all_but(LIKE_CIFAR))}, count=6000, seed=7)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the encoder makes of images.

    Args:
        features: (n, d) of the network.
        turned: (n, 4, e) of the projection, under each rotation.
        turn_logits: (n, 4) of the shift head.
    """

    features: np.ndarray
    turned: np.ndarray
    turn_logits: np.ndarray


def encoded(setup: str, work: Path) -> tuple[Seen, Seen]:
    """A setup's images and CIFAR-10's test images, as CSI sees them; trained once, and taken up where it stopped."""
    path = work / f"encoder-{setup}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        pool, (_, test) = images(setup), cifar10(False)
        learner = CSI("small")
        fit(
            learner,
            pool,
            epochs=EPOCHS,
            seed=0,
            checkpoint=work / f"encoder-{setup}.pt",
            progress=_said,
            precision="bf16",
        )
        columns = {}
        for name, part in (("pool", pool), ("test", test)):
            turned, logits = rotations_of(learner, part)
            columns |= {
                f"{name}_features": predict(learner, part)[1],
                f"{name}_turned": turned,
                f"{name}_logits": logits,
            }
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, **columns)
    with np.load(path) as file:
        return tuple(
            Seen(*(file[f"{name}_{kind}"] for kind in ("features", "turned", "logits"))) for name in ("pool", "test")
        )


def _said(epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
    if step == steps - 1:
        print(f"encoder, epoch {epoch + 1}: {terms['loss']:.3f}", flush=True)


def open_set(setup: str, share: float, seed: int) -> OpenSet:
    """A pool of 4,000 in-distribution images and so many others that their share is this.

    "split": four classes of CIFAR-10, drawn with the seed, and images of the others. "cross": ten classes of CIFAR-10,
    and house numbers and other photographs in equal parts.

    Returns:
        The pool, whose labels are the truth, and where its images lie among `images(setup)`.
    """
    whole = images(setup)
    if setup == "split":
        return split_dataset(whole, KNOWN, ood_share=share, seed=seed)
    kinds = [name.split("/")[1] if label == OOD else "" for name, label in zip(whole.ids, whole.labels, strict=True)]
    parts = {kind: whole.subset(np.flatnonzero(np.array(kinds) == kind)) for kind in dict.fromkeys(kinds)}
    own = parts.pop("")
    others = {kind: part.with_labels(np.zeros(len(part), dtype=np.int64)) for kind, part in parts.items()}
    return cross_datasets(own, others, ood_share=share, seed=seed)
