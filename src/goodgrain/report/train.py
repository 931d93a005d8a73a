"""What a training run shows: whether OOD images helped, and what the model stopped looking at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from goodgrain.metrics.localization import box_iou
from goodgrain.report import train_plots as plots
from goodgrain.report.facts import Thumbnail
from goodgrain.report.html import (
    Block,
    Code,
    Fact,
    Facts,
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

_FEATURES = 4  # whose pictures are shown
_BOXES = 16
_PAIRS = 8
_ROWS = 50


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
    parts = (
        ("In brief", _brief(facts)),
        ("Against standard training", _methods(facts)),
        ("Training", _training(facts)),
        ("Between the classes", _cosines(facts)),
        ("Where the images lie", _projections(facts)),
        ("What the model stopped looking at", _switched_off(facts)),
        ("Boxes", _boxes(facts)),
        ("Out-of-distribution images", _sources(facts)),
        ("Which OOD set will help", _candidates(facts)),
        ("Files that could not be used", _rejected(facts)),
        ("Settings", _settings(facts)),
    )
    sections = [Section(title, blocks) for title, blocks in parts if blocks]
    title = f"Training report: {facts.name}" if facts.methods else f"OOD sets for {facts.name}"
    return render(title, _summary(facts), sections)


def _own(facts: TrainFacts) -> MethodFacts | None:
    return next((one for one in facts.methods if one.name == facts.method), None)


def _standard(facts: TrainFacts) -> MethodFacts | None:
    """Standard training, where the run's own method is another one."""
    return next((one for one in facts.methods if one.name == STANDARD != facts.method), None)


def _standard_first(facts: TrainFacts) -> list[MethodFacts]:
    """As pictures are read: before, and after."""
    return sorted(facts.methods, key=lambda one: one.name != STANDARD)


def _summary(facts: TrainFacts) -> str:
    own = _own(facts)
    if own is None:
        ranked = sorted(facts.candidates, key=lambda one: -one.shared)
        return f"Likeliest to help: {ranked[0].name}." if ranked else "Nothing was trained."
    parts = [f"{facts.measure} {_mean(own.score)}"] if len(own.score) else []
    if parts and (gain := _gain(facts, own)) is not None:
        parts[0] += f", {abs(gain.mean()):.1f} points {'above' if gain.mean() >= 0 else 'below'} standard training"
    if (share := _ood_share(own)) is not None:
        parts.append(f"responds to OOD images with {share:.0%} of its response to the target")
    return f"{own.name}: {'; '.join(parts) or 'was trained'}."


def _gain(facts: TrainFacts, one: MethodFacts) -> NDArray[np.float64] | None:
    """(r,) percentage points over standard training, repeat by repeat."""
    standard = _standard(facts)
    if standard is None or standard is one or not len(one.score) or len(standard.score) != len(one.score):
        return None
    return 100 * (np.asarray(one.score, dtype=np.float64) - np.asarray(standard.score, dtype=np.float64))


def _ood_share(one: MethodFacts) -> float | None:
    """Mean squared length on OOD images as a share of that on the target's: what all models can be compared by."""
    if not len(one.activation) or not len(one.ood_activation) or not np.mean(one.activation):
        return None
    return float(np.mean(one.ood_activation) / np.mean(one.activation))


def _mean(values: Sequence[float]) -> str:
    """Shares as percent: mean, and standard deviation over the repeats."""
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}%{spread}"


def _brief(facts: TrainFacts) -> list[Block]:
    items = [] if (own := _own(facts)) is None else _numbers(facts, own)
    if facts.rejected:
        items.append(Fact("Unusable files", f"{len(facts.rejected):,}", "listed below"))
    blocks: list[Block] = [Facts(items)] if items else []
    if advice := _advice(facts):
        blocks.append(Text(advice))
    return [*blocks, Code(facts.command)]


