"""All that an embedding run can be asked, checked before anything heavy starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from goodgrain.checks import check_count


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """How to embed.

    Args:
        batch_size: examples that the model gets at a time.
        views: strongly augmented views of each image whose mean is added; 0 for none.
        flip: whether views may swap left and right; not for digits or text.
        normalize: whether each row of features gets length 1.
        probe: whether probabilities come from out-of-fold linear classifiers on the features; None for where the model
            gives none for these classes and every example has a label.
        seed: draws the views and the folds of the probe.

    Raises:
        InputError: a number outside its range.
    """

    batch_size: int = 64
    views: int = 0
    flip: bool = True
    normalize: bool = False
    probe: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers, and take NumPy's for Python's, which TOML can hold."""
        for name, least in (("batch_size", 1), ("views", 0), ("seed", 0)):
            object.__setattr__(self, name, int(check_count(name, getattr(self, name), least=least)))

    def table(self) -> dict[str, Any]:
        """All of it as plain values, for config.toml."""
        return {**asdict(self), "probe": "auto" if self.probe is None else bool(self.probe)}
