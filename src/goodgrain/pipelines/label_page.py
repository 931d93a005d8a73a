"""A labelling run behind the page on which people label."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from goodgrain.annotate.page import Backing
from goodgrain.files import whole_file
from goodgrain.learn.loop import Progress
from goodgrain.pipelines.label_session import trains_first
from goodgrain.pipelines.labeling import Labeling
from goodgrain.pipelines.monitor import Monitor


class Reporting:
    """A monitor that tells the page: what is being done, and which share of it is done.

    Args:
        report: is given (stage, share in [0, 1]).
    """

    def __init__(self, report: Callable[[str, float], None]) -> None:
        self._report = report

    def stage(self, sentence: str) -> None:
        """Something begins."""
        self._report(sentence, 0.0)

    def training(self, what: str, epochs: int) -> Progress:
        """A training begins; each step brings it nearer to its end."""
        self._report(what, 0.0)

        def after(epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:  # noqa: ARG001
            self._report(what, (epoch + (step + 1) / steps) / epochs)

        return after


def backing(run: Labeling) -> Backing:
    """What stands behind the page of a labelling run; the run has to stay open as long as the page is served.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from goodgrain.data.pool import Pool
        >>> pool = Pool.from_arrays(np.zeros((4, 8, 8), np.uint8), np.zeros(4, int))
        >>> with Labeling.create(pool, output=tempfile.mkdtemp(), classes=["cat", "dog"], budget=2) as run:
        ...     backing(run).image("0")[1:4]
        b'PNG'
    """
    decoding = threading.Lock()  # decoders' warnings are silenced for the whole process, not for a thread

    def image(id: str) -> bytes:  # noqa: A002  (the field's own word)
        with decoding:
            return run.image(id)

    def advance(report: Callable[[str, float], None]) -> None:
        run.advance(Reporting(report))

    return Backing(run.session, image=image, guess=run.guess, advance=advance, pictures=run.pictures)


def kept_token(folder: Path) -> str:
    """The secret of a run's page: the same for every `serve`, so that a page that is open goes on after a restart.

    It lies in the run folder, for its owner's eyes alone.

    Args:
        folder: of the run.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> kept_token(folder) == kept_token(folder)
        True
    """
    path = folder / _TOKEN
    if not path.exists():
        with whole_file(path) as part:
            part.touch(mode=0o600)
            part.chmod(0o600)  # of a process that was killed
            part.write_text(secrets.token_urlsafe(), encoding="ascii")
    return path.read_text(encoding="ascii")


_TOKEN = ".page-token"  # noqa: S105  (the name of a file)


def begin(run: Labeling, monitor: Monitor | None = None) -> None:
    """Open the very first round where known labels are enough to train a model; without, asking opens it at random.

    Args:
        run: where it is opened.
        monitor: told what happens; silent by default.
    """
    if trains_first(run.session):
        run.advance(monitor)
