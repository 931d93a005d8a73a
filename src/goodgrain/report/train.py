"""What a training run shows: whether OOD images helped, and what the model stopped looking at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.metrics.localization import box_iou
from goodgrain.report import train_plots as plots
from goodgrain.report.html import (
    Block,
    Figure,
    Gallery,
    Section,
    Table,
    Text,
    Tile,
    picture_bytes,
    render,
)
from goodgrain.report.train_facts import MEAN_SQUARE, STANDARD, MethodFacts, OodSource, TrainFacts
from goodgrain.report.train_gallery import switched_off, switched_off_title
from goodgrain.report.train_numbers import brief, comparison, lead

_BOXES = 12
_PAIRS = 8
_ROWS = 50
_PENALTY = "ood"  # among the terms of a loss


def train_report(facts: TrainFacts) -> str:
    """The report of a training run, or of a comparison of OOD sets, as one self-contained HTML page.

    Args:
        facts: what was found; sections whose data is absent are left out.

    Returns:
        HTML; same facts, same text.

    Example:
        >>> method = MethodFacts(name="taufe", score=[0.5], activation=[4.0], ood_activation=[1.0])
        >>> facts = TrainFacts(name="toy", command="goodgrain train toy", method="taufe", methods=[method])
        >>> "taufe: test accuracy 50.0%; responds to OOD images with 25% of" in train_report(facts)
        True
    """
    compared = len(facts.methods) > 1 and any(one.name == STANDARD for one in facts.methods)
    parts = (
        ("In brief", brief(facts)),
        ("Against standard training" if compared else "What was measured", comparison(facts)),
        ("Training", _training(facts)),
        ("Between the classes", _cosines(facts)),
        ("Where the images lie", _projections(facts)),
        (switched_off_title(facts), switched_off(facts)),
        ("Boxes", _boxes(facts)),
        ("Out-of-distribution images", _sources(facts)),
        ("Which OOD set will help", _candidates(facts)),
        ("Files that could not be used", _rejected(facts)),
        ("Settings", _settings(facts)),
    )
    sections = [Section(title, blocks) for title, blocks in parts if blocks]
    title = f"Training report: {facts.name}" if facts.methods else f"OOD sets for {facts.name}"
    return render(title, lead(facts), sections)


def _standard_first(facts: TrainFacts) -> list[MethodFacts]:
    """As pictures are read: before, and after."""
    return sorted(facts.methods, key=lambda one: one.name != STANDARD)


def _training(facts: TrainFacts) -> list[Block]:
    trained = [one for one in facts.methods if one.terms]
    if not trained:
        return []
    terms = {one.name: _terms(one, _own_part(facts)) for one in trained}
    units = {_panel_of_penalty(one): one.penalty for one in trained}
    reading = "Mean over each epoch's steps, in the first repeat. A penalty is shown before its weight."
    if _own_part(facts) and any(set(one.terms) == {"loss"} for one in trained):
        reading += f" Without a penalty, {_own_part(facts)} is all of the loss."
    if facts.width and any(one.penalty.startswith(MEAN_SQUARE) for one in trained):
        reading += (
            f" TAUFE's penalty is a mean over the d = {facts.width:,} features, while training; ‖f(OOD)‖² in the table "
            "above is their sum, after training."
        )
    return [Figure(plots.loss_terms(terms, units), "Loss per epoch", reading)]


def _own_part(facts: TrainFacts) -> str:
    """The name of the learner's own loss beside a penalty; "" where there is no penalty, or more than one such part."""
    parts = {name for one in facts.methods if _PENALTY in one.terms for name in one.terms} - {"loss", _PENALTY}
    return parts.pop() if len(parts) == 1 else ""


def _terms(one: MethodFacts, own_part: str) -> Mapping[str, ArrayLike]:
    """Its terms by the panel that each is drawn in: penalties of two methods never share one."""
    terms = {(_panel_of_penalty(one) if name == _PENALTY else name): values for name, values in one.terms.items()}
    return {**terms, own_part: terms["loss"]} if own_part and set(terms) == {"loss"} else terms


def _panel_of_penalty(one: MethodFacts) -> str:
    return f"penalty of {one.name}"


def _cosines(facts: TrainFacts) -> list[Block]:
    matrices = {one.name: one.cosine for one in _standard_first(facts) if one.cosine is not None}
    if not matrices:
        return []
    reading = (
        "Off the diagonal, darker is better: images of two classes point in different directions and are easy to tell "
        "apart. The diagonal compares different images of one class, and colours span what is off it; columns are in "
        "the order of rows. First repeat."
    )
    return [Figure(plots.class_cosines(matrices, facts.classes), "Mean cosine between classes", reading)]


