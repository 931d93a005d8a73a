"""How well objects are found: overlap of boxes, and the box that an activation map draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from goodgrain.checks import check_numbers, check_within
from goodgrain.errors import InputError

Boxes = NDArray[np.float64]


def box_iou(predicted: ArrayLike, true: ArrayLike) -> Boxes:
    """Intersection over union of each predicted box with its true one (section 3.3.2).

    Args:
        predicted: (n, 4) left, top, right, bottom, in any unit; a box whose right is not right of its left, or whose
            bottom is not below its top, is empty, and its IoU is 0.
        true: (n, 4) likewise, in the same unit, none empty.

    Returns:
        (n,) from 0 to 1.

    Raises:
        InputError: not finite (n, 4) arrays of one length, or a true box is empty.

    Example:
        >>> box_iou([[0, 0, 2, 2], [5, 5, 6, 6]], [[1, 0, 3, 2], [0, 0, 1, 1]])
        array([0.33333333, 0.        ])
    """
    expected = _check_boxes("true", true)
    boxes = _check_boxes("predicted", predicted, n=len(expected))
    empty = np.flatnonzero((expected[:, :2] >= expected[:, 2:]).any(axis=1))
    if len(empty):
        raise InputError(
            f"true boxes should be left < right and top < bottom; {len(empty)} are not, the first is "
            f"{expected[empty[0]].tolist()} at row {empty[0]}."
        )
    shared = _area(np.maximum(boxes[:, :2], expected[:, :2]), np.minimum(boxes[:, 2:], expected[:, 2:]))
    union = _area(boxes[:, :2], boxes[:, 2:]) + _area(expected[:, :2], expected[:, 2:]) - shared
    return shared / union


def mean_iou(predicted: ArrayLike, true: ArrayLike) -> float:
    """The mean of `box_iou` over all examples, as table 3.3 reports it.

    Args:
        predicted: as in `box_iou`.
        true: as in `box_iou`.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: as in `box_iou`.

    Example:
        >>> mean_iou([[0, 0, 2, 2], [0, 0, 1, 1]], [[0, 0, 2, 1], [0, 0, 1, 1]])
        0.75
    """
    return float(box_iou(predicted, true).mean())


def gt_known_loc(predicted: ArrayLike, true: ArrayLike, *, threshold: float = 0.5) -> float:
    """GT-known Loc: the share of objects that are found when their class is given, as table 3.4 reports it.

    Args:
        predicted: as in `box_iou`, such as `box_around` the map of the true class.
        true: as in `box_iou`.
        threshold: the IoU from which an object counts as found.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: as in `box_iou`, or a threshold outside (0, 1].

    Example:
        >>> gt_known_loc([[0, 0, 2, 2], [0, 0, 1, 4]], [[0, 0, 2, 1], [0, 0, 1, 1]])
        0.5
    """
    least = check_within("threshold", threshold, above=0, most=1)
    return float((box_iou(predicted, true) >= least).mean())


def box_around(cam: ArrayLike, *, share: float = 0.2) -> Boxes:
    """The tightest box around the largest connected part of what is bright in an activation map (Zhou et al. 2016).

    Points that touch at a corner are connected, as in the contours that published evaluations draw. Of parts of one
    size, the first from the top counts. A map that is nowhere above 0 tells no place: its box is the whole map.

    Args:
        cam: (h, w) activation map; the values may be of any sign.
        share: a point is bright where it is above this share of the largest value.

    Returns:
        (4,) left, top, right, bottom as shares of the map's width and height.

    Raises:
        InputError: not a finite (h, w) array, or a share outside [0, 1).

    Example:
        >>> box_around([[0, 0, 0, 9], [0, 5, 5, 0], [0, 5, 5, 0], [1, 0, 0, 0]])
        array([0.25, 0.  , 1.  , 0.75])
    """
    values = check_numbers("cam", cam, dimensions=2).astype(np.float64, copy=False)
    if not values.size:
        raise InputError(f"cam should be an (h, w) map of at least 1 point; its shape is {values.shape}.")
    if not 0 <= share < 1:
        raise InputError(f"share should be 0 or more and below 1; {share!r} came.")
    height, width = values.shape
    top = float(values.max())
    if top <= 0:
        return np.array([0.0, 0.0, 1.0, 1.0])
    parts, _ = ndimage.label(values > share * top, structure=np.ones((3, 3)))
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())  # 0 is what is not bright
    rows, columns = ndimage.find_objects(parts)[largest - 1]
    return np.array([columns.start / width, rows.start / height, columns.stop / width, rows.stop / height])


def _area(low: Boxes, high: Boxes) -> Boxes:
    area: Boxes = np.maximum(high - low, 0).prod(axis=1)
    return area


def _check_boxes(name: str, values: ArrayLike, n: int | None = None) -> Boxes:
    boxes = check_numbers(name, values, dimensions=2, n=n)
    if boxes.shape[1] != 4:
        raise InputError(f"{name} should be (n, 4), left, top, right and bottom; its shape is {boxes.shape}.")
    return boxes.astype(np.float64, copy=False)
