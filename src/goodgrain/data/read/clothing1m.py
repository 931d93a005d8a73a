"""Clothing-1M as published (Xiao et al. 2015): lists of keys, and one table of labels for noisy and clean ones each."""

from __future__ import annotations

from pathlib import Path

from goodgrain.data.images import FileSource
from goodgrain.data.read.file_lists import find_problems, read_lines, read_pairs
from goodgrain.data.read.listing import Listing, check_split, check_unique

CLASSES = 14

_LISTS = {  # split -> its keys, their labels
    "train": ("noisy_train_key_list.txt", "noisy_label_kv.txt"),
    "clean-train": ("clean_train_key_list.txt", "clean_label_kv.txt"),
    "val": ("clean_val_key_list.txt", "clean_label_kv.txt"),
    "test": ("clean_test_key_list.txt", "clean_label_kv.txt"),
}
_IMAGES = "images/"


def is_clothing1m(folder: Path) -> bool:
    """Whether a folder, or its folder `annotations`, holds the lists of keys."""
    return any(_place(folder, keys).is_file() for keys, _ in _LISTS.values())


def list_clothing1m(folder: Path, split: str | None) -> Listing:
    """Images with noisy labels (`train`, the default) or with clean ones (`clean-train`, `val`, `test`).

    Ids are the keys. Images lie at their keys, or at their keys without `images/` where there is no such folder.

    Raises:
        InputError: no such split, or a list that cannot be read.
    """
    keys_file, labels_file = _LISTS[check_split(split, list(_LISTS), folder)]
    keys = read_lines(_place(folder, keys_file))
    check_unique(keys, keys_file)
    names, values = read_pairs(_place(folder, labels_file))
    labels = dict(zip(names, values, strict=True))
    bare = not (folder / _IMAGES).is_dir()
    files = tuple(key.removeprefix(_IMAGES) for key in keys) if bare else tuple(keys)
    return Listing(
        keys,
        FileSource(folder, files),
        [labels.get(key) for key in keys],
        classes=_classes(_place(folder, "category_names_eng.txt")),
        problems=find_problems(folder, files),
    )


def _place(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder / "annotations" / name


def _classes(names: Path) -> tuple[str, ...]:
    return tuple(read_lines(names)) if names.is_file() else tuple(str(label) for label in range(CLASSES))
