"""Images that a dataset holds twice, and images that a training set shares with its test set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions, check_within
from goodgrain.data.closest import closest
from goodgrain.data.images import Pixels, blocks
from goodgrain.data.pool import Pool

# Calibrated by eye on the 50,000 training photographs of CIFAR-10: all of the about 190 pairs over 0.97 are the same
# picture, and at 0.96 one in a hundred is not. 0.98 still finds 98 of 100 images saved again as JPEG of quality 20.
THRESHOLD = 0.98

_WAVES = 8  # per axis; enough to tell photographs apart, and few enough to survive coding and resizing
_FLAT = 1.0  # gray levels of standard deviation under which an image shows nothing but its coding
_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as in PIL's mode L

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Images that repeat another one, each paired with the most similar of those that it repeats.

    One row per image to drop, so that there are never more rows than images, and dropping all of them leaves none.

    Args:
        positions: (m,) images that are repeats, ascending.
        originals: (m,) what each of them repeats: an earlier image of the pool, or an image of the test set.
        similarity: (m,) in [threshold, 1]; 1 for the same pixels.
        exact: (m,) bool, whether the decoded pixels are the same.
        conflicts: (m,) bool, whether the two carry different labels; at least one of them is wrong.
        ids: (m,) names of the repeats.
        original_ids: (m,) names of the originals.
    """

    positions: Positions
    originals: Positions
    similarity: NDArray[np.float64]
    exact: NDArray[np.bool_]
    conflicts: NDArray[np.bool_]
    ids: NDArray[np.str_]
    original_ids: NDArray[np.str_]

    def __len__(self) -> int:
        """How many images are repeats."""
        return len(self.positions)

    def counts(self) -> dict[str, int]:
        """How many repeats there are: exact ones, near ones, and those with different labels among both."""
        exact = int(self.exact.sum())
        return {"exact": exact, "near": len(self) - exact, "conflicts": int(self.conflicts.sum())}


def find_duplicates(pool: Pool, *, threshold: float = THRESHOLD) -> Duplicates:
    """Find images that repeat an earlier image of the pool, pixel for pixel or nearly.

    Near repeats are the same picture coded again, resized, or changed in brightness, contrast or colour. Images are
    compared by the cosine of their 8 x 8 lowest DCT coefficients of gray, without the mean and weighted by frequency,
    as photographs have less of the higher ones. Cropped and shifted copies are mostly not found. Plain images
    of one colour have exact repeats only.

    The default fits photographs. Centred objects on an empty ground (digits, garments) are all alike at this scale:
    look at the pairs, and use 0.995 or more.

    Args:
        pool: the images.
        threshold: least cosine of near repeats, in (0, 1].

    Raises:
        InputError: the threshold is outside (0, 1].

    Example:
        >>> images = np.random.default_rng(0).integers(0, 200, (3, 16, 16), dtype=np.uint8)
        >>> brighter = images[:1] + np.uint8(20)
        >>> found = find_duplicates(Pool.from_arrays(np.concatenate([images, images[1:2], brighter]), [0, 0, 1, 1, 0]))
        >>> found.positions, found.originals, found.exact, found.conflicts
        (array([3, 4]), array([1, 0]), array([ True, False]), array([ True, False]))
    """
    check_within("threshold", threshold, above=0.0, most=1.0)
    keys = _digests(pool)
    seen: dict[bytes, int] = {}
    first = np.array([seen.setdefault(key, position) for position, key in enumerate(keys)], dtype=np.int64)
    distinct = np.flatnonzero(first == np.arange(len(pool)))
    again = np.flatnonzero(first != np.arange(len(pool)))
    near, partner, similarity = closest(_embed(pool)[distinct], threshold, np.arange(len(distinct)), np.greater)
    return _pair((pool, pool), (again, distinct[near]), (first[again], distinct[partner]), similarity)


def find_overlap(train: Pool, test: Pool, *, threshold: float = THRESHOLD) -> Duplicates:
    """Find training images that are also in the test set, pixel for pixel or nearly (see `find_duplicates`).

    Exact repeats are only looked for where both pools have the same image shape.

    Args:
        train: where repeats are looked for; `positions` are its.
        test: what they repeat; `originals` are its. Labels are compared by class name.
        threshold: least cosine of near repeats, in (0, 1].

    Raises:
        InputError: the threshold is outside (0, 1].
    """
    check_within("threshold", threshold, above=0.0, most=1.0)
    seen: dict[bytes, int] = {}
    if train.image_shape == test.image_shape:
        for position, key in enumerate(_digests(test)):
            seen.setdefault(key, position)
    first = np.array([seen.get(key, -1) for key in _digests(train)], dtype=np.int64)
    again, fresh = np.flatnonzero(first >= 0), np.flatnonzero(first < 0)
    both = np.concatenate([_embed(train), _embed(test)])
    near, partner, similarity = closest(both, threshold, fresh, lambda _, other: other >= len(train))
    return _pair((train, test), (again, near), (first[again], partner - len(train)), similarity)


def _digests(pool: Pool) -> list[bytes]:
    """One key per image; equal keys are equal pixels."""
    keys: list[bytes] = []
    for rows in blocks(len(pool)):
        keys += [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pool.images(rows)]
    return keys


def _embed(pool: Pool) -> Embeddings:
    """(n, 63) weighted DCT coefficients; zero rows for flat images."""
    height, width, _ = pool.image_shape
    down, across = _waves(height), _waves(width)
    weight = np.hypot(*np.mgrid[:_WAVES, :_WAVES]).astype(np.float32)
    parts = [down @ _gray(pool.images(rows)) @ across.T * weight for rows in blocks(len(pool))]
    return np.concatenate(parts).reshape(len(pool), -1)[:, 1:]


def _waves(size: int) -> Embeddings:
    """(8, size) cosines sampled at pixel centers: the same picture gives the same coefficients at any size."""
    centers = (np.arange(size) + 0.5) / size
    return (np.cos(np.pi * np.outer(np.arange(_WAVES), centers)) / size).astype(np.float32)


def _gray(images: Pixels) -> Embeddings:
    """(m, h, w) gray levels; all zero where an image is flat."""
    values = images.astype(np.float32)
    gray: Embeddings = values @ _GRAY if images.shape[3] == 3 else values[..., 0]
    gray[gray.std(axis=(1, 2)) < _FLAT] = 0.0
    return gray


def _pair(
    pools: tuple[Pool, Pool],
    positions: tuple[Positions, Positions],  # exact, near
    originals: tuple[Positions, Positions],
    similarity: NDArray[np.float64],  # of the near ones
) -> Duplicates:
    here, there = np.concatenate(positions), np.concatenate(originals)
    similarity = np.concatenate([np.ones(len(positions[0])), similarity])
    order = np.argsort(here)
    here, there = here[order], there[order]
    exact = np.repeat([True, False], [len(part) for part in positions])[order]
    left, right = pools[0].labels[here], pools[1].labels[there]
    conflicts = [
        bool(a >= 0 and b >= 0 and pools[0].classes[a] != pools[1].classes[b]) for a, b in zip(left, right, strict=True)
    ]
    return Duplicates(
        here, there, similarity[order], exact, np.array(conflicts, dtype=bool), pools[0].ids[here], pools[1].ids[there]
    )
