"""What a pruning run shows: the numbers a decision needs first, then the pictures that explain them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from goodgrain.report import plots
from goodgrain.report.facts import Copies, PruneFacts, Thumbnail
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
from goodgrain.report.plots import CurvePoint

_TILES = 24
_PAIRS = 8
_ROWS = 50


def prune_report(facts: PruneFacts) -> str:
    """The report of a pruning run as one self-contained HTML page.

    Args:
        facts: what was found; sections whose data is absent are left out.

    Returns:
        HTML; same facts, same text.

    Example:
        >>> from goodgrain.report.facts import PruneFacts
        >>> facts = PruneFacts(name="toy", method="uniform", command="goodgrain prune toy", settings=[],
        ...                    ids=["a", "b"], kept=np.array([1]))
        >>> "Kept 1 of 2 (50%) with uniform." in prune_report(facts)
        True
    """
    parts = (
        ("In brief", _brief(facts)),
        ("Accuracy", _accuracy(facts)),
        ("Labels that look wrong", _suspects(facts)),
        ("What was kept", _kept(facts)),
        ("Label noise", _noise(facts)),
        ("Confidence", _confidence(facts)),
        ("Neighbourhood threshold", _threshold(facts)),
        ("Copies", _copies(facts)),
        ("Files that could not be used", _rejected(facts)),
        ("Settings", _settings(facts)),
    )
    sections = [Section(title, blocks) for title, blocks in parts if blocks]
    return render(f"Pruning report: {facts.name}", _summary(facts), sections)


def _summary(facts: PruneFacts) -> str:
    n, k = len(facts.ids), len(facts.kept)
    parts = [f"Kept {k:,} of {n:,} ({_percent(k / n)}) with {facts.method}"]
    if (point := _own_accuracy(facts)) is not None:
        parts.append(f"accuracy on {facts.accuracy_on} {point.mean:.1%}")
    if facts.suspects is not None:
        m = len(facts.suspects.positions)
        parts.append(
            "no label looks wrong" if m == 0 else "1 label looks wrong" if m == 1 else f"{m:,} labels look wrong"
        )
    return "; ".join(parts) + "."


def _own_accuracy(facts: PruneFacts) -> CurvePoint | None:
    own = (point for point in facts.accuracy if (point.method, point.budget) == (facts.method, len(facts.kept)))
    return next(own, None)


def _brief(facts: PruneFacts) -> list[Block]:
    n, k = len(facts.ids), len(facts.kept)
    items = [Fact("Kept", f"{k:,}", f"{_percent(k / n)} of {n:,}")]
    if (point := _own_accuracy(facts)) is not None:
        spread = f"± {100 * point.std:.1f}, {point.seeds} seeds" if point.seeds > 1 else "1 seed"
        items.append(Fact("Accuracy", f"{point.mean:.1%}", spread))
    if facts.suspects is not None:
        m = len(facts.suspects.positions)
        items.append(Fact("Suspect labels", f"{m:,}", f"{_percent(m / n)} of all"))
    if facts.noise is not None and k in facts.noise.budgets:
        kept = facts.noise.share_kept[list(facts.noise.budgets).index(k)]
        items.append(Fact("Label noise", _percent(kept), f"{_percent(facts.noise.share_all)} before"))
        corrected = dict(zip(facts.noise.budgets, facts.noise.corrected, strict=False)).get(k)
        if corrected is not None:
            items.append(Fact("Corrected", _percent(corrected), f"of wrong labels kept{_by(facts)}"))
    if facts.overlap is not None:
        items.append(Fact("In the test set", f"{len(facts.overlap.pairs):,}", "image pairs"))
    if facts.rejected:
        items.append(Fact("Unusable files", f"{len(facts.rejected):,}", "listed below"))
    advice: list[Block] = [Text(facts.advice)] if facts.advice else []
    return [Facts(items), *advice, Code(facts.command)]


def _accuracy(facts: PruneFacts) -> list[Block]:
    if not facts.accuracy:
        return []
    n = len(facts.ids)
    measured = {(point.method, point.budget): point for point in facts.accuracy}
    methods = dict.fromkeys(point.method for point in facts.accuracy)
    budgets = sorted({point.budget for point in facts.accuracy})
    seeds = ", ".join(map(str, sorted({point.seeds for point in facts.accuracy})))
    table = Table(
        ("Method", *(f"{budget:,} ({_percent(budget / n)})" for budget in budgets)),
        [(method, *(_measured(measured.get((method, budget))) for budget in budgets)) for method in methods],
        f"Accuracy in % on {facts.accuracy_on} per number of examples kept, after the last epoch{_with(facts)}. "
        f"Seeds: {seeds}.",
        frozenset(range(1, len(budgets) + 1)),
    )
    if len(facts.accuracy) == 1:
        return [table]
    reading = "Higher is better; where a line turns flat, more data stops paying. Bars span one standard deviation."
    return [Figure(plots.learning_curve(facts.accuracy), "Accuracy against examples kept", reading), table]


def _by(facts: PruneFacts) -> str:
    return f", by {facts.learner}" if facts.learner else ""


def _with(facts: PruneFacts) -> str:
    return f" of {facts.learner}" if facts.learner else ""


def _measured(point: CurvePoint | None) -> str:
    if point is None:
        return "—"
    return f"{100 * point.mean:.1f}" + (f" ± {100 * point.std:.1f}" if point.seeds > 1 else "")


def _suspects(facts: PruneFacts) -> list[Block]:
    if facts.suspects is None:
        return []
    if not len(facts.suspects.positions):
        return [Text("Every given label agrees with what the model would have suggested.")]
    found = facts.suspects
    given = [_class(facts, int(position)) for position in found.positions]
    suggested = [facts.classes[label] for label in found.suggested]
    pairs = Counter(zip(given, suggested, strict=True)).most_common(10)
    blocks: list[Block] = []
    reading = "Given label → suggested label, and by how much the model finds the suggestion more probable."
    first = range(min(_TILES, len(given)))
    if facts.thumbnail is not None:
        tiles = [
            Tile(
                [picture_bytes(facts.thumbnail(int(found.positions[i])))],
                f"{given[i]} → {suggested[i]}",
                f"{found.confidence[i]:.0%} · {facts.ids[found.positions[i]]}",
            )
            for i in first
        ]
        blocks.append(Gallery(f"The {len(tiles)} surest of {len(given):,}", reading, tiles))
    else:
        rows = [
            (str(facts.ids[found.positions[i]]), given[i], suggested[i], f"{found.confidence[i]:.0%}") for i in first
        ]
        caption = f"The {len(rows)} surest of {len(given):,}."
        blocks.append(Table(("Example", "Given", "Suggested", "Confidence"), rows, caption, frozenset({3})))
    rows_by_count = [(a, b, f"{count:,}") for (a, b), count in pairs]
    blocks.append(
        Table(("Given", "Suggested", "Labels"), rows_by_count, "The most frequent suggestions.", frozenset({2}))
    )
    return blocks


def _kept(facts: PruneFacts) -> list[Block]:
    blocks: list[Block] = []
    if facts.labels is not None and (facts.labels >= 0).any():
        kept, total = (
            np.bincount(labels[labels >= 0], minlength=len(facts.classes))
            for labels in (facts.labels[facts.kept], facts.labels)
        )
        reading = (
            "Each bar is the part of one class that was kept; bars of equal length mean that no class was favoured."
        )
        blocks.append(Figure(plots.class_shares(facts.classes, kept, total), "Kept share of each class", reading))
    if facts.thumbnail is None:
        return blocks
    if facts.next_up is None:
        rest = np.setdiff1d(np.arange(len(facts.ids)), facts.kept)
        rest = np.random.default_rng(facts.seed).permutation(rest)
        dropped = ("Dropped, drawn at random", "A fair sample of what the subset lacks.", rest)
    else:
        dropped = ("Dropped, next in line", "What a slightly larger budget would add.", facts.next_up)
    galleries = (
        ("Kept first", "What the method values most, in the order picked.", facts.kept),
        ("Kept last", "The last to fit the budget: compare with what was dropped.", facts.kept[_TILES:][-_TILES:]),
        dropped,
    )
    for title, reading, positions in galleries:
        if len(positions):
            blocks.append(Gallery(title, reading, _tiles(facts, facts.thumbnail, positions[:_TILES].tolist())))
    return blocks


def _tiles(facts: PruneFacts, thumbnail: Thumbnail, positions: Iterable[int]) -> list[Tile]:
    return [Tile([picture_bytes(thumbnail(i))], _class(facts, i), str(facts.ids[i])) for i in positions]


def _noise(facts: PruneFacts) -> list[Block]:
    if facts.noise is None:
        return []
    noise = facts.noise
    told = [
        f"{_percent(share)} of {count:,} kept" for count, share in zip(noise.budgets, noise.share_kept, strict=True)
    ]
    sentence = f"Labels known to be wrong: {_percent(noise.share_all)} of all examples, {', '.join(told)}."
    corrected = [
        f"{_percent(share)} with {count:,} kept"
        for count, share in zip(noise.budgets, noise.corrected, strict=False)
        if share is not None
    ]
    if corrected:
        sentence += f" Of the wrong labels kept, the trained model puts right {', '.join(corrected)}."
    if len(told) < 2:
        return [Text(sentence)]
    plot = plots.noise_share(noise.budgets, noise.share_kept, noise.share_all)
    reading = "Below the dashed line, the subset is cleaner than the data it came from."
    return [Text(sentence), Figure(plot, "Wrong labels among the kept", reading)]


def _confidence(facts: PruneFacts) -> list[Block]:
    held = np.zeros(len(facts.ids), dtype=bool)
    held[facts.kept] = True
    blocks: list[Block] = []
    for values, unit, title, reading in (
        (
            facts.confidence,
            "confidence",
            "Confidence of the warm-up model",
            "Where the kept bars stand higher, the method prefers examples of that confidence.",
        ),
        (
            facts.neighbourhood_confidence,
            "neighbourhood confidence",
            "Confidence of the kept neighbours",
            "Further right, an example has more or surer kept neighbours, from which its label can be corrected.",
        ),
    ):
        if values is not None:
            plot = plots.histogram({"kept": values[held], "dropped": values[~held]}, unit=unit)
            blocks.append(Figure(plot, title, reading))
    return blocks


def _threshold(facts: PruneFacts) -> list[Block]:
    if facts.threshold is None:
        return []
    threshold = facts.threshold
    blocks: list[Block] = [
        Text(f"Neighbours are examples with similarity {threshold.value:g} or more. {threshold.why}")
    ]
    if threshold.neighbours:
        plot = plots.neighbour_counts(threshold.thresholds, threshold.neighbours, chosen=threshold.value)
        reading = "Further left, every example has more neighbours; the dashed line is the threshold that was used."
        blocks.append(Figure(plot, "Neighbours under each threshold", reading))
    return blocks


def _copies(facts: PruneFacts) -> list[Block]:
    blocks: list[Block] = []
    if (within := facts.duplicates) is not None:
        told = (
            f"{_pairs(within)} within the data show the same picture; {within.differing:,} carry two different labels."
        )
        blocks.append(Text(told if len(within.pairs) else "No picture is in the data twice."))
        reading = "Left and right should show the same picture."
        blocks += _pair_gallery(facts, within, "Pairs within the data", reading, facts.ids, facts.thumbnail)
    if (across := facts.overlap) is not None:
        told = f"{_pairs(across)} of train and test show the same picture: accuracy measured on them flatters."
        blocks.append(Text(told if len(across.pairs) else "No training picture is in the test set."))
        reading = "Left from the training set, right from the test set."
        blocks += _pair_gallery(facts, across, "Pairs of train and test", reading, facts.test_ids, facts.test_thumbnail)
    return blocks


def _pairs(copies: Copies) -> str:
    return "1 pair" if len(copies.pairs) == 1 else f"{len(copies.pairs):,} pairs"


def _pair_gallery(
    facts: PruneFacts,
    copies: Copies,
    title: str,
    reading: str,
    ids: Sequence[str] | NDArray[np.str_],
    thumbnail: Thumbnail | None,
) -> list[Block]:
    if not len(copies.pairs) or facts.thumbnail is None or thumbnail is None:
        return []
    tiles = [
        Tile(
            [picture_bytes(facts.thumbnail(left)), picture_bytes(thumbnail(right))],
            _class(facts, left),
            f"{facts.ids[left]} · {ids[right]}",
        )
        for left, right in copies.pairs[:_PAIRS].tolist()
    ]
    return [Gallery(title, reading, tiles)]


def _rejected(facts: PruneFacts) -> list[Block]:
    if not facts.rejected:
        return []
    shown = facts.rejected[:_ROWS]
    caption = f"{len(facts.rejected):,} files were set aside" + (
        f"; the first {_ROWS} are listed." if len(facts.rejected) > _ROWS else "."
    )
    return [Table(("File", "Reason"), shown, caption)]


def _settings(facts: PruneFacts) -> list[Block]:
    if not facts.settings:
        return []
    return [Table(("Setting", "Value"), facts.settings, "Everything that was asked, defaults included.")]


def _class(facts: PruneFacts, position: int) -> str:
    if facts.labels is None or facts.labels[position] < 0:
        return "no label"
    return str(facts.classes[facts.labels[position]])


def _percent(share: float) -> str:
    """A share with one decimal, unless it is a whole number of percent."""
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')}%"
