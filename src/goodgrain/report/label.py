"""What a labelling run shows: what each round brought, what was asked for and why, and whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

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
from goodgrain.report.plots import GREY, PALETTE, blank_figure, plain, rounded

_TILES = 24
_SIZE = 6  # of a marker


@dataclass(frozen=True)
class RoundFacts:
    """One round.

    Args:
        number: 0, 1, ...
        strategy: what ranked.
        in_distribution: answers that name a class.
        ood: answers "none of these".
        unsure: unsure or contradicted answers.
        spent: what all of them cost.
        accuracy: test accuracy of the model that learned from this round's answers too; None where nobody measured.
    """

    number: int
    strategy: str
    in_distribution: int
    ood: int
    unsure: int
    spent: float
    accuracy: float | None = None

    @property
    def share(self) -> float | None:
        """Of the classes among the decided answers."""
        decided = self.in_distribution + self.ood
        return self.in_distribution / decided if decided else None


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What was found.

    Args:
        name: of the data.
        command: that made the run.
        settings: name and value of everything that was asked for.
        images: how many the pool has.
        classes: c names.
        rounds: in order.
        plane: purity and informativeness of the last round, as `goodgrain.pipelines.label_pictures.plane` has them.
        hint: whether to go on; may be empty.
        last: id and answer of the images that the last round asked for, in the order asked.
        per_class: class -> labelled images.
        thumbnail: a pool's image by its id.
        ood_name: how "none of these" is written in `last` and `plane`.
    """

    name: str
    command: str
    settings: Sequence[tuple[str, str]] = ()
    images: int = 0
    classes: Sequence[str] = ()
    rounds: Sequence[RoundFacts] = ()
    plane: Mapping[str, Any] | None = None
    hint: str = ""
    last: Sequence[tuple[str, str]] = ()
    per_class: Mapping[str, int] | None = None
    thumbnail: Callable[[str], Image.Image] | None = None
    ood_name: str = "__ood__"


def label_report(facts: LabelFacts) -> str:
    """The report of a labelling run as one self-contained HTML page.

    Args:
        facts: what was found; sections whose data is absent are left out.

    Returns:
        HTML; same facts, same text.

    Example:
        >>> facts = LabelFacts(name="toy", command="goodgrain label init toy", images=9,
        ...                    rounds=[RoundFacts(0, "random", 3, 1, 0, 4.0, 0.5)])
        >>> "3 of 4 answers named a class (75%)" in label_report(facts)
        True
    """
    parts = (
        ("In brief", _brief(facts)),
        ("Round by round", _rounds(facts)),
        ("Pure or informative?", _plane(facts)),
        ("What the last round asked for", _gallery(facts)),
        ("Labels", _labels(facts)),
        ("Settings", _settings(facts)),
    )
    return render(
        f"Labelling report: {facts.name}", _lead(facts), [Section(title, blocks) for title, blocks in parts if blocks]
    )


def _lead(facts: LabelFacts) -> str:
    inside, ood = (sum(getattr(one, kind) for one in facts.rounds) for kind in ("in_distribution", "ood"))
    if not inside + ood:
        return "Nothing was decided yet."
    measured = [one.accuracy for one in facts.rounds if one.accuracy is not None]
    reached = f"; the model reaches {measured[-1]:.1%} on the test images" if measured else ""
    return f"{inside:,} of {inside + ood:,} answers named a class ({inside / (inside + ood):.0%}){reached}."


def _brief(facts: LabelFacts) -> list[Block]:
    answers = sum(one.in_distribution + one.ood + one.unsure for one in facts.rounds)
    items = [
        Fact("images", f"{facts.images:,}"),
        Fact("answers", f"{answers:,}", f"in {len(facts.rounds)} round{'' if len(facts.rounds) == 1 else 's'}"),
        Fact("spent", f"{sum(one.spent for one in facts.rounds):g}"),
    ]
    blocks: list[Block] = [Facts(items)]
    return [*blocks, Text(facts.hint)] if facts.hint else blocks


def _rounds(facts: LabelFacts) -> list[Block]:
    if not facts.rounds:
        return []
    rows = [
        [
            str(one.number),
            one.strategy,
            f"{one.in_distribution:,}",
            f"{one.ood:,}",
            f"{one.unsure:,}",
            "" if one.share is None else f"{one.share:.0%}",
            f"{one.spent:g}",
            "" if one.accuracy is None else f"{one.accuracy:.1%}",
        ]
        for one in facts.rounds
    ]
    header = ["round", "strategy", "class", "none", "unsure", "class (%)", "spent", "accuracy"]
    caption = "Answers that name a class, or none of these. Accuracy is that of the model that learned from them too."
    blocks: list[Block] = [Table(header, rows, caption, frozenset({0, 2, 3, 4, 5, 6, 7}))]
    if len(facts.rounds) > 1:
        blocks.append(
            Figure(
                curve(facts.rounds),
                "Accuracy and purity over rounds",
                "Test accuracy after each round, and the share of its answers that named a class. A good strategy "
                "keeps both high: junk teaches nothing, and what is easily told teaches little.",
            )
        )
    return blocks


