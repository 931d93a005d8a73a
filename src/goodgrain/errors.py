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


class TeacherUnavailable(GoodgrainError, ConnectionError):
    """A teacher's server cannot be reached, refuses all calls, or fails on and on; what was paid for is kept."""


class CostCapReached(GoodgrainError):
    """The next call could have cost more than is left; nothing was sent for it, and what was paid for is kept.

    Args:
        budget_usd: the cap.
        spent_usd: what has been paid, answers of earlier runs with the same cache included.
        lost_usd: at most this much more, for calls whose end nobody knows.
        done: how many of the requests have an answer.
        asked: how many requests there are.
        likely_usd: what the others will take by the estimate of a dry run.
        most_usd: what they can take at worst.

    Example:
        >>> reached = CostCapReached(
        ...     budget_usd=5, spent_usd=4.9, lost_usd=0, done=812, asked=1000, likely_usd=1.1, most_usd=2.5
        ... )
        >>> str(reached).partition(". ")[0]
        'the cost cap of $5.0000 is reached: 812 of 1000 requests have an answer, $4.9000 spent'
    """

    def __init__(
        self,
        *,
        budget_usd: float,
        spent_usd: float,
        lost_usd: float,
        done: int,
        asked: int,
        likely_usd: float,
        most_usd: float,
    ) -> None:
        self.spent_usd, self.lost_usd, self.done, self.asked = spent_usd, lost_usd, done, asked
        self.likely_usd, self.most_usd = likely_usd, most_usd
        lost = f", and up to ${lost_usd:.4f} for calls that broke off" if lost_usd else ""
        super().__init__(
            f"the cost cap of ${budget_usd:.4f} is reached: {done} of {asked} requests have an answer, "
            f"${spent_usd:.4f} spent{lost}. "
            f"The other {asked - done} take about ${likely_usd:.4f}, at most ${most_usd:.4f}. "
            "Run again with a larger budget: what was paid for is kept and not paid twice."
        )
