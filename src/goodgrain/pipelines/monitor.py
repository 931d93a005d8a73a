"""Who is told what a pipeline does: nobody, or a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from goodgrain.learn.loop import Progress


class Monitor(Protocol):
    """Told what happens while it happens."""

    def stage(self, sentence: str) -> None:
        """A new part of the work begins, or something was found out."""

    def training(self, what: str, epochs: int) -> Progress:
        """A training of so many epochs begins; the answer is called after each step."""


class Silent:
    """Tells nobody."""

    def stage(self, sentence: str) -> None:
        """Nothing."""

    def training(self, what: str, epochs: int) -> Progress:  # noqa: ARG002  (the protocol's form)
        """Nothing, after each step."""
        return _nothing


def _nothing(epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:
    """Steps pass unseen."""
