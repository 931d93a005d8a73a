"""Training between two rounds, in a thread of its own, while the page shows how far it is."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from goodgrain.errors import GoodgrainError

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class JobState:
    """How far it is.

    Args:
        running: whether it is under way.
        stage: what it does.
        share: of this stage that is done, in [0, 1].
        error: why the last attempt ended; "" where it did not fail.
    """

    running: bool = False
    stage: str = ""
    share: float = 0.0
    error: str = ""


class Job:
    """Something that takes minutes, once at a time.

    Args:
        work: what is done; it is given a function to report (stage, share done) to.
    """

    def __init__(self, work: Callable[[Report], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._state = JobState()

    @property
    def state(self) -> JobState:
        """How far it is now."""
        with self._lock:
            return self._state

    def start(self) -> bool:
        """Begin; False where it is under way already."""
        with self._lock:
            if self._state.running:
                return False
            self._state = JobState(running=True)
        threading.Thread(target=self._run, name="train and ask again", daemon=True).start()
        return True

    def _run(self) -> None:
        error = ""
        try:
            self._work(self._report)
        except GoodgrainError as reason:
            error = str(reason)
        except Exception as reason:  # whatever it is, the page must not wait for ever
            logging.getLogger(__name__).exception("training between two rounds failed")
            error = f"an unexpected {type(reason).__name__}: {reason}. The server's log says more."
        with self._lock:
            self._state = JobState(error=error)

    def _report(self, stage: str, share: float) -> None:
        done = float(share)
        with self._lock:
            done = 0.0 if math.isnan(done) else min(max(done, 0.0), 1.0)
            self._state = replace(self._state, stage=str(stage), share=done)
