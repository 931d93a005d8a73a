"""SVHN as published (Netzer et al. 2011), format 2: cropped digits, 32 x 32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from goodgrain.data.images import ArraySource
from goodgrain.data.read.listing import Listing, check_split
from goodgrain.data.read.matlab import read_mat
from goodgrain.errors import InputError

_FILES = {split: f"{split}_32x32.mat" for split in ("train", "test", "extra")}
_ZERO = 10  # the label of the digit 0
_IMAGE = (32, 32, 3)


def is_svhn(path: Path) -> bool:
    """Whether a path is one of the three files, or a folder that holds one."""
    if path.is_file():
        return path.name in _FILES.values()
    return any((path / name).is_file() for name in _FILES.values())


def list_svhn(path: Path, split: str | None) -> Listing:
    """The digits of `train` (the default), `test` or `extra`, or those of the one file named; ids are the row numbers.

    The files are compressed as a whole, so all images of a split come into memory: 1.6 GB for `extra`.

    Raises:
        InputError: no such split, not a MATLAB file, or images or labels of another form.
    """
    if path.is_file():
        if split:
            raise InputError(f"{path} has no splits, so '#{split}' means nothing. Give the path alone.")
        file = path
    else:
        file = path / _FILES[check_split(split, list(_FILES), path)]
    images, given = read_mat(file, ["X", "y"])
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[:3] != _IMAGE:
        raise InputError(f"X of {file} should be uint8 of shape (32, 32, 3, n); {images.dtype} of {images.shape} came.")
    pixels = images.reshape(*_IMAGE, -1).transpose(3, 0, 1, 2)  # MATLAB drops the last axis of a single image
    labels = np.asarray(given).ravel()
    if len(labels) != len(pixels):
        raise InputError(f"y of {file} has {len(labels)} labels for {len(pixels)} images. Get it again.")
    if labels.dtype.kind not in "uif" or not np.isin(labels, np.arange(1, _ZERO + 1)).all():
        raise InputError(f"y of {file} should hold the digits 1 to 9, and 10 for the digit 0. Get it again.")
    return Listing(
        [str(row) for row in range(len(pixels))],
        ArraySource(pixels),
        (labels.astype(np.int64) % _ZERO).tolist(),
        classes=tuple(str(digit) for digit in range(10)),
    )
