"""Files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary name beside the target, which takes the target's place when the block ends without an error.

    Args:
        target: the file to make or replace; its folder must be there.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "note.txt")
        >>> with whole_file(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself has to survive a power cut
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def is_part(path: Path) -> bool:
    """Whether this is a temporary file that a killed process left behind."""
    return path.name.startswith(".") and path.name.endswith(".part")
