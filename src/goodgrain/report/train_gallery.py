"""What a model stopped looking at, in pictures: features that OOD images excite less than in standard training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goodgrain.checks import Positions
from goodgrain.report import train_plots as plots
from goodgrain.report.html import Block, Figure, Gallery, Text, Tile, picture_bytes
from goodgrain.report.train_facts import STANDARD, SwitchedOff, TrainFacts

_FEATURES = 3  # whose pictures are shown
_AGREE = 0.5  # least correlation of two models' features that are spoken of as the same


def switched_off_title(facts: TrainFacts) -> str:
    """What the section may be called, by how far the features of the two models agree.

    Args:
        facts: of the run.

    Returns:
        Plain text; a statement only where an index means the same feature in both models.
    """
    off = facts.switched_off
    return "What may have been switched off" if off and not _same(off) else "What the model stopped looking at"


def switched_off(facts: TrainFacts) -> list[Block]:
    """Bars of the features that lost most, and the pictures that excite some of them.

    Args:
        facts: of the run.

    Returns:
        Blocks; none where the models were not compared. Of features whose OOD pictures are mostly the same, the first
        is shown.
    """
    off = facts.switched_off
    if off is None:
        return []
    if not len(off.features):
        return [Text("No feature responds less to OOD images than in standard training.")]
    plot = plots.responses(off.features, off.before, off.after, names=(STANDARD, facts.method))
    reading = (
        "How strongly each feature responds to OOD images; 1 is what the model's features respond to the target on "
        "average (root mean square). "
        + ("Those that lost most" if _same(off) else "Of equal numbers in both models, those that differ most")
        + ", in the first repeat."
    )
    title = "Response before and after" if _same(off) else f"Response in {STANDARD} and in {facts.method}"
    blocks: list[Block] = [Text(_trust(off)), Figure(plot, title, reading)]
    shown = distinct(off.top_outside, _FEATURES)
    galleries = [block for row in shown for block in _pictures(facts, off, row)]
    repeats = [f"{off.features[row]}" for row in range(shown[-1]) if row not in shown]
    if galleries and repeats:
        blocks.append(
            Text(f"Not shown, since most of their OOD pictures are those below: feature {', '.join(repeats)}.")
        )
    return [*blocks, *galleries]


def distinct(pictures: Positions, most: int) -> list[int]:
    """The first rows of which no two show mostly the same: one finding is told once.

    Args:
        pictures: (f, k) positions, each once in a row.
        most: how many rows.

    Returns:
        At most so many rows, ascending; a row goes where more than half of it stands in a row that stays.

    Example:
        >>> distinct(np.array([[0, 1, 2, 3], [3, 2, 1, 9], [4, 5, 0, 1]]), 2)
        [0, 2]
    """
    kept: list[int] = []
    for row, own in enumerate(pictures):
        if len(kept) < most and all(2 * len(np.intersect1d(own, pictures[other])) <= len(own) for other in kept):
            kept.append(row)
    return kept


def _same(off: SwitchedOff) -> bool:
    """Whether an index means the same feature in both models."""
    return off.agreement >= _AGREE


def _trust(off: SwitchedOff) -> str:
    told = (
        "Both models started from the same weights; over the same images, a feature of one correlates with the same "
        f"feature of the other by {off.agreement:.2f} (median). "
    )
    if _same(off):
        return f"{told}That is near enough to compare feature by feature."
    return (
        f"{told}That is low, below {_AGREE}: training has parted them. The feature of one number may be another one in "
        "the other model, so a shorter bar need not mean that anything was switched off."
    )


def _pictures(facts: TrainFacts, off: SwitchedOff, row: int) -> list[Block]:
    feature, before, after = int(off.features[row]), f"{off.before[row]:.2f}", f"{off.after[row]:.2f}"
    numbers = (
        f"Response to OOD images: {before} before, {after} after."
        if _same(off)
        else f"Response to OOD images: {before}. Of feature {feature} in {facts.method}, perhaps another one: {after}."
    )
    blocks: list[Block] = []
    if facts.ood_thumbnail is not None and off.top_outside.shape[1]:
        tiles = [
            _tile(picture_bytes(facts.ood_thumbnail(i)), "OOD", str(facts.ood_ids[i]))
            for i in off.top_outside[row].tolist()
        ]
        title = f"Feature {feature}: OOD images that excite it most"
        blocks.append(Gallery(title, f"In the standard model. {numbers}", tiles))
    if facts.thumbnail is not None and off.top_inside.shape[1]:
        tiles = _of_target(facts, off.top_inside[row].tolist())
        title = f"Feature {feature}: images of the target that excite it most"
        blocks.append(Gallery(title, "Look for what they share with the OOD images above.", tiles))
    return blocks


def _of_target(facts: TrainFacts, positions: Sequence[int]) -> list[Tile]:
    assert facts.thumbnail is not None
    return [_tile(picture_bytes(facts.thumbnail(i)), _class(facts, i), str(facts.ids[i])) for i in positions]


def _tile(picture: bytes, line: str, name: str) -> Tile:
    """A picture under its file's own name, without folders; all of the name shows on pointing at it."""
    return Tile([picture], line, name.rstrip("/").rpartition("/")[2], full=name)


def _class(facts: TrainFacts, position: int) -> str:
    if facts.labels is None or facts.labels[position] < 0:
        return "no label"
    return str(facts.classes[facts.labels[position]])
