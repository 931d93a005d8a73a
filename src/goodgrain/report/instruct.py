"""What a selection of instructions shows: what was kept, what was dropped and why, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from goodgrain.report.html import Block, Code, Fact, Facts, Figure, Row, Search, Section, Table, Text, render
from goodgrain.report.plots import GREY, PALETTE, blank_figure, histogram, plain, rounded, shorten

_HOVER = 80  # characters of a request
_CELL = 300


@dataclass(frozen=True)
class Cost:
    """What the teacher took, of all runs that share its answers.

    Args:
        calls: that were answered.
        input_tokens: of prompts.
        output_tokens: of answers.
        spent_usd: None where prices are not known.
        lost_usd: at most so much more, for calls that broke off.
        budget_usd: None for no cap.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    spent_usd: float | None = None
    lost_usd: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """How the teacher answered.

    Args:
        states: what became of the clusters, name -> how many.
        malformed_at_first: answers that could not be read and were asked for again.
        malformed: answers that could not be read then either.
        truncated: answers that the server cut.
        won: (p,) how often the winner was shown at each place.
        expected: (p,) how often it would have been without position bias.
    """

    states: Mapping[str, int]
    malformed_at_first: int
    malformed: int
    truncated: int
    won: NDArray[np.int64]
    expected: NDArray[np.float64]


@dataclass(frozen=True)
class Other:
    """What another method would have kept.

    Args:
        name: the method.
        kept: rows.
        shared: of them, kept here too.
        hallucinated: share, where it is known.
        distance: mean distance of all rows to the nearest kept one, where there are embeddings.
    """

    name: str
    kept: int
    shared: int
    hallucinated: float | None = None
    distance: float | None = None


@dataclass(frozen=True, eq=False)
class InstructFacts:
    """What a selection found, of n rows.

    Args:
        name: of the data.
        method: in words.
        teacher: in words; "" for none.
        command: that makes the same run.
        settings: (name, value).
        kept: (n,) bool.
        rows: those that are listed.
        words: cluster -> what the teacher said, of the rows that are listed.
        sizes: (k,) members of each cluster; empty where there are none.
        answers: of the teacher; None where none was asked about clusters.
        cost: None where nobody was paid.
        lengths: (n, 2) characters of request and response.
        points: (m, 2) a projection of embeddings; empty for none.
        point_rows: (m,) which rows the points are.
        point_texts: (m,) the beginnings of their requests.
        exact_copies: rows that repeat another one.
        near_copies: rows that are nearly another one.
        copies: (copy, original, similarity) of some pairs.
        hallucinated: shares before and after, with the rows behind each; None where nothing is known.
        ours: this method as one of those compared.
        others: those beside it.
        problems: (row of the file, reason) of rows that cannot be used.
    """

    name: str
    method: str
    teacher: str
    command: str
    settings: Sequence[tuple[str, str]]
    kept: NDArray[np.bool_]
    rows: Sequence[Row]
    words: Mapping[int, Sequence[str]]
    sizes: NDArray[np.int64]
    answers: Answers | None
    cost: Cost | None
    lengths: NDArray[np.int64]
    points: NDArray[np.float64]
    point_rows: NDArray[np.int64]
    point_texts: Sequence[str]
    exact_copies: int = 0
    near_copies: int = 0
    copies: Sequence[tuple[str, str, float]] = ()
    hallucinated: tuple[float, float] | None = None
    ours: Other | None = None
    others: Sequence[Other] = field(default_factory=tuple)
    problems: Sequence[tuple[int, str]] = ()


def instruct_report(facts: InstructFacts) -> str:
    """The report of a selection of instructions as one self-contained HTML page.

    Args:
        facts: what was found; sections without content are left out.

    Returns:
        HTML; same facts, same text.
    """
    parts = (
        ("In brief", _brief(facts)),
        ("What was kept, and what was dropped", _search(facts)),
        ("Clusters", _clusters(facts)),
        ("The teacher", _teacher(facts)),
        ("Beside other methods", _others(facts)),
        ("Lengths", _lengths(facts)),
        ("Copies", _copies(facts)),
        ("Rows that cannot be used", _problems(facts)),
        ("Settings", [Table(("Setting", "Value"), facts.settings, "All that was asked.")]),
    )
    lead = f"{facts.method} keeps {facts.kept.sum():,} of {len(facts.kept):,} instructions."
    if facts.hallucinated is not None:
        before, after = facts.hallucinated
        lead += f" Hallucinated responses: {before:.1%} before, {after:.1%} among those kept."
    return render(f"Instructions of {facts.name}", lead, [Section(title, blocks) for title, blocks in parts if blocks])


