"""How far a long step has come, how fast it goes, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from goodgrain.pipelines.monitor import Monitor

_SECONDS = 10.0  # between two lines


class Pace:
    """Tells a monitor every few seconds how far a step has come.

    Args:
        what: what is counted, in the plural.
        total: how many there will be.
        watch: is told.
        more: further words for the line, such as what was spent.
        clock: seconds that never run backwards.

    Example:
        >>> times = iter([0.0, 12.0])
        >>> class Told:
        ...     def stage(self, sentence): print(sentence)
        >>> Pace("texts embedded", 100, Told(), clock=lambda: next(times)).add(40)
        40 of 100 texts embedded, 200 a minute, about 18 s left
    """

    def __init__(
        self,
        what: str,
        total: int,
        watch: Monitor,
        more: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._watch, self._more, self._clock = what, total, watch, more, clock
        self._done = self._new = 0
        self._start = self._last = clock()

    def add(self, count: int, *, new: bool = True) -> None:
        """So many more are done; those that were there already come at once, and say nothing about the rate."""
        self._done += count
        self._new += count if new else 0
        now = self._clock()
        if now - self._last < _SECONDS:
            return
        self._last = now
        rate = self._new / (now - self._start)
        left = max(self._total - self._done, 0)
        time_left = f", about {_time(left / rate)} left" if rate else ""
        self._watch.stage(
            f"{min(self._done, self._total):,} of {self._total:,} {self._what}{self._more()}, "
            f"{60 * rate:,.0f} a minute{time_left}"
        )


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