def _numbers(facts: TrainFacts, own: MethodFacts) -> list[Fact]:
    standard = _standard(facts)
    weight = "" if own.weight is None else f"weight {own.weight:g}"
    items = [Fact("Method", own.name, ", ".join(filter(None, (facts.task, weight))))]
    if facts.target:
        items.append(Fact("Labelled images", f"{facts.target:,}"))
    if r := len(own.score):
        spread = f"± {100 * np.std(own.score, ddof=1):.1f}, {r} seeds" if r > 1 else "1 seed"
        items.append(Fact(_capital(facts.measure), f"{np.mean(own.score):.1%}", spread))
    if (gain := _gain(facts, own)) is not None:
        items.append(Fact("Over standard", f"{gain.mean():+.1f}", f"points; better in {(gain > 0).sum()} of {r}"))
    if len(own.ood_activation):
        beside = f"on the target {np.mean(own.activation):.3g}" if len(own.activation) else ""
        items.append(Fact("Mean ‖f(OOD)‖²", f"{np.mean(own.ood_activation):.3g}", beside))
    if (share := _ood_share(own)) is not None:
        usual = None if standard is None else _ood_share(standard)
        note = "of ‖f‖² on the target" + ("" if usual is None else f"; standard {usual:.0%}")
        items.append(Fact("Response to OOD", f"{share:.0%}", note))
        if usual:
            items.append(Fact("Ratio to standard", f"{share / usual:.2f}", "of the responses to OOD"))
    return items