def _brief(facts: InstructFacts) -> list[Block]:
    n, kept = len(facts.kept), int(facts.kept.sum())
    items = [Fact("Kept", f"{kept:,}", f"{kept / n:.1%} of {n:,}"), Fact("Dropped", f"{n - kept:,}")]
    if len(facts.sizes):
        items.append(Fact("Clusters", f"{len(facts.sizes):,}", f"of {facts.sizes.mean():.1f} rows on average"))
    if facts.cost is not None:
        spent = "not known" if facts.cost.spent_usd is None else f"${facts.cost.spent_usd:,.4f}"
        cap = "" if facts.cost.budget_usd is None else f"of ${facts.cost.budget_usd:,.2f}"
        items.append(Fact("Spent", spent, cap))
    if facts.answers is not None and facts.answers.won.sum():
        items.append(Fact("Unreadable answers", f"{facts.answers.malformed:,}", "after asking twice"))
    if facts.exact_copies or facts.near_copies:
        items.append(Fact("Copies", f"{facts.exact_copies:,}", f"and {facts.near_copies:,} near ones"))
    blocks: list[Block] = [Facts(items)]
    if facts.teacher:
        blocks.append(Text(f"Ranked by {facts.teacher}."))
    return [*blocks, Code(facts.command)] if facts.command else blocks


def _search(facts: InstructFacts) -> list[Block]:
    if not facts.rows:
        return []
    all_there = len(facts.rows) == len(facts.kept)
    caption = "Every row with the verdict on it." if all_there else (
        f"{len(facts.rows):,} of {len(facts.kept):,} rows, whole clusters drawn at random; selection.parquet has all."
    )  # fmt: skip
    caption += " Long texts unfold; type a cluster's number to see its rows by rank."
    return [Search("Rows", caption, facts.rows, facts.words, bool(len(facts.sizes)))]


