"""What an encoder is."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from goodgrain.checks import Floats
from goodgrain.errors import MissingExtra

Examples = NDArray[Any] | Sequence[str]
"""One batch: images (b, h, w, c) uint8, c = 1 or 3, or b texts."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a model makes of one batch.

    Args:
        features: (b, d).
        probabilities: (b, c); rows sum to 1. None where the model has no classes.
    """

    features: Floats
    probabilities: Floats | None = None


class Encoder(Protocol):
    """A model that turns examples into features, one row each, whatever else is in the batch."""

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) that images should come in; None where any will do, and for texts."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of its classes in the order of its probabilities; None where it does not know them."""

    def __call__(self, examples: Examples) -> Encoded:
        """Encode one batch; the examples stay as they are."""


def library(package: str, extra: str) -> Any:
    """An optional package, or the line that installs it.

    Raises:
        MissingExtra: it is not there.
    """
    try:
        return importlib.import_module(package)
    except ImportError as reason:
        raise MissingExtra(package.replace("_", "-"), extra) from reason
