"""A folder with one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from goodgrain.data.images import FileSource
from goodgrain.data.read.listing import Listing, check_split, check_unique
from goodgrain.errors import InputError

SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev", "eval"})
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})  # hidden files of a system that does not hide them by name


def list_class_folders(root: Path, *, needs_labels: bool = True) -> Listing:
    """Every file below the class folders, sorted; ids are paths relative to the root.

    Hidden files and folders are ignored. What cannot be an image of a class is listed as a problem, so that nothing
    is lost without a word: other kinds of files, linked folders, links that leave the root, images beside the classes
    (unless these need no labels).

    Raises:
        InputError: no class folders, or a class without images.
    """
    entries = _entries(root)
    folders = [entry for entry in entries if _is_folder(entry)]
    if not folders:
        raise InputError(
            f"{root} holds neither class folders, nor a labels.csv, nor Parquet files. "
            "Put the images of each class into a folder of its own, or write a labels.csv (columns file, label)."
        )
    files: list[str] = []
    labels: list[str | None] = []
    problems: dict[int, str] = {}
    for folder in folders:
        name = _readable(folder.name)
        usable = 0
        for file, problem in _walk(root, folder):
            if problem is None:
                usable += 1
            else:
                problems[len(files)] = problem
            files.append(file)
            labels.append(name)
        if usable == 0:
            raise InputError(f"class {name!r} has no images. Remove the empty folder or put its images there.")
    for entry in entries:
        if not _is_folder(entry) and _is_image(entry.name):
            problem = "it lies beside the class folders and so has no label" if needs_labels else _file(root, entry)[1]
            if problem is not None:
                problems[len(files)] = problem
            files.append(entry.name)
            labels.append(None)
    ids = [_readable(file) for file in files]
    check_unique(ids, str(root))
    classes = tuple(_readable(folder.name) for folder in folders)
    return Listing(ids, FileSource(root, tuple(files)), labels, classes=classes, problems=problems)


def list_images(root: Path) -> Listing:
    """Every file below a folder, sorted, whatever folders it lies in; labels are not looked for.

    Raises:
        InputError: no images.
    """
    found: list[tuple[str, str | None]] = []
    for entry in _entries(root):
        found += _walk(root, entry) if _is_folder(entry) else [_file(root, entry)]
    if all(problem is not None for _, problem in found):
        raise InputError(f"{root} holds no images.")
    files = [file for file, _ in found]
    ids = [_readable(file) for file in files]
    check_unique(ids, str(root))
    problems = {row: problem for row, (_, problem) in enumerate(found) if problem is not None}
    return Listing(ids, FileSource(root, tuple(files)), None, problems=problems)


def split_folder(root: Path, split: str | None) -> Path:
    """The folder of a split, as ImageNet has `train` and `val`; the root itself where it holds no splits.

    Without a split, a root with nothing but split folders means its `train`.

    Raises:
        InputError: no such split, or several of which none is `train`.
    """
    folders = [entry.name for entry in _entries(root) if _is_folder(entry)]
    splits = [name for name in folders if name.lower() in SPLITS]
    if split is None and (not splits or len(splits) < len(folders)):
        return root
    if not splits:
        raise InputError(f"{root} has no splits, so '#{split}' means nothing. Give the path alone.")
    return root / check_split(split, splits, root)


def _walk(root: Path, folder: os.DirEntry[str]) -> Iterator[tuple[str, str | None]]:
    """(path relative to the root, why it is no image of the class or None) of all files, depth first and sorted."""
    if folder.is_symlink():
        yield _relative(root, folder), "it is a link to a folder, and such links are not followed"
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _hidden(entry.name):
            continue
        if _is_folder(entry):
            yield from _walk(root, entry)
        else:
            yield _file(root, entry)


def _file(root: Path, entry: os.DirEntry[str]) -> tuple[str, str | None]:
    if entry.is_symlink() and not leads_inside(root, Path(entry.path)):
        return _relative(root, entry), "it is a link that leaves the folder"
    if not _is_image(entry.name):
        return _relative(root, entry), "its name does not end like an image's"
    return _relative(root, entry), None


def leads_inside(root: Path, path: Path) -> bool:
    """Whether a path, with all links followed, is below the root."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links that go round in circles
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that go round in circles
        return False


def _entries(root: Path) -> list[os.DirEntry[str]]:
    return sorted((entry for entry in os.scandir(root) if not _hidden(entry.name)), key=lambda entry: entry.name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in Image.registered_extensions()


def _relative(root: Path, entry: os.DirEntry[str]) -> str:
    return Path(entry.path).relative_to(root).as_posix()


def _readable(name: str) -> str:
    r"""A name as valid text: bytes that are not UTF-8 are written as \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
