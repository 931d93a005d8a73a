"""Text files that list images, one per line, and their labels."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from goodgrain.data.read.folder import leads_inside
from goodgrain.errors import InputError


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, stripped, without empty ones.

    Raises:
        InputError: no such file, not UTF-8, or nothing in it.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise InputError(f"{file} cannot be read as a list in UTF-8: {reason}.") from reason
    lines = [line for raw in text.split("\n") if (line := raw.strip())]
    if not lines:
        raise InputError(f"{file} is empty: one line per image or class is needed.")
    return lines


def read_pairs(file: Path) -> tuple[list[str], list[int]]:
    """(files, labels) of lines that read FILE LABEL; a file name may hold spaces.

    Raises:
        InputError: no such file, or a line of another form.
    """
    lines = read_lines(file)
    try:
        pairs = [line.rsplit(maxsplit=1) for line in lines]
        return [name for name, _ in pairs], [int(label) for _, label in pairs]
    except ValueError:
        wrong = next(line for line in lines if not _is_pair(line))
    raise InputError(f"{file} should hold lines that read FILE LABEL, the label a whole number; {wrong!r} came.")


def find_problems(root: Path, files: Sequence[str]) -> dict[int, str]:
    """Row -> why its file cannot be used, for files that are missing or outside of the root.

    One look per file; folders are resolved once each, so that a million files take seconds.
    """
    problems: dict[int, str] = {}
    inside: dict[str, bool] = {}
    for row, file in enumerate(files):
        folder = os.path.dirname(file)
        if folder not in inside:
            inside[folder] = "\0" not in folder and leads_inside(root, root / folder)
        problem = _problem(root, file) if inside[folder] else "the file is outside the folder"
        if problem is not None:
            problems[row] = problem
    return problems


def _problem(root: Path, file: str) -> str | None:
    try:
        path = os.path.join(root, file)
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            if not leads_inside(root, Path(path)):
                return "the file is outside the folder"
            mode = os.stat(path).st_mode
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return "the file is missing"
    return None if stat.S_ISREG(mode) else "the file is missing"


def _is_pair(line: str) -> bool:
    *_, label = line.split()
    try:
        int(label)
    except ValueError:
        return False
    return len(line.split()) > 1
