"""Stanford Cars as published (Krause et al. 2013): photographs of cars with one box each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.data.images import FileSource
from goodgrain.data.read.boxes import PixelBoxes
from goodgrain.data.read.file_lists import find_problems
from goodgrain.data.read.listing import Listing, check_split, check_unique
from goodgrain.data.read.matlab import read_mat
from goodgrain.errors import InputError

_META = "cars_meta.mat"
_SPLITS = {  # split -> its annotations, its images
    "train": ("cars_train_annos.mat", "cars_train"),
    "test": ("cars_test_annos_withlabels.mat", "cars_test"),
}
_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
_FIELDS = (*_CORNERS, "class", "fname")


def is_stanford_cars(folder: Path) -> bool:
    """Whether a folder, or its folder `devkit`, holds annotations of a split."""
    return any(_place(folder, annotations).is_file() for annotations, _ in _SPLITS.values())


def list_stanford_cars(folder: Path, split: str | None) -> Listing:
    """Images of `train` (the default) or `test` with their boxes; ids are the files, such as `cars_train/00001.jpg`.

    Boxes are told in pixels counted from 1, the last column and row included, as MATLAB counts. The annotations of the
    test images are published twice; those with classes are read.

    Raises:
        InputError: no such split, not MATLAB files, or annotations of another form.
    """
    annotations, images = _SPLITS[check_split(split, list(_SPLITS), folder)]
    file = _place(folder, annotations)
    (records,) = read_mat(file, ["annotations"])
    missing = [name for name in _FIELDS if name not in (records.dtype.names or ())]
    if missing:
        raise InputError(f"annotations of {file} have no field {missing[0]!r}. They should be those with labels.")
    classes = _class_names(_place(folder, _META))
    cars = records.ravel()
    try:
        corners = np.array([[float(_value(car[name])) for name in _CORNERS] for car in cars], dtype=np.float64)
        labels = [int(_value(car["class"])) - 1 for car in cars]
    except (TypeError, ValueError, IndexError) as reason:
        raise InputError(f"annotations of {file} should hold one number per field and image: {reason}.") from reason
    wrong = next((label for label in labels if not 0 <= label < len(classes)), None)
    if wrong is not None:
        raise InputError(f"{file} has class {wrong + 1}; {_META} names the classes 1 to {len(classes)}.")
    ids = [f"{images}/{_text(car['fname'])}" for car in cars]
    check_unique(ids, file.name)
    return Listing(
        ids,
        FileSource(folder, tuple(ids)),
        [classes[label] for label in labels],
        classes=classes,
        problems=find_problems(folder, ids),
        boxes=PixelBoxes(corners.reshape(-1, 4) - np.array([1, 1, 0, 0])),
    )


def _place(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder / "devkit" / name


def _class_names(file: Path) -> tuple[str, ...]:
    (names,) = read_mat(file, ["class_names"])
    return tuple(_text(name) for name in names.ravel())


def _value(cell: NDArray[Any]) -> Any:
    """The one number of a field, which MATLAB keeps as a matrix."""
    return np.asarray(cell).reshape(1)[0]


def _text(cell: NDArray[Any]) -> str:
    """The text of a cell or field."""
    return "".join(str(part) for part in np.asarray(cell).ravel())
