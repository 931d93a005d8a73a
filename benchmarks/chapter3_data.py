"""The targets and the OOD images of chapter 3's stand-ins: CIFAR-10, birds and vehicles with boxes, a known bias."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from chapter5_data import folder
from PIL import Image

from goodgrain.data.ood import few_shot, join_ood
from goodgrain.data.pool import Pool
from goodgrain.data.read import read

JPEG = {"quality": 75, "subsampling": 2}  # as the copies of CIFAR-10 and Tiny ImageNet are stored
HELD = 1000  # OOD images that no training sees
VALIDATION = 5000  # training images of CIFAR-10 that only choices are made on

# Classes of Tiny ImageNet that are, or look like, one of CIFAR-10's: cats, frogs, dogs, birds, a gazelle, cars, vans,
# buses, a tractor, boats.
LIKE_CIFAR = (0, 66, 131, 5, 183, 11, 39, 78, 135, 182, 194, 35, 41, 67, 115, 73)
LIKE_CIFAR += (64, 90, 117, 114, 147, 157, 163, 15, 152, 75, 196, 193)
BIRDS = (35, 41, 67, 115)
VEHICLES = (15, 52, 64, 69, 75, 90, 114, 117, 147, 152, 157, 163)

# Ten kinds of OOD images for "which will help?": groups of Tiny ImageNet's classes, house numbers, digits in colour.
GROUPS = {
    "mammals": (14, 17, 27, 32, 44, 57, 68, 101, 102, 120, 158, 159, 175, 184, 199),
    "insects": (13, 42, 43, 48, 51, 76, 87, 105, 113, 125, 141, 161, 180, 181),
    "sea": (22, 33, 34, 37, 89, 94, 100, 116, 151, 164, 165),
    "food": (4, 8, 16, 23, 28, 40, 46, 53, 107, 121, 149, 167, 170, 188, 192, 198),
    "clothing": (31, 47, 59, 74, 77, 79, 97, 104, 134, 136, 142, 156, 169, 172, 178),
    "household": (3, 9, 12, 18, 30, 61, 65, 71, 85, 86, 95, 110, 118, 124, 126, 132, 143, 179, 190),
    "buildings": (72, 79, 93, 99, 109, 119, 127, 130, 133, 139, 145, 166, 168, 185, 186),
    "landscapes": (7, 25, 56, 60, 88, 140),
}


@cache
def cifar10(validation: bool) -> tuple[Pool, Pool]:
    """Training images without the 5,000 that choices are made on, and the test images, or those 5,000."""
    there = folder()
    train = read(there / "cifar10_train.parquet")
    drawn = np.random.default_rng(123).permutation(len(train))
    rest = train.subset(np.sort(drawn[VALIDATION:]))
    return rest, train.subset(np.sort(drawn[:VALIDATION])) if validation else read(there / "cifar10_test.parquet")


@cache
def tiny_imagenet(classes: tuple[int, ...], *, validation: bool = False) -> Pool:
    """Some classes of Tiny ImageNet at 32 x 32, with boxes."""
    name = "tiny_imagenet32_val10k" if validation else "tiny_imagenet32_train100k"
    pool = read(folder() / f"{name}.parquet", box_frame=(64, 64))
    picked = pool.subset(np.flatnonzero(np.isin(pool.labels, classes)))
    names = tuple(pool.classes[label] for label in classes)
    where = {label: position for position, label in enumerate(classes)}
    return dataclasses.replace(picked, labels=np.array([where[one] for one in picked.labels]), classes=names)


def all_but(*groups: Sequence[int]) -> tuple[int, ...]:
    """The classes of Tiny ImageNet that are in none of these groups."""
    return tuple(sorted(set(range(200)) - {label for group in groups for label in group}))


def as_jpeg(images: np.ndarray) -> np.ndarray:
    """Images (n, 32, 32, 3) after a JPEG of the quality of the others: compression must not tell them apart."""
    out = np.empty_like(images)
    for position, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", **JPEG)
        out[position] = np.asarray(Image.open(buffer))
    return out


def _pool(images: np.ndarray) -> Pool:
    return Pool.from_arrays(images, np.zeros(len(images), dtype=np.int64))


@cache
def svhn() -> Pool:
    """House numbers, as JPEG."""
    pool = read(folder() / "svhn_10k.parquet")
    return _pool(as_jpeg(pool.images(np.arange(len(pool)))))


@cache
def colour_mnist() -> Pool:
    """10,000 digits, each in a colour of its own on a ground of its own, as JPEG."""
    digits = digits32("train", 10_000)[0]
    rng = np.random.default_rng(5)
    ink, ground = rng.uniform(0, 255, (2, len(digits), 1, 1, 3))
    share = digits[..., None] / 255
    return _pool(as_jpeg((share * ink + (1 - share) * ground).round().astype(np.uint8)))


def digits32(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first digits of MNIST, on 32 x 32, and their labels."""
    with np.load(folder() / "mnist.npz") as file:
        return np.pad(file[f"x_{part}"][:count], ((0, 0), (2, 2), (2, 2))), file[f"y_{part}"][:count].astype(np.int64)


