"""Pictures that are there twice: the same pixels, or the same picture saved, scaled or lit a little differently."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.neighbors import CosineNeighbors

THUMB = 16  # pixels: fine enough to tell pictures apart, coarse enough to forgive compression
NEAR = 0.98  # on CIFAR-10, pairs above are the same picture; just below, empty horizons begin to look alike
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pairs of pictures that are alike.

    Args:
        pairs: (m, 2) int64 positions, the first below the second within one pool; for two pools, of the first and of
            the second.
        exact: (m,) bool, whether the pixels are the same.
        similarity: (m,) cosine of the two thumbnails, 1 for exact pairs.
        differing: how many pairs carry two different labels.
    """

    pairs: Positions
    exact: NDArray[np.bool_]
    similarity: NDArray[np.float64]
    differing: int

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)


def find_duplicates(pool: Pool, *, threshold: float = NEAR) -> Duplicates:
    """Find pictures that a pool holds more than once.

    Pictures are compared as grey thumbnails without their mean brightness and contrast. A picture without contrast
    has no near duplicates, only exact ones.

    Args:
        pool: n images.
        threshold: least cosine between two thumbnails of a near pair, in (0, 1].

    Returns:
        Pairs, most similar first.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
        >>> find_duplicates(Pool.from_arrays(images[[0, 1, 0]], [0, 1, 1])).pairs.tolist()
        [[0, 2]]
    """
    marks, thumbs = _describe(pool)
    return _pairs(marks, thumbs, pool.labels, None, threshold)


def find_overlap(train: Pool, test: Pool, *, threshold: float = NEAR) -> Duplicates:
    """Find training pictures that are also in the test set.

    Args:
        train: n images.
        test: m images of the same shape.
        threshold: as in `find_duplicates`.

    Returns:
        Pairs (position in train, position in test), most similar first.

    Raises:
        InputError: the two pools give images of different shapes.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
        >>> train, test = Pool.from_arrays(images[:2], [0, 1]), Pool.from_arrays(images[1:], [1, 0])
        >>> find_overlap(train, test).pairs.tolist()
        [[1, 0]]
    """
    if train.image_shape != test.image_shape:
        raise InputError(f"images of {train.image_shape} and {test.image_shape} cannot be compared. Read both alike.")
    ours, theirs = _describe(train), _describe(test)
    marks = np.concatenate([ours[0], theirs[0]])
    labels = np.concatenate([train.labels, test.labels])
    return _pairs(marks, np.concatenate([ours[1], theirs[1]]), labels, len(train), threshold)


def _describe(pool: Pool) -> tuple[NDArray[np.bytes_], NDArray[np.float32]]:
    """A hash of the pixels (n,) and a normalised thumbnail (n, THUMB * THUMB) of each image."""
    marks, thumbs = [], []
    for start in range(0, len(pool), _BLOCK):
        for pixels in pool.images(np.arange(start, min(start + _BLOCK, len(pool)))):
            marks.append(hashlib.sha256(pixels.tobytes()).digest())
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("L")
            small = np.asarray(picture.resize((THUMB, THUMB), Image.Resampling.BOX), dtype=np.float32)
            small = small - small.mean()
            thumbs.append(small.reshape(-1) if small.std() > 1 else np.zeros(THUMB * THUMB, dtype=np.float32))
    return np.array(marks, dtype="S32"), np.stack(thumbs)


def _pairs(
    marks: NDArray[np.bytes_],
    thumbs: NDArray[np.float32],
    labels: Positions,
    border: int | None,
    threshold: float,
) -> Duplicates:
    """Pairs among rows, or only across the border between the first and the second set."""
    first, second, similarity = [], [], []
    neighbors = CosineNeighbors(thumbs, threshold)
    queries = np.arange(len(thumbs) if border is None else border)
    _, mark = np.unique(marks, return_inverse=True)
    for start in range(0, len(queries), _BLOCK):
        part = queries[start : start + _BLOCK]
        rows = neighbors.rows(part)
        query = np.repeat(part, np.diff(rows.indptr))
        wanted = rows.indices > query if border is None else rows.indices >= border
        first.append(query[wanted])
        second.append(rows.indices[wanted])
        similarity.append(rows.similarities[wanted])
    same = _exact(mark, thumbs, border)
    a = np.concatenate([*first, same[:, 0]])
    b = np.concatenate([*second, same[:, 1]])
    likeness = np.concatenate([*similarity, np.ones(len(same))])
    order = np.lexsort((b, a, -likeness, mark[a] != mark[b]))
    pairs = np.stack([a, b], axis=1)[order]
    differing = int((labels[pairs[:, 0]] != labels[pairs[:, 1]]).sum())
    if border is not None:
        pairs[:, 1] -= border
    return Duplicates(pairs, (mark[a] == mark[b])[order], likeness[order], differing)


def _exact(mark: NDArray[np.int64], thumbs: NDArray[np.float32], border: int | None) -> Positions:
    """Pairs of equal pixels among pictures without contrast, which have no neighbours by angle.

    Of many equal pictures each is paired with the first alone: all pairs of a thousand black images help nobody.
    """
    flat = np.flatnonzero(~thumbs.any(axis=1))
    seen: dict[int, int] = {}
    pairs = []
    for position in flat.tolist():
        kind = int(mark[position])
        other = seen.setdefault(kind, position)
        across = border is None or (other < border <= position)
        if other != position and across:
            pairs.append((other, position))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