def curve(rounds: Sequence[RoundFacts]) -> go.Figure:
    """Test accuracy after each round, and the share of answers that named a class.

    Example:
        >>> len(curve([RoundFacts(0, "random", 3, 1, 0, 4.0, 0.5)]).data)
        2
    """
    figure = blank_figure("round", "%")
    lines = {
        "accuracy": [one.accuracy for one in rounds],
        "answers of a class": [one.share for one in rounds],
    }
    for colour, dash, (name, values) in zip(PALETTE, ("solid", "dot"), lines.items(), strict=False):
        known = [(one.number, 100 * value) for one, value in zip(rounds, values, strict=True) if value is not None]
        if not known:
            continue
        figure.add_scatter(
            name=name,
            x=[x for x, _ in known],
            y=[y for _, y in known],
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate=f"{name}<br>round %{{x}}: %{{y:.1f}}%<extra></extra>",
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    figure.update_xaxes(dtick=1 if len(rounds) < 15 else None)
    return figure


def _plane(facts: LabelFacts) -> list[Block]:
    if facts.plane is None:
        return []
    reading = (
        "Each point is an image that the last round could ask for: further right is more likely one of the classes, "
        "further up is harder for the model. Filled points were asked for. Where the ground is darker, more is asked: "
        "its slope is the balance that was learned."
    )
    return [Figure(plane(facts.plane, facts.ood_name), "Purity against informativeness", reading)]


def plane(shown: Mapping[str, Any], ood: str) -> go.Figure:
    """Purity against informativeness, the answers, and the meta-score behind (figure 4.5).

    Args:
        shown: as `LabelFacts.plane`.
        ood: how an answer "none of these" is written.
    """
    figure = blank_figure("purity", "informativeness", height=440)
    if shown["score"]:
        score = np.asarray(shown["score"], dtype=np.float64)
        ranks = score.ravel().argsort(kind="stable").argsort().reshape(score.shape) / max(1, score.size - 1)
        figure.add_heatmap(
            x=rounded(np.asarray(shown["grid_purity"])),
            y=rounded(np.asarray(shown["grid_informativeness"])),
            z=[rounded(row) for row in ranks],
            colorscale=[[0, "rgba(47,127,193,0.02)"], [1, "rgba(47,127,193,0.45)"]],
            showscale=False,
            hoverinfo="skip",
        )
    answers = np.asarray(shown["answer"])
    groups = (
        ("not asked for", answers == "", GREY, "circle-open"),
        ("a class", (answers != "") & (answers != ood), PALETTE[2], "circle"),
        ("none of these", answers == ood, PALETTE[1], "x"),
    )
    pure, informative = (np.asarray(shown[name], dtype=np.float64) for name in ("purity", "informativeness"))
    for name, mask, colour, symbol in groups:
        if mask.any():
            figure.add_scatter(
                name=name,
                x=rounded(pure[mask]),
                y=rounded(informative[mask]),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": _SIZE, "opacity": 0.8},
                hovertemplate=f"{name}<br>purity %{{x:.3g}}, informativeness %{{y:.3g}}<extra></extra>",
            )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.08, "x": 0})
    return figure


def _gallery(facts: LabelFacts) -> list[Block]:
    if not facts.last or facts.thumbnail is None:
        return []
    tiles = [
        Tile([picture_bytes(facts.thumbnail(name))], "none of these" if answer == facts.ood_name else answer, name)
        for name, answer in facts.last[:_TILES]
    ]
    caption = f"The first {len(tiles)} of {len(facts.last)} answers, in the order that was asked."
    return [Gallery("Answers", caption, tiles)]


def _labels(facts: LabelFacts) -> list[Block]:
    if not facts.per_class:
        return []
    rows = [[name, f"{count:,}"] for name, count in facts.per_class.items()]
    return [
        Table(["class", "labelled images"], rows, "All labels, those known from the start included.", frozenset({1}))
    ]


def _settings(facts: LabelFacts) -> list[Block]:
    blocks: list[Block] = [Code(facts.command)]
    if facts.settings:
        rows = [[plain(name), value] for name, value in facts.settings]
        blocks.append(Table(["setting", "value"], rows, "All that was asked for."))
    return blocks
