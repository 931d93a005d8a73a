"""What a training run shows: whether OOD images helped, and what the model stopped looking at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.metrics.localization import box_iou
from goodgrain.report import train_plots as plots
from goodgrain.report.facts import Thumbnail
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
from goodgrain.report.train_facts import STANDARD, MethodFacts, OodSource, TrainFacts
from goodgrain.report.train_numbers import brief, comparison, lead

_FEATURES = 3  # whose pictures are shown
_BOXES = 12
_PAIRS = 8
_ROWS = 50
_PENALTY = "ood"  # among the terms of a loss
_AGREE = 0.5  # least correlation of two models' features that are spoken of as the same


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
        (_title_of_switched_off(facts), _switched_off(facts)),
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
    terms = {one.name: _terms(one, facts) for one in facts.methods if one.terms}
    if not terms:
        return []
    reading = (
        "Mean over each epoch's steps, in the first repeat. A penalty is shown before its weight: TAUFE's is a mean "
        "over features (‖f(OOD)‖² above is a sum) or, relative, a share of the target's; OAT's is a cross-entropy."
    )
    return [Figure(plots.loss_terms(terms), "Loss per epoch", reading)]


def _terms(one: MethodFacts, facts: TrainFacts) -> dict[str, ArrayLike]:
    """Its terms by names that compare: a penalty has its own axis, and standard's loss is the learner's part."""
    own = {(f"penalty of {one.name}" if name == _PENALTY else name): values for name, values in one.terms.items()}
    if set(own) != {"loss"}:
        return own
    parts = {name for other in facts.methods for name in other.terms if _PENALTY in other.terms}
    learners = parts - {"loss", _PENALTY}
    return {**own, next(iter(learners)): own["loss"]} if len(learners) == 1 else own


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


def _title_of_switched_off(facts: TrainFacts) -> str:
    sure = facts.switched_off is not None and facts.switched_off.agreement >= _AGREE
    return "What the model stopped looking at" if sure else "What the model may have stopped looking at"


def _distinct(top: NDArray[np.int64]) -> list[int]:
    """Rows whose pictures are mostly not those of a row before: one finding is shown once."""
    kept: list[int] = []
    for row, pictures in enumerate(top):
        if all(2 * len(np.intersect1d(pictures, top[before])) <= len(pictures) for before in kept):
            kept.append(row)
    return kept


def _switched_off(facts: TrainFacts) -> list[Block]:
    if facts.switched_off is None:
        return []
    off = facts.switched_off
    if not len(off.features):
        return [Text("No feature responds less to OOD images than in standard training.")]
    plot = plots.responses(off.features, off.before, off.after, names=(STANDARD, facts.method))
    reading = (
        "How strongly each feature responds to OOD images; 1 is what the model's features respond to the target on "
        "average (root mean square). Those that lost most, in the first repeat."
    )
    trust = (
        f"Both models started from the same weights; over the same images, a feature of one correlates with the same "
        f"feature of the other by {off.agreement:.2f} (median). "
        + (
            "That is near enough to compare feature by feature."
            if off.agreement >= _AGREE
            else "That is low: training has parted them. What a feature is in one it may not be in the other, so that "
            "a lower bar may be another feature, and not one that was switched off."
        )
    )
    blocks: list[Block] = [Text(trust), Figure(plot, "Response before and after", reading)]
    for row in _distinct(off.top_outside)[:_FEATURES]:
        feature = int(off.features[row])
        after = "after" if off.agreement >= _AGREE else "of the same number after"
        numbers = f"Response to OOD images: {off.before[row]:.2f} before, {off.after[row]:.2f} {after}."
        if facts.ood_thumbnail is not None and off.top_outside.shape[1]:
            tiles = [
                Tile([picture_bytes(facts.ood_thumbnail(i))], "OOD", _plain_id(str(facts.ood_ids[i])))
                for i in off.top_outside[row].tolist()
            ]
            title = f"Feature {feature}: OOD images that excite it most"
            blocks.append(Gallery(title, f"In the standard model. {numbers}", tiles))
        if facts.thumbnail is not None and off.top_inside.shape[1]:
            tiles = _tiles(facts, facts.thumbnail, off.top_inside[row].tolist())
            title = f"Feature {feature}: images of the target that excite it most"
            blocks.append(Gallery(title, "Look for what they share with the OOD images above.", tiles))
    return blocks


def _plain_id(name: str) -> str:
    """An OOD image's own name, without "ood/" and its source."""
    return name.split("/", 2)[-1]


def _tiles(facts: TrainFacts, thumbnail: Thumbnail, positions: Sequence[int]) -> list[Tile]:
    return [Tile([picture_bytes(thumbnail(i))], _class(facts, i), str(facts.ids[i])) for i in positions]


def _class(facts: TrainFacts, position: int) -> str:
    if facts.labels is None or facts.labels[position] < 0:
        return "no label"
    return str(facts.classes[facts.labels[position]])


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
