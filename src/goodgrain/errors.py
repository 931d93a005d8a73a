"""The errors that a user can cause, each with a sentence that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GoodgrainError(Exception):
    """Anything this library refuses; the command line prints it as one sentence and exits with 2."""


class InputError(GoodgrainError, ValueError):
    """Data or an argument is not what was asked for."""


class UnknownName(GoodgrainError, KeyError):
    """A name is in no table; the message offers the nearest known one.

    Args:
        kind: what was looked up, as a user calls it ("pruning method").
        name: what came.
        known: every name that would have been right.

    Example:
        >>> print(UnknownName("pruning method", "unifrom", ["margin", "uniform"]))
        no pruning method 'unifrom'. Did you mean 'uniform'? Known: margin, uniform
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"no {kind} {name!r}.{hint} Known: {', '.join(names)}")

    def __str__(self) -> str:
        """The sentence itself; KeyError would quote it."""
        return str(self.args[0])


class MissingExtra(GoodgrainError, ImportError):
    """An optional dependency is not installed; the message is the line that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'goodgrain[{extra}]'")


class DiskFull(GoodgrainError, OSError):
    """A step could not be written down, so that it did not happen; it may be repeated as soon as there is room."""
