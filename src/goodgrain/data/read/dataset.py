"""The door to datasets on disk: recognise the layout, line up the labels, decode every image once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions, check_count
from goodgrain.data.images import (
    ArraySource,
    ImageSource,
    PickedSource,
    Shape,
    fits_memory,
    look_at,
    original,
    sentence,
)
from goodgrain.data.pool import UNLABELED, Pool, Rejected
from goodgrain.data.read.arrays import list_npz
from goodgrain.data.read.boxes import in_shares
from goodgrain.data.read.cifar import is_cifar, list_cifar
from goodgrain.data.read.clothing1m import is_clothing1m, list_clothing1m
from goodgrain.data.read.cub200 import is_cub200, list_cub200
from goodgrain.data.read.folder import list_class_folders, list_images, split_folder
from goodgrain.data.read.labels import MISSING, encode, read_labels
from goodgrain.data.read.listing import Labeled, Listing
from goodgrain.data.read.parquet import choose_files, list_parquet
from goodgrain.data.read.stanford_cars import is_stanford_cars, list_stanford_cars
from goodgrain.data.read.svhn import is_svhn, list_svhn
from goodgrain.data.read.table import list_csv
from goodgrain.data.read.webvision import is_webvision, list_webvision
from goodgrain.errors import InputError

LONGEST_SIDE = 64  # pixels of the longer side, unless an image size is asked for
MOST_CHECKED = 100_000  # images that are decoded for a check alone; a million would take hours
TABLE = "labels.csv"

_PUBLISHED = (
    (is_webvision, list_webvision),
    (is_clothing1m, list_clothing1m),
    (is_cub200, list_cub200),
    (is_stanford_cars, list_stanford_cars),
    (is_svhn, list_svhn),
)


def read(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    clean_labels: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    box_frame: tuple[int, int] | None = None,
    labeled: Labeled = True,
    max_bad: float = 0.01,
) -> Pool:
    """Read a labelled image dataset, whatever its layout, and decode every image once to know that it can be used.

    Layouts: a folder with a sub-folder per class; a folder with `labels.csv` (columns file and label, clean_label if
    known); a Parquet file or a folder of them, with image bytes and labels, as Hugging Face datasets export; an NPZ
    archive with images x and labels y; CIFAR-10, CIFAR-100, SVHN, WebVision, Clothing-1M, CUB-200-2011 and Stanford
    Cars as they are published. A split is named after `#`: "mnist.npz#test" is x_test and y_test, "folder#test" the
    files test-*.parquet or the class folders in test/. Without it, "train" is read where there are several.

    Of more than 100,000 images that do not fit into 1 GB, only the headers are looked at; they are decoded when
    they are asked for.

    Labels are class names or integers; -1 stands for not labelled, -2 for out of distribution.

    Boxes come with CUB-200-2011 and Stanford Cars, from columns x0, y0, x1, y1 of Parquet files and labels.csv, and
    from an array boxes (n, 4) of an NPZ. These count pixels from 0, and x1 and y1 are the last ones inside: a box
    around all of a 64 x 64 image is 0, 0, 63, 63. Where such boxes exceed their images and no box_frame is given, they
    are left out with a warning.

    Args:
        path: a file or folder, with "#SPLIT" where it holds several.
        labels: "FILE" or "FILE:COLUMN" (CSV, Parquet, NPY, PT) that replaces the dataset's labels; rows are matched by
            an id column where there is one that fits, else by their order.
        clean_labels: likewise, the truth for reporting.
        image_size: pixels of a square, or (height, width); the most common size by default, at most 64 pixels long.
        label_column: column of the labels, for tables; found by its name by default.
        image_column: column of the images or their files; found by its type or name by default.
        id_column: column of the ids; found by its name by default.
        box_frame: (width, height) in pixels that boxes are told in; by default those of each stored image.
        labeled: False for images of which labels and boxes are not looked at, such as OOD images: a folder then needs
            no class folders, a table no labels, and all images are labelled -1. "partly" where some lack a label:
            these are labelled -1, images beside class folders among them.
        max_bad: largest share of images that may be unusable; those are in `Pool.rejected` with their reasons.

    Raises:
        InputError: no known layout, too many bad images, labels that are no classes, a box that is empty or outside
            its image, or a box_frame for images without boxes.
        UnknownName: a label that is no class name.
    """
    if not 0 <= max_bad <= 1:
        raise InputError(f"max_bad should be a share between 0 and 1; {max_bad!r} came.")
    size = None if image_size is None else _check_size(image_size)
    frame = None if box_frame is None else _check_frame(box_frame)
    if not labeled and any(given is not None for given in (labels, clean_labels, label_column, box_frame)):
        raise InputError("labeled=False leaves labels and boxes aside, so nothing should be said about them.")
    listing = _list(Path(path), labeled, labels is None, label_column, image_column, id_column)
    if not labeled:
        listing = dataclasses.replace(listing, labels=[UNLABELED] * len(listing.ids), clean_labels=None, boxes=None)
    if frame is not None and listing.boxes is None:
        raise InputError(f"{path} has no boxes, so box_frame means nothing. Columns x0, y0, x1, y1 would be boxes.")
    own = listing.labels
    if labels is not None:
        listing = dataclasses.replace(listing, labels=read_labels(labels, listing.ids, listing.problems, own))
    if clean_labels is not None:
        truth = read_labels(clean_labels, listing.ids, listing.problems, own)
        listing = dataclasses.replace(listing, clean_labels=truth)
    if labeled == "partly":
        listing = _partly(listing)
    pool = _assemble(listing, size, max_bad, frame)
    if labeled is True and not pool.classes:
        raise InputError("no image has a class. At least one needs a label.")
    return pool


def _partly(listing: Listing) -> Listing:
    """A dataset of which what lacks a label is not labelled, and nothing is wrong with it."""
    given = [None] * len(listing.ids) if listing.labels is None else listing.labels
    return dataclasses.replace(listing, labels=[UNLABELED if label is None else label for label in given])


def _list(
    path: Path, labeled: Labeled, own_labels: bool, label: str | None, image: str | None, id_: str | None
) -> Listing:
    path, split = _locate(path)
    looked_for = labeled if own_labels else False  # in the dataset itself
    kind = path.suffix.lower()
    published = _list_published(path, split, label, image, id_)
    if published is not None:
        return published
    if path.is_dir():
        files = choose_files(path, split)
        if files:
            return list_parquet(files, label_column=label, image_column=image, id_column=id_, labeled=looked_for)
        if split or not (path / TABLE).is_file():
            path, split = split_folder(path, split), None
        if (path / TABLE).is_file():
            path, kind = path / TABLE, ".csv"
    if kind == ".npz" and not path.is_dir():
        _refuse_columns(path, label, image, id_)
        return list_npz(path, split, labeled=looked_for)
    if split:
        raise InputError(f"{path} has no splits, so '#{split}' means nothing. Give the path alone.")
    if path.is_dir():
        _refuse_columns(path, label, image, id_)
        return list_class_folders(path, needs_labels=labeled is True) if labeled else list_images(path)
    if kind == ".csv":
        return list_csv(path, label_column=label, image_column=image, id_column=id_, labeled=looked_for)
    if kind == ".parquet":
        return list_parquet([path], label_column=label, image_column=image, id_column=id_, labeled=looked_for)
    raise InputError(
        f"{path} is no known layout: a folder of class folders, a folder with labels.csv, Parquet or NPZ is needed."
    )


def _list_published(path: Path, split: str | None, label: str | None, *columns: str | None) -> Listing | None:
    """A dataset in the layout of its publication, which its file names tell."""
    if is_cifar(path):
        _refuse_columns(path, *columns)
        return list_cifar(path, split, label_column=label)
    for is_here, lister in _PUBLISHED:
        if is_here(path):
            _refuse_columns(path, label, *columns)
            return lister(path, split)
    return None


def _locate(path: Path) -> tuple[Path, str | None]:
    if path.exists():
        return path, None
    name, mark, split = str(path).rpartition("#")
    if mark and split and Path(name).exists():
        return Path(name), split
    raise InputError(f"{path} does not exist. Give a folder of images, a Parquet file or an NPZ file.")


def _refuse_columns(path: Path, *columns: str | None) -> None:
    asked = [column for column in columns if column is not None]
    if asked:
        raise InputError(f"{path} has no columns, so {asked[0]!r} means nothing. Parquet and CSV files have.")


def _check_frame(frame: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(frame, tuple | list) or len(frame) != 2:
        raise InputError(f"box_frame should be width and height in pixels; {frame!r} came.")
    return check_count("box_frame's width", frame[0]), check_count("box_frame's height", frame[1])


def _check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise InputError(f"image_size should be one number, or height and width; {size} came.")
    return check_count("image_size", sides[0]), check_count("image_size", sides[1])


def _assemble(listing: Listing, size: tuple[int, int] | None, max_bad: float, frame: tuple[int, int] | None) -> Pool:
    n = len(listing.ids)
    if n == 0 or listing.labels is None:
        raise InputError("the dataset has no images.")
    labels, clean, classes = encode(listing.labels, listing.clean_labels, listing.classes)
    problems = dict(listing.problems)
    for row in np.flatnonzero(labels == MISSING).tolist():
        problems.setdefault(row, "it has no label")
    looks = _look(listing.source, n, problems)
    rejected = [Rejected(listing.ids[row], problems[row]) for row in sorted(problems)]
    _check_rejected(rejected, n, max_bad)
    rows = np.array(sorted(looks), dtype=np.int64)
    pool = Pool(
        np.asarray(listing.ids, dtype=np.str_)[rows],
        labels[rows],
        classes,
        listing.source if len(rows) == n else PickedSource(listing.source, rows),
        _shape(list(looks.values()), size),
        None if clean is None else clean[rows],
        tuple(rejected),
        _boxes(listing, looks, rows, frame),
    )
    if fits_memory(len(rows), pool.image_shape) or len(rows) <= MOST_CHECKED:
        pool = pool.verified()
    _check_rejected(pool.rejected, n, max_bad)
    return pool


def _boxes(
    listing: Listing,
    looks: dict[int, tuple[int, int, bool]],
    rows: Positions,
    frame: tuple[int, int] | None,
) -> NDArray[np.float32] | None:
    if listing.boxes is None:
        return None
    sizes = [frame or (looks[row][1], looks[row][0]) for row in rows.tolist()]
    boxes = dataclasses.replace(listing.boxes, edges=listing.boxes.edges[rows])
    ids = [listing.ids[row] for row in rows.tolist()]
    return in_shares(boxes, np.array(sizes, dtype=np.float64), ids, stated=frame is not None)


def _look(source: ImageSource, n: int, problems: dict[int, str]) -> dict[int, tuple[int, int, bool]]:
    """(height, width, grayscale) of every row whose header can be read; the others are added to the problems."""
    looks: dict[int, tuple[int, int, bool]] = {}
    for row in range(n):
        if row in problems:
            continue
        if isinstance(source, ArraySource):
            height, width, channels = source.images.shape[1:]
            looks[row] = height, width, channels == 1
            continue
        try:
            data = original(source, row)
            if data is None:
                raise ValueError("the row holds no image bytes")
            looks[row] = look_at(data)
        except (OSError, ValueError, SyntaxError) as problem:
            problems[row] = sentence(problem)
    return looks


def _shape(looks: list[tuple[int, int, bool]], size: tuple[int, int] | None) -> Shape:
    if size is None:
        (height, width), _ = Counter((height, width) for height, width, _ in looks).most_common(1)[0]
        shrink = min(1.0, LONGEST_SIDE / max(height, width))
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
    return (*size, 1 if all(gray for _, _, gray in looks) else 3)


def _check_rejected(rejected: list[Rejected] | tuple[Rejected, ...], n: int, max_bad: float) -> None:
    share = len(rejected) / n  # correctly rounded: 29 of 100 are 0.29, while 0.29 * 100 is less than 29
    if share > max_bad or len(rejected) == n:
        limit = f", more than max_bad={max_bad:g} allows" if share > max_bad else ""
        first = "; ".join(f"{bad.id}: {bad.reason}" for bad in rejected[:3])
        raise InputError(
            f"{len(rejected)} of {n} images ({share:.1%}) cannot be used{limit}. The first: {first}. "
            "Repair or remove them, or raise max_bad."
        )