def _advice(facts: TrainFacts) -> str:
    """Whether the repeats tell a difference from luck: Student's interval of the paired differences."""
    own = _own(facts)
    gain = None if own is None else _gain(facts, own)
    if gain is None:
        return ""
    if len(gain) == 1:
        return "One training of each says little about the difference: repeat with --repeats 3 or more to know."
    half = float(stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
    low, high = gain.mean() - half, gain.mean() + half
    told = f"the difference to standard training lies between {low:+.1f} and {high:+.1f} points (95% interval)"
    if low > 0:
        return f"The OOD images help: {told}."
    if high < 0:
        return f"The OOD images harm: {told}. Use the standard model, or other OOD images."
    return f"No difference that these repeats could show: {told}. More repeats narrow it."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _methods(facts: TrainFacts) -> list[Block]:
    if not facts.methods:
        return []
    detectors = list(dict.fromkeys(name for one in facts.methods for name in one.auroc))
    columns = {
        f"{_capital(facts.measure)} (%)": [_cell(one.score, 100, ".1f") for one in facts.methods],
        "Over standard": [_over(_gain(facts, one)) for one in facts.methods],
        "Seeds": [str(len(one.score)) if len(one.score) else "" for one in facts.methods],
        "Class cosine": [_cell(one.between, 1, ".3f") for one in facts.methods],
        "‖f(target)‖²": [_plain_mean(one.activation) for one in facts.methods],
        "‖f(OOD)‖²": [_plain_mean(one.ood_activation) for one in facts.methods],
        **{
            f"AUROC {detector}": [_cell(one.auroc.get(detector, ()), 100, ".1f") for one in facts.methods]
            for detector in detectors
        },
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [(one.name, *(cells[i] or "—" for cells in filled.values())) for i, one in enumerate(facts.methods)]
    caption = "After the last epoch: mean ± standard deviation over seeds."
    reading = (
        "Class cosine: mean cosine between features of different classes; lower means easier to tell apart. AUROC (%): "
        f"how well OOD images are told from the target's. {_measured_on(facts)}"
    )
    return [Table(("Method", *filled), rows, caption, frozenset(range(1, len(filled) + 1))), Text(reading)]


def _cell(values: Sequence[float], scale: float, form: str) -> str:
    if not len(values):
        return ""
    spread = f" ± {scale * np.std(values, ddof=1):{form}}" if len(values) > 1 else ""
    return f"{scale * np.mean(values):{form}}{spread}"


def _plain_mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3g}" if len(values) else ""


def _over(gain: NDArray[np.float64] | None) -> str:
    if gain is None:
        return ""
    return f"{gain.mean():+.1f}" + (f" ± {gain.std(ddof=1):.1f}" if len(gain) > 1 else "")


def _measured_on(facts: TrainFacts) -> str:
    if not len(facts.ood_ids):
        return ""
    seen = "that training never saw" if facts.ood_held_back else "that training saw as well: too few to keep any back"
    return f"OOD: {len(facts.ood_ids):,} images {seen}."


def _training(facts: TrainFacts) -> list[Block]:
    terms = {one.name: one.terms for one in facts.methods if one.terms}
    if not terms:
        return []
    reading = "Mean over each epoch's steps, in the first repeat; a penalty is shown before its weight."
    return [Figure(plots.loss_terms(terms), "Loss per epoch", reading)]


def _cosines(facts: TrainFacts) -> list[Block]:
    matrices = {one.name: one.cosine for one in _standard_first(facts) if one.cosine is not None}
    if not matrices:
        return []
    reading = (
        "Off the diagonal, darker is better: images of two classes point in different directions and are easy to tell "
        "apart. The diagonal compares different images of one class; columns are in the order of rows. First repeat."
    )
    return [Figure(plots.class_cosines(matrices, facts.classes), "Mean cosine between classes", reading)]


def _projections(facts: TrainFacts) -> list[Block]:
    models = {one.name: one.projection for one in _standard_first(facts) if one.projection is not None}
    if not models:
        return []
    reading = (
        "TAUFE draws OOD images (grey) to the zero vector, where the lines cross, and leaves the angles between "
        "classes. Each panel has a scale of its own: compare angles, and how near the grey ones are. First repeat."
    )
    return [Figure(plots.projections(models, facts.classes), "Features in two dimensions", reading)]


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
            if off.agreement >= 0.5
            else "That is low: training has parted them, so read the bars with care."
        )
    )
    blocks: list[Block] = [Text(trust), Figure(plot, "Response before and after", reading)]
    for row, feature in enumerate(off.features[:_FEATURES].tolist()):
        numbers = f"Response to OOD images: {off.before[row]:.2f} before, {off.after[row]:.2f} after."
        if facts.ood_thumbnail is not None and off.top_outside.shape[1]:
            tiles = [
                Tile([picture_bytes(facts.ood_thumbnail(i))], "OOD", str(facts.ood_ids[i]))
                for i in off.top_outside[row].tolist()
            ]
            title = f"Feature {feature}: OOD images that excite it most"
            blocks.append(Gallery(title, f"In the standard model. {numbers}", tiles))
        if facts.thumbnail is not None and off.top_inside.shape[1]:
            tiles = _tiles(facts, facts.thumbnail, off.top_inside[row].tolist())
            title = f"Feature {feature}: images of the target that do"
            blocks.append(Gallery(title, "Look for what they share with the OOD images above.", tiles))
    return blocks


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
    names = [name for name in (STANDARD, facts.method) if name in found.predicted]
    names = list(dict.fromkeys(names)) or list(found.predicted)[:2]
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
    header = ["OOD set", "Shared undesirable feature", "Images", "Copies of the target"]
    rows = [[one.name, f"{100 * one.shared:.1f}", f"{one.images:,}", f"{one.copies:,}"] for one in ranked]
    if measured:
        header.append("Measured gain")
        rows = [
            [*row, "—" if one.gain is None else f"{100 * one.gain:+.1f}"] for row, one in zip(rows, ranked, strict=True)
        ]
    caption = (
        "Likeliest to help first. Shared (%): how much of what a briefly trained standard model decides by on the "
        "target also decides on these images." + (" Gain over standard training in points." if measured else "")
    )
    trust = (
        "This is an estimate from one short training: it says which features TAUFE could switch off, not whether that "
        "helps. Train with the first and the last to know."
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
    return [Table(("Setting", "Value"), facts.settings, "Everything that was asked, defaults included.")]
