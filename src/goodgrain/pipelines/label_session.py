"""The session of a labelling run without its images and models: enough to ask, to tell and to look."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from goodgrain.annotate import Session, SessionView
from goodgrain.annotate.store import FILE
from goodgrain.checks import Positions
from goodgrain.errors import InputError
from goodgrain.pipelines.label_files import config_of


def open_session(folder: str | Path) -> Session:
    """The session of a labelling run, to ask and to tell.

    Raises:
        InputError: no labelling run is there, or it is open already.
    """
    return Session.open(_checked(folder))


def view_session(folder: str | Path) -> SessionView:
    """The session of a labelling run, to look at, also while it is being served.

    Raises:
        InputError: no labelling run is there.
    """
    return SessionView.open(_checked(folder))


def check_asking(session: SessionView, folder: str | Path) -> None:
    """Refuse to ask between two rounds.

    Raises:
        InputError: the last round is closed.
    """
    last = session.round
    if last is not None and last.state == "closed":
        raise InputError(
            f"round {last.number} is closed, and nothing has learned from it yet. "
            f"Go on with `goodgrain label train {folder}`."
        )


def trains_first(session: SessionView) -> bool:
    """Whether the very first round is still to come, and is for a model: labels that were known are enough for one."""
    return session.round is None and trainable(session.labels()[1])


def trainable(labels: Positions) -> bool:
    """Whether two classes have an answer.

    Args:
        labels: (n,) classes, OOD or UNLABELED.

    Example:
        >>> trainable(np.array([0, -1, 1])), trainable(np.array([0, -2, 0]))
        (True, False)
    """
    return len(np.unique(labels[labels >= 0])) > 1


def _checked(folder: str | Path) -> Path:
    config_of(folder)
    path = Path(folder)
    if not (path / FILE).is_file():  # init was killed on its way
        raise InputError(f"{folder} was begun and has no session yet. Repeat its `goodgrain label init`.")
    return path
