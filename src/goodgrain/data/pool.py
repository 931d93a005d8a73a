"""The pool: images with ids and labels, decoded when they are asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from goodgrain.checks import Positions, check_integers
from goodgrain.data.images import (
    ArraySource,
    Decoded,
    ImageSource,
    PickedSource,
    Pixels,
    Shape,
    UnreadableImage,
    as_mode,
    blocks,
)
from goodgrain.errors import InputError

__all__ = ["OOD", "UNLABELED", "ImageSource", "Pool", "Rejected"]

UNLABELED = -1
OOD = -2

THUMBNAIL = 96  # pixels of the longer side
_FINGERPRINT_SAMPLE = 2000


@dataclass(frozen=True)
class Rejected:
    """An image that could not be used.

    Args:
        id: what the image is called in its dataset.
        reason: why it was left out, as a person reads it.
    """

    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Pool:
    """Images with ids and labels.

    Args:
        ids: (n,) strings, each once, stable between reads of the same data.
        labels: (n,) int64, 0..c-1, UNLABELED or OOD.
        classes: c names.
        source: the n images.
        image_shape: (height, width, channels) of what `images` gives; channels 1 or 3.
        clean_labels: (n,) the truth where it is known; for reporting only, never for training.
        rejected: images of the dataset that could not be used.
        boxes: (n, 4) float32, the box around the object of each image: left, top, right, bottom as shares of width and
            height in [0, 1]; a row of NaN where none is known.

    Raises:
        InputError: lengths differ, an id comes twice, a label is no class, or a box is empty or outside its image.
    """

    ids: NDArray[np.str_]
    labels: Positions
    classes: tuple[str, ...]
    source: ImageSource
    image_shape: Shape
    clean_labels: Positions | None = None
    rejected: tuple[Rejected, ...] = ()
    boxes: NDArray[np.float32] | None = None
    _decoded: Decoded = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        n = len(self.source)
        if len(self.ids) != n:
            raise InputError(f"there are {len(self.ids)} ids for {n} images. Give one id per image.")
        names, counts = np.unique(self.ids, return_counts=True)
        if len(names) != n:
            raise InputError(f"the id {str(names[counts.argmax()])!r} comes {counts.max()} times. Ids must be unique.")
        if len(set(self.classes)) != len(self.classes):
            raise InputError(f"classes should have different names; they are {', '.join(self.classes)}.")
        if len(self.image_shape) != 3 or min(self.image_shape) < 1 or self.image_shape[2] not in (1, 3):
            raise InputError(f"image_shape should be (height, width, 1 or 3); {self.image_shape} came.")
        object.__setattr__(self, "labels", _check_pool_labels("labels", self.labels, n, len(self.classes)))
        if self.clean_labels is not None:
            clean = _check_pool_labels("clean_labels", self.clean_labels, n, len(self.classes))
            object.__setattr__(self, "clean_labels", clean)
        if self.boxes is not None:
            object.__setattr__(self, "boxes", _check_boxes(self.boxes, self.ids))
        object.__setattr__(self, "_decoded", Decoded(self.source, self.image_shape))

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        classes: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        clean_labels: ArrayLike | None = None,
    ) -> Pool:
        """A pool of images in memory.

        Args:
            images: (n, h, w) or (n, h, w, c) uint8, c = 1 or 3.
            labels: (n,) 0..c-1, UNLABELED or OOD.
            classes: names; "0", "1", ... up to the largest label by default.
            ids: n names; "0", "1", ... by default.
            clean_labels: (n,) the truth where it is known.

        Raises:
            InputError: images are not uint8 of such a shape, or the parts do not belong together.

        Example:
            >>> pool = Pool.from_arrays(np.zeros((3, 8, 8), np.uint8), [0, 1, 1], classes=["cat", "dog"])
            >>> len(pool), pool.image_shape, pool.images([0, 2]).shape
            (3, (8, 8, 1), (2, 8, 8, 1))
        """
        pixels = np.asarray(images)
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or pixels.size == 0:
            raise InputError(
                f"images should be uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3); "
                f"{pixels.dtype} of shape {np.shape(images)} came."
            )
        given = check_integers("labels", labels, n=len(pixels))
        clean = None if clean_labels is None else check_integers("clean_labels", clean_labels, n=len(pixels))
        if classes is None:
            top = max(int(given.max()), -1 if clean is None else int(clean.max()))
            if top < 0:
                raise InputError("no image has a label, so the classes are unknown. Give classes.")
            classes = [str(label) for label in range(top + 1)]
        names = np.asarray(ids if ids is not None else [str(i) for i in range(len(pixels))], dtype=np.str_)
        _, height, width, channels = pixels.shape
        return cls(names, given, tuple(classes), ArraySource(pixels), (height, width, channels), clean)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.ids)

    def images(self, positions: ArrayLike) -> Pixels:
        """Some images at the pool's shape.

        Decoded once and kept while all images of the pool fit into 1 GB, else decoded whenever they are asked for.

        Args:
            positions: (m,) which ones, repeats allowed.

        Returns:
            (m, h, w, c) uint8, a copy.

        Raises:
            InputError: a position outside 0..n-1, or an image that cannot be read any more.
        """
        rows = np.asarray(positions)
        if rows.ndim != 1 or (rows.size and not np.issubdtype(rows.dtype, np.integer)):
            raise InputError(f"positions should be integers on 1 axis; {rows.dtype} of shape {rows.shape} came.")
        outside = rows[(rows < 0) | (rows >= len(self))]
        if len(outside):
            raise InputError(f"positions should be 0..{len(self) - 1}; {outside[0]} is not.")
        rows = rows.astype(np.int64, copy=False)
        try:
            return self._decoded.take(rows)
        except UnreadableImage as problem:
            name = self.ids[rows[problem.index]]
            raise InputError(f"image {str(name)!r} cannot be read: {problem}.") from problem

    def thumbnail(self, position: int) -> Image.Image:
        """One image for a gallery: mode L or RGB, at its own size up to 96 pixels."""
        image = as_mode(self.source.open(position), self.image_shape[2])
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        return image

    @property
    def in_memory(self) -> bool:
        """Whether the images are few enough to be kept once they are decoded."""
        return self._decoded.keeps

    def verified(self) -> Pool:
        """The pool without the images that cannot be decoded; they and the reasons are in its `rejected`.

        Raises:
            InputError: not one image can be decoded.
        """
        good: list[int] = []
        rejected = list(self.rejected)
        for position in range(len(self)):
            try:
                self._decoded.take(np.array([position]))
            except UnreadableImage as problem:
                rejected.append(Rejected(str(self.ids[position]), str(problem)))
            else:
                good.append(position)
        if not good:
            raise InputError(f"none of the {len(self)} images can be read; {rejected[0].id}: {rejected[0].reason}.")
        pool = self if len(good) == len(self) else self.subset(good)
        whole = dataclasses.replace(pool, rejected=tuple(rejected))
        object.__setattr__(whole, "_decoded", pool._decoded)
        return whole

    def subset(self, positions: ArrayLike) -> Pool:
        """The pool of some images, in this order; what was decoded is shared.

        Raises:
            InputError: no positions, one outside 0..n-1, or one that comes twice.
        """
        rows = check_integers("positions", positions)
        outside = rows[(rows < 0) | (rows >= len(self))]
        if len(outside):
            raise InputError(f"positions should be 0..{len(self) - 1}; {outside[0]} is not.")
        picked = dataclasses.replace(
            self,
            ids=self.ids[rows],
            labels=self.labels[rows],
            source=PickedSource(self.source, rows),
            clean_labels=None if self.clean_labels is None else self.clean_labels[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
        )
        object.__setattr__(picked, "_decoded", self._decoded.picked(rows))
        return picked

    def with_labels(
        self, labels: ArrayLike, clean_labels: ArrayLike | None = None, *, classes: Sequence[str] | None = None
    ) -> Pool:
        """The same images under other labels; without `clean_labels`, those of this pool stay.

        With other classes the labels count in those, and the truth of this pool, which counts in its own, is left out.
        """
        truth = self.clean_labels if classes is None else None
        relabeled = dataclasses.replace(
            self,
            labels=np.asarray(labels),
            clean_labels=truth if clean_labels is None else np.asarray(clean_labels),
            classes=self.classes if classes is None else tuple(classes),
        )
        object.__setattr__(relabeled, "_decoded", self._decoded)
        return relabeled

    def fingerprint(self) -> str:
        """A sha256 over ids, labels, classes and pixels: equal when a run would see the same data.

        Of sets that are too large to be kept decoded, the pixels of 2,000 evenly spaced images stand for all.
        """
        digest = hashlib.sha256()
        names = [self.ids.tolist(), list(self.classes), list(self.image_shape)]
        digest.update(json.dumps(names).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        if self.boxes is not None:
            digest.update(self.boxes.astype("<f4").tobytes())
        looked_at = np.arange(len(self))
        if not self.in_memory:
            looked_at = np.linspace(0, len(self) - 1, min(len(self), _FINGERPRINT_SAMPLE)).astype(np.int64)
        for rows in blocks(len(looked_at)):
            digest.update(self.images(looked_at[rows]).tobytes())
        return digest.hexdigest()


def _check_pool_labels(name: str, values: ArrayLike, n: int, classes: int) -> Positions:
    labels = check_integers(name, values, n=n)
    wrong = np.flatnonzero(((labels < 0) & (labels != UNLABELED) & (labels != OOD)) | (labels >= classes))
    if len(wrong):
        raise InputError(
            f"{name} should be 0..{classes - 1}, {UNLABELED} (not labeled) or {OOD} (out of distribution); "
            f"{len(wrong)} are not, the first is {labels[wrong[0]]} at row {wrong[0]}."
        )
    return labels


def _check_boxes(boxes: ArrayLike, ids: NDArray[np.str_]) -> NDArray[np.float32]:
    try:
        values = np.asarray(boxes, dtype=np.float32)
    except (TypeError, ValueError) as reason:
        raise InputError(f"boxes cannot be read as numbers: {reason}.") from reason
    if values.shape != (len(ids), 4):
        raise InputError(f"boxes should be (n, 4) for n = {len(ids)} images; their shape is {np.shape(boxes)}.")
    known = np.isfinite(values).all(axis=1)
    inside = (values >= 0).all(axis=1) & (values <= 1).all(axis=1) & (values[:, 0] < values[:, 2])
    bad = np.flatnonzero(~(inside & (values[:, 1] < values[:, 3])) & (known | ~np.isnan(values).all(axis=1)))
    if len(bad):
        raise InputError(
            "boxes should be left < right and top < bottom, as shares of width and height in [0, 1], or four NaN; "
            f"{len(bad)} are not, the first is {values[bad[0]].tolist()} of image {str(ids[bad[0]])!r}."
        )
    return values
