"""How fast calls may follow each other, and how long to wait after one that failed."""

from __future__ import annotations

import email.utils
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from goodgrain.checks import check_count

_MINUTE = 60.0
_TICK = 0.001  # a shorter wait may not move a clock at all


class RateLimit:
    """At most so many requests and tokens in any 60 seconds; threads share it.

    Args:
        requests_per_minute: None for any number.
        tokens_per_minute: prompt and answer together; None for any number.
        clock: seconds that never run backwards.

    Raises:
        InputError: a limit below 1.

    Example:
        >>> limit = RateLimit(requests_per_minute=1, clock=lambda: 10.0)
        >>> limit.take(500), limit.take(500)
        (0.0, 60.0)
    """

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if limit is not None:
                check_count(name, limit)
        self._requests, self._tokens = requests_per_minute or math.inf, tokens_per_minute or math.inf
        self._clock = clock
        self._turn = threading.Lock()
        self._recent: deque[tuple[float, int]] = deque()
        self._held_until = -math.inf

    def take(self, tokens: int) -> float:
        """Take the right to send one request of so many tokens.

        A request of more tokens than a minute allows goes alone.

        Returns:
            0 where it may be sent now; else after how many seconds to try again, with nothing taken.
        """
        with self._turn:
            now = self._clock()
            if now < self._held_until:
                return self._held_until - now
            while self._recent and self._recent[0][0] + _MINUTE <= now:
                self._recent.popleft()
            count, used, wait = len(self._recent), sum(spent for _, spent in self._recent), 0.0
            for sent_at, spent in self._recent:  # how many of the oldest have to be a minute old first
                if count < self._requests and used + tokens <= self._tokens:
                    break
                count, used, wait = count - 1, used - spent, sent_at + _MINUTE - now
            if wait > 0:
                return max(wait, _TICK)
            self._recent.append((now, tokens))
            return 0.0

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long, as the server asked for."""
        with self._turn:
            self._held_until = max(self._held_until, self._clock() + seconds)


def full_jitter(failures: int, draw: random.Random, *, base: float = 1.0, most: float = 60.0) -> float:
    """Seconds to wait after so many failures in a row: uniform in [0, min(most, base * 2^(failures - 1))].

    "Full jitter" spreads clients that failed together (Brooker 2015, "Exponential backoff and jitter").

    Example:
        >>> 0 <= full_jitter(3, random.Random(0)) <= 4
        True
    """
    return draw.uniform(0.0, min(most, base * 2.0 ** min(failures - 1, 60)))


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """How many seconds a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110).

    Args:
        headers: with names in lower case.
        now: seconds since 1970.

    Returns:
        None where it does not say, or not so that it can be read.

    Example:
        >>> retry_after({"retry-after": "2.5"}, now=0), retry_after({"retry-after": "soon"}, now=0)
        (2.5, None)
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
