"""WebVision 1.0 as published, its first 50 classes: "mini WebVision" (Jiang et al. 2018)."""

from __future__ import annotations

from pathlib import Path

from goodgrain.data.images import FileSource
from goodgrain.data.read.file_lists import find_problems, read_lines, read_pairs
from goodgrain.data.read.listing import Listing, check_split, check_unique

CLASSES = 50

_LISTS = {"train": ("train_filelist_google.txt", "."), "val": ("val_filelist.txt", "val_images_256")}  # list, images


def is_webvision(folder: Path) -> bool:
    """Whether a folder holds WebVision's file lists."""
    return any((folder / "info" / name).is_file() for name, _ in _LISTS.values())


def list_webvision(folder: Path, split: str | None) -> Listing:
    """Images of the first 50 classes from Google (`train`, the default) or of the validation set (`val`).

    Ids are the files as the lists name them. Classes are the WordNet ids of `info/synsets.txt` where it is there, so
    that ImageNet's validation folders match by name; numbers otherwise.

    Raises:
        InputError: no such split, or a list that cannot be read.
    """
    name, images = _LISTS[check_split(split, list(_LISTS), folder)]
    files, labels = read_pairs(folder / "info" / name)
    rows = [row for row, label in enumerate(labels) if label < CLASSES]
    ids = [files[row] for row in rows]
    check_unique(ids, name)
    root = folder / images
    return Listing(
        ids,
        FileSource(root, tuple(ids)),
        [labels[row] for row in rows],
        classes=_classes(folder / "info" / "synsets.txt"),
        problems=find_problems(root, ids),
    )


def _classes(synsets: Path) -> tuple[str, ...]:
    if not synsets.is_file():
        return tuple(str(label) for label in range(CLASSES))
    return tuple(line.split()[0] for line in read_lines(synsets)[:CLASSES])
