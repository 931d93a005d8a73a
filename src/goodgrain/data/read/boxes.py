"""Boxes in pixels, as datasets state them, become shares of their images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats
from goodgrain.errors import InputError

COLUMNS = ("x0", "y0", "x1", "y1")

_SLACK = 1.0  # pixels that a box may exceed its image by, or
_SLACK_SHARE = 0.005  # this share of the side: published boxes do, by rounding; the excess is cut off


@dataclass(frozen=True, eq=False)
class PixelBoxes:
    """Boxes of n images as their edges, in pixels.

    Args:
        edges: (n, 4) left, top, right, bottom; a box around all of a 64 x 64 image is 0, 0, 64, 64. Rows of NaN where
            there is none.
        any_frame: whether the dataset leaves open what frame the pixels are counted in.
    """

    edges: NDArray[np.float64]
    any_frame: bool = False


def boxes_of_corners(corners: NDArray[np.float64]) -> PixelBoxes:
    """Boxes of (n, 4) columns x0, y0, x1, y1: the first and the last column and row of pixels that belong to a box.

    Tiny ImageNet counts so: a box around all of a 64 x 64 image is 0, 0, 63, 63, and one of a single pixel has x0 = x1.
    """
    return PixelBoxes(corners + np.array([0, 0, 1, 1]), any_frame=True)


def in_shares(
    boxes: PixelBoxes, frames: NDArray[np.float64], ids: Sequence[str], *, stated: bool
) -> NDArray[np.float32] | None:
    """Boxes as shares of width and height, with what exceeds an image by a pixel or 0.5% cut off.

    Args:
        boxes: of n images, in pixels.
        frames: (n, 2) width and height in the same pixels.
        ids: n names, for errors.
        stated: whether the frames are what the user said, and not the images' own sizes.

    Returns:
        (n, 4) float32 left, top, right, bottom, NaN where there is none; None, with a warning, where boxes exceed the
        images and nobody said what frame they are in, as whoever needs no boxes should not have to know it.

    Raises:
        InputError: a box outside its image, an empty one, or one without all four numbers.
    """
    edges, sides = boxes.edges, np.tile(frames, 2)
    numbers = (~np.isnan(edges)).sum(axis=1)
    _refuse((numbers > 0) & (numbers < 4), edges, frames, ids, "lacks some of its four numbers")
    _refuse(_empty(edges), edges, frames, ids, "is empty")
    slack = np.maximum(_SLACK, _SLACK_SHARE * sides)
    outside = ((edges < -slack) | (edges > sides + slack)).sum(axis=1) > 0
    if outside.any() and boxes.any_frame and not stated:
        row = int(np.argmax(outside))
        warnings.warn(
            f"boxes are left out: {_told(edges[row], frames[row], ids[row])} reaches beyond it. "
            "Say with box_frame what width and height they are counted in.",
            stacklevel=2,
        )
        return None
    _refuse(outside, edges, frames, ids, "reaches beyond it")
    shares = np.clip(edges / sides, 0.0, 1.0).astype(np.float32)
    _refuse(_empty(shares), edges, frames, ids, "lies beside it")
    return shares


def _empty(boxes: Floats) -> NDArray[np.bool_]:
    """(n,) whether a box has no width or no height; False where there is none."""
    return np.asarray((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1]))


def _refuse(
    bad: NDArray[np.bool_], edges: NDArray[np.float64], frames: NDArray[np.float64], ids: Sequence[str], what: str
) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{_told(edges[row], frames[row], ids[row])} {what}; {np.count_nonzero(bad)} boxes are so. Repair them, or "
            "say with box_frame what width and height they are counted in."
        )


def _told(edges: NDArray[np.float64], frame: NDArray[np.float64], name: str) -> str:
    numbers = ", ".join(f"{edge:g}" for edge in edges)
    return f"the box of image {name!r} (left, top, right, bottom = {numbers} in a frame of {frame[0]:g} x {frame[1]:g})"