def _clusters(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    if len(facts.points):
        blocks.append(
            Figure(
                cluster_map(facts.points, facts.kept[facts.point_rows], facts.point_texts),
                "The map",
                "Each point is a row, near others that ask alike (the two main directions of the embeddings).",
            )
        )
    if len(facts.sizes):
        sizes, counts = np.unique(facts.sizes, return_counts=True)
        figure = blank_figure("rows of a cluster", "clusters", height=260)
        figure.add_bar(x=sizes.tolist(), y=counts.tolist(), marker={"color": PALETTE[0]})
        blocks.append(Figure(figure, "Sizes", "How many clusters there are of each size; one row of each is kept."))
    return blocks


def cluster_map(points: NDArray[np.float64], kept: NDArray[np.bool_], texts: Sequence[str]) -> go.Figure:
    """Rows as points, the kept ones over the dropped ones.

    Args:
        points: (m, 2).
        kept: (m,) bool.
        texts: (m,) what a point says.

    Example:
        >>> figure = cluster_map(np.zeros((2, 2)), np.array([True, False]), ["a", "b"])
        >>> [trace.name for trace in figure.data]
        ['dropped', 'kept']
    """
    figure = blank_figure("", "", height=520)
    for name, chosen, colour, size in (("dropped", ~kept, GREY, 4), ("kept", kept, PALETTE[0], 6)):
        rows = np.flatnonzero(chosen).tolist()
        figure.add_scatter(
            name=name,
            x=rounded(points[rows, 0]),
            y=rounded(points[rows, 1]),
            mode="markers",
            marker={"color": colour, "size": size, "opacity": 0.45 if name == "dropped" else 0.9},
            customdata=[plain(shorten(texts[row], _HOVER)) for row in rows],
            hovertemplate="%{customdata}<extra>" + name + "</extra>",
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    return figure


def _teacher(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    if facts.cost is not None:
        cost = facts.cost
        rows = [
            ("calls", f"{cost.calls:,}"),
            ("tokens of prompts", f"{cost.input_tokens:,}"),
            ("tokens of answers", f"{cost.output_tokens:,}"),
        ]
        money = (("spent", cost.spent_usd), ("at most lost in calls that broke off", cost.lost_usd),
                 ("cap", cost.budget_usd))  # fmt: skip
        rows += [(name, f"${value:,.4f}") for name, value in money if value is not None]
        blocks.append(Table(("", ""), rows, "What it took, earlier tries included.", frozenset({1})))
    answers = facts.answers
    if answers is None:
        return blocks
    rows = [(name, f"{count:,}") for name, count in answers.states.items()]
    rows += (
        []
        if not answers.won.sum() and not answers.malformed
        else [
            ("answers that could not be read at first", f"{answers.malformed_at_first:,}"),
            ("answers that could not be read twice", f"{answers.malformed:,}"),
            ("answers that the server cut", f"{answers.truncated:,}"),
        ]
    )
    blocks.append(Table(("Clusters", "Count"), rows, "What became of the clusters.", frozenset({1})))
    if answers.won.sum():
        blocks.append(
            Figure(
                winning_places(answers.won, answers.expected),
                "Where the winners stood",
                "How often the best row was shown at each place of the prompt, and how often it would have been if "
                f"places did not matter. {_bias(answers.won, answers.expected)}",
            )
        )
    return blocks


def winning_places(won: NDArray[np.int64], expected: NDArray[np.float64]) -> go.Figure:
    """Bars of what was counted, and a line of what was expected.

    Args:
        won: (p,) winners shown at each place.
        expected: (p,) the same without position bias.

    Example:
        >>> list(winning_places(np.array([3, 1]), np.array([2.0, 2.0])).data[0].y)
        [3, 1]
    """
    places = list(range(1, len(won) + 1))
    figure = blank_figure("place in the prompt", "winners", height=300)
    figure.add_bar(name="counted", x=places, y=won.tolist(), marker={"color": PALETTE[0]})
    figure.add_scatter(
        name="without position bias", x=places, y=rounded(expected), mode="lines+markers", line={"color": GREY}
    )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(dtick=1)
    return figure


def _bias(won: NDArray[np.int64], expected: NDArray[np.float64]) -> str:
    there = expected > 0
    away = float((np.square(won[there] - expected[there]) / expected[there]).sum())
    freedom = max(1, int(there.sum()) - 1)
    limit = freedom + 2 * (2 * freedom) ** 0.5
    if away <= limit:
        return "The difference is within chance."
    found = f"chi-square {away:.0f} at {freedom} degrees of freedom"
    return f"The difference is beyond chance ({found}): more permutations help."


def _others(facts: InstructFacts) -> list[Block]:
    if not facts.others or facts.ours is None:
        return []
    known, far = facts.ours.hallucinated is not None, facts.ours.distance is not None
    header = ["Method", "Kept", "Shared"] + ["Hallucinated"] * known + ["Distance"] * far
    rows = [
        [one.name, f"{one.kept:,}", f"{one.shared:,}"]
        + ([f"{one.hallucinated:.1%}" if one.hallucinated is not None else "-"] if known else [])
        + ([f"{one.distance:.3f}" if one.distance is not None else "-"] if far else [])
        for one in (facts.ours, *facts.others)
    ]
    said = "Shared: rows that this run keeps too."
    said += " Distance: of all rows to the nearest kept one, on average; less is more diverse." if far else ""
    return [Table(header, rows, said, frozenset(range(1, len(header))))]


def _lengths(facts: InstructFacts) -> list[Block]:
    blocks: list[Block] = []
    for column, name in enumerate(("request", "response")):
        values = np.minimum(facts.lengths[:, column], np.quantile(facts.lengths[:, column], 0.99))
        groups = {"all": values, "kept": values[facts.kept]}
        if facts.kept.any():
            blocks.append(
                Figure(
                    histogram(groups, unit=f"characters of the {name}"),
                    f"The {name}",
                    f"On average {facts.lengths[:, column].mean():,.0f} characters before and "
                    f"{facts.lengths[facts.kept, column].mean():,.0f} after; the longest 1% are drawn at the end.",
                )
            )
    return blocks


def _copies(facts: InstructFacts) -> list[Block]:
    if not facts.exact_copies and not facts.near_copies:
        return []
    said = (
        f"{facts.exact_copies:,} rows say the same as an earlier one, spaces aside, and {facts.near_copies:,} nearly "
        "the same by their embeddings."
    )
    rows = [(shorten(copy, _CELL), shorten(original, _CELL), f"{like:.3f}") for copy, original, like in facts.copies]
    table = Table(("Row", "Repeats", "Likeness"), rows, "Some pairs, the most alike first.", frozenset({2}))
    return [Text(said), table] if rows else [Text(said)]


def _problems(facts: InstructFacts) -> list[Block]:
    if not facts.problems:
        return []
    rows = [(f"{row:,}", reason) for row, reason in facts.problems[:100]]
    said = f"{len(facts.problems):,} rows are left out; problems.parquet has all."
    return [Table(("Row of the file", "Why"), rows, said, frozenset({0}))]