def _projections(facts: TrainFacts) -> list[Block]:
    models = {one.name: one.projection for one in _standard_first(facts) if one.projection is not None}
    if not models:
        return []
    reading = (
        "TAUFE draws OOD images (crosses) to the zero vector, where the lines cross, and leaves the angles between "
        "classes. Each panel has a scale of its own: compare angles, and how near the crosses are. First repeat."
        + (
            f" Of {len(facts.classes)} classes the {plots.DRAWN} largest are drawn."
            if len(facts.classes) > plots.DRAWN
            else ""
        )
    )
    return [Figure(plots.projections(models, facts.classes), "Features in two dimensions", reading)]


def _boxes(facts: TrainFacts) -> list[Block]:
    found = facts.boxes
    if found is None or facts.thumbnail is None:
        return []
    compared = [name for name in dict.fromkeys((STANDARD, facts.method)) if name in found.predicted]
    names = compared or list(found.predicted)[:2]
    overlaps = {name: box_iou(found.predicted[name], found.true) for name in names}
    drawn = np.random.default_rng(facts.seed).permutation(len(found.positions))[:_BOXES]
    tiles = [
        Tile(
            [
                plots.with_boxes(facts.thumbnail(int(found.positions[i])), found.true[i], found.predicted[name][i])
                for name in names
            ],
            "IoU " + " → ".join(f"{overlaps[name][i]:.2f}" for name in names),
            str(facts.ids[found.positions[i]]),
        )
        for i in np.sort(drawn).tolist()
    ]
    sides = f" Left {names[0]}, right {names[1]}." if len(names) == 2 else ""
    reading = f"Blue: the true box. Orange: the predicted one.{sides} Drawn at random, first repeat."
    return [Gallery("Some test images", reading, tiles)]


def _sources(facts: TrainFacts) -> list[Block]:
    if not facts.sources:
        return []
    rows = [(one.name, f"{one.images:,}", f"{len(one.copies):,}") for one in facts.sources]
    caption = "Images that repeat one of the target's own were left out: their features are the wanted ones."
    blocks: list[Block] = [Table(("Source", "Trained on", "Copies left out"), rows, caption, frozenset({1, 2}))]
    for one in facts.sources:
        blocks += _copies(facts, one)
    return blocks


def _copies(facts: TrainFacts, source: OodSource) -> list[Block]:
    if not len(source.copies) or source.thumbnail is None or facts.target_thumbnail is None:
        return []
    tiles = [
        Tile(
            [picture_bytes(source.thumbnail(left)), picture_bytes(facts.target_thumbnail(right))],
            "copy",
            f"{source.ids[left]} · {facts.target_ids[right]}",
        )
        for left, right in source.copies[:_PAIRS].tolist()
    ]
    reading = f"{len(tiles)} of {len(source.copies):,}. Left the OOD set's image, right the target's own."
    return [Gallery(f"Near-duplicates in {source.name}", reading, tiles)]


def _candidates(facts: TrainFacts) -> list[Block]:
    if not facts.candidates:
        return []
    ranked = sorted(facts.candidates, key=lambda one: -one.shared)
    measured = [one for one in ranked if one.gain is not None]
    header = ["OOD set", "Shared (%)", "Images", "Copies"]
    gains: list[list[str]] = [[] for _ in ranked]
    if measured:
        header.insert(2, "Gain")
        gains = [["—" if one.gain is None else f"{100 * one.gain:+z.1f}"] for one in ranked]
    rows = [
        [one.name, f"{100 * one.shared:.1f}", *gain, f"{one.images:,}", f"{one.copies:,}"]
        for one, gain in zip(ranked, gains, strict=True)
    ]
    caption = (
        "Likeliest to help first. Shared: how much of what a briefly trained standard model decides by on the target "
        "also decides on these images. "
        + ("Gain: points over standard training, measured. " if measured else "")
        + "Copies: images that repeat one of the target's."
    )
    trust = (
        "This is an estimate from one short training: it says which features TAUFE could switch off, not whether that "
        f"helps. Train with {'it' if len(ranked) == 1 else 'the first and the last'} to know."
    )
    pairs = list(combinations(measured, 2))
    if pairs:
        # ranked by the estimate, so that the first of a pair should have gained more
        right = sum((first.gain or 0.0) > (second.gain or 0.0) for first, second in pairs)
        trust = (
            f"How far to trust it: the estimate has the order of the measured gains right in {right} of "
            f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of sets; half would be chance."
        )
    return [Table(header, rows, caption, frozenset(range(1, len(header)))), Text(trust)]


def _rejected(facts: TrainFacts) -> list[Block]:
    if not facts.rejected:
        return []
    shown = facts.rejected[:_ROWS]
    caption = (
        ("1 file was" if len(facts.rejected) == 1 else f"{len(facts.rejected):,} files were")
        + " set aside"
        + (f"; the first {_ROWS} are listed." if len(facts.rejected) > _ROWS else ".")
    )
    return [Table(("File", "Reason"), shown, caption)]


def _settings(facts: TrainFacts) -> list[Block]:
    if not facts.settings:
        return []
    return [Table(("Setting", "Value"), facts.settings, "All that was asked, and the defaults that have a value.")]