OODS: dict[str, Callable[[], Pool]] = {
    "svhn": svhn,
    "tiny-imagenet": lambda: tiny_imagenet(all_but(LIKE_CIFAR)),
    "colour-mnist": colour_mnist,
    "no-birds-no-vehicles": lambda: tiny_imagenet(all_but(BIRDS, VEHICLES)),
    **{name: (lambda classes=classes: tiny_imagenet(classes)) for name, classes in GROUPS.items()},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One training's images.

    Args:
        train: the labelled images and, behind them, the OOD images.
        test: what is measured on.
        strangers: OOD images that training does not see.
        bias: (n,) of the test images: which photograph lies behind, where the bias is known.
    """

    train: Pool
    test: Pool
    strangers: Pool
    bias: np.ndarray | None = None


def drawn(target: Pool, test: Pool, ood: str, count: int, seed: int) -> Task:
    """`count` labelled images, as many OOD images, and 1,000 other OOD images."""
    source = OODS[ood]()
    order = np.random.default_rng([seed, 17]).permutation(len(source))
    held, rest = source.subset(order[:HELD]), source.subset(order[HELD:])
    labelled = few_shot(target, count, seed=seed)
    return Task(join_ood(labelled, {ood: rest}, count=min(count, len(rest)), seed=seed), test, held)


# Ten photographs' classes that differ in colour and texture: cliff, monarch butterfly, school bus, coral reef, alp,
# mushroom, steel bridge, orange, cauliflower, lakeside.
PHOTOGRAPHS = (7, 13, 15, 34, 60, 107, 130, 149, 198, 56)


@cache
def _photographs() -> tuple[np.ndarray, np.ndarray]:
    pool = tiny_imagenet(PHOTOGRAPHS)
    return pool.images(np.arange(len(pool))), pool.labels


def known_bias(count: int, seed: int, *, share: float = 0.9, ink: float = 0.75, same: bool = True) -> Task:
    """Digits blended into photographs whose class goes with the digit in training and not in test.

    OOD images are photographs alone, of which none lies behind a digit.

    Args:
        count: digits to train on, and OOD photographs.
        seed: draws digits and photographs.
        share: of the training digits that lie on a photograph of their own class.
        ink: how much of a pixel is the digit's where the digit is.
        same: whether OOD photographs are of the ten classes that lie behind the digits, or of other classes.
    """
    rng = np.random.default_rng([seed, 29])
    photos, kinds = _photographs()
    order = rng.permutation(len(photos))
    parts = np.split(order, [1500, 3000])  # behind training digits, behind test digits, alone
    train_digits, train_labels = digits32("train", 60_000)
    picked = rng.permutation(len(train_digits))[:count]
    test_digits, test_labels = digits32("test", 10_000)

    def blended(digits: np.ndarray, wanted: np.ndarray, pool: np.ndarray) -> np.ndarray:
        by_kind = [pool[kinds[pool] == kind] for kind in range(10)]
        behind = np.array([by_kind[kind][rng.integers(len(by_kind[kind]))] for kind in wanted])
        cover = ink * digits[..., None] / 255
        return (cover * 255 + (1 - cover) * photos[behind]).round().astype(np.uint8)

    labels = train_labels[picked]
    ground = np.where(rng.random(count) < share, labels, rng.integers(0, 10, count))
    bias = rng.integers(0, 10, len(test_labels))
    train = Pool.from_arrays(blended(train_digits[picked], ground, parts[0]), labels, classes=[*map(str, range(10))])
    test = Pool.from_arrays(blended(test_digits, bias, parts[1]), test_labels, classes=[*map(str, range(10))])
    alone = _pool(photos[parts[2]]) if same else OODS["tiny-imagenet"]()
    rest = rng.permutation(len(alone))
    joined = join_ood(train, {"photographs": alone.subset(rest[HELD:])}, count=count, seed=seed)
    return Task(joined, test, alone.subset(rest[:HELD]), bias)
