"""What a comparison of two models shows: wins, ties and losses, how far the judge can be trusted, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from goodgrain.checks import check_rows
from goodgrain.metrics.preference import PreferenceRates
from goodgrain.report.html import Block, Fact, Facts, Figure, Section, Table, Text, render
from goodgrain.report.plots import GREY, PALETTE, blank_figure, plain, shorten

_ROW_HEIGHT = 34
_LEAST_LABELLED = 0.05  # narrower parts of a bar have no room for a number
_CELL = 400  # characters of a text in a table


@dataclass(frozen=True)
class JudgedPair:
    """One pair as the report shows it.

    Args:
        request: what was asked.
        ours: our answer.
        theirs: theirs.
        words: what the judge said with ours first, and with theirs first.
    """

    request: str
    ours: str
    theirs: str
    words: tuple[str, str]


@dataclass(frozen=True, eq=False)
class PreferenceFacts:
    """What a comparison found.

    Args:
        ours: our model's name.
        theirs: the other's.
        judge: who judged.
        rates: over all pairs with an outcome; None where there is none.
        parts: (name, rates) of the parts of the evaluation set.
        counts: what became of the pairs, name -> how many.
        questions: how many pairs there are.
        first_place: of the verdicts that prefer one response, the share that prefers the one shown first; None where
            there is none.
        lengths: mean characters of our answers and of theirs.
        wins: pairs that ours wins in both orders.
        losses: pairs that ours loses in both orders.
        disagreements: pairs whose two orders differ.
        left_out: pairs without an outcome.
        unmatched: (question, the only model that answered it).
        settings: (name, value).
        cost: one sentence, "" where nothing was paid.
    """

    ours: str
    theirs: str
    judge: str
    rates: PreferenceRates | None
    parts: Sequence[tuple[str, PreferenceRates]]
    counts: dict[str, int]
    questions: int
    first_place: float | None
    lengths: tuple[float, float]
    wins: Sequence[JudgedPair] = ()
    losses: Sequence[JudgedPair] = ()
    disagreements: Sequence[JudgedPair] = ()
    left_out: Sequence[JudgedPair] = ()
    unmatched: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str]] = field(default_factory=tuple)
    cost: str = ""


def preference_report(facts: PreferenceFacts) -> str:
    """The report of a comparison as one self-contained HTML page.

    Args:
        facts: what was found; sections without content are left out.

    Returns:
        HTML; same facts, same text.

    Example:
        >>> facts = PreferenceFacts("mine", "base", "a judge", None, [], {"failed": 1}, 1, None, (1.0, 2.0))
        >>> "None of the 1 questions has an outcome." in preference_report(facts)
        True
    """
    parts = (
        ("In brief", _brief(facts)),
        ("Wins, ties and losses", _bars(facts)),
        ("Can the judge be trusted?", _trust(facts)),
        ("Won in both orders", _pairs(facts.wins, facts, "Our answer is preferred wherever it stands.")),
        ("Lost in both orders", _pairs(facts.losses, facts, "Their answer is preferred wherever it stands.")),
        ("The two orders disagree", _pairs(facts.disagreements, facts, "Each of these counts as a tie.")),
        ("Left out", _pairs(facts.left_out, facts, "Without two readable verdicts there is no outcome.")),
        ("Questions that only one model answered", _unmatched(facts)),
        ("Settings", [Table(("Setting", "Value"), facts.settings, "All that was asked.")] if facts.settings else []),
    )
    sections = [Section(title, blocks) for title, blocks in parts if blocks]
    return render(f"Preference: {facts.ours} against {facts.theirs}", _summary(facts), sections)


def preference_bars(rows: Sequence[tuple[str, PreferenceRates]]) -> go.Figure:
    """Shares of wins, ties and losses as stacked horizontal bars, the first row on top (figure 6.4).

    Args:
        rows: (name, rates), at least one.

    Raises:
        InputError: no row.

    Example:
        >>> from goodgrain.metrics.preference import preference_rates
        >>> [list(bar.x) for bar in preference_bars([("all", preference_rates([1, 1, 0, -1]))]).data]
        [[50.0], [25.0], [25.0]]
    """
    check_rows("rows", len(rows), None)
    figure = blank_figure("share of questions (%)", "", height=_ROW_HEIGHT * len(rows) + 120)
    heights = list(range(len(rows)))[::-1]  # plotly counts rows from the bottom
    for name, colour in (("win", PALETTE[0]), ("tie", GREY), ("loss", PALETTE[1])):
        shares = [getattr(rates, name) for _, rates in rows]
        figure.add_bar(
            name={"win": "ours wins", "tie": "tie", "loss": "ours loses"}[name],
            x=[round(100 * share, 3) for share in shares],
            y=heights,
            orientation="h",
            marker={"color": colour},
            text=[f"{100 * share:.0f}" if share >= _LEAST_LABELLED else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": "#ffffff"},
            customdata=[
                [plain(shorten(row, 80)), rates.n, *(f"{100 * end:.1f}" for end in getattr(rates, f"{name}_interval"))]
                for row, rates in rows
            ],
            hovertemplate=f"%{{customdata[0]}}, {name}: %{{x:.1f}}% (%{{customdata[2]}} to %{{customdata[3]}}) "
            "of %{customdata[1]:,}<extra></extra>",
        )
    figure.update_layout(barmode="stack", showlegend=True, margin_t=40)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"})
    figure.update_xaxes(range=[0, 100])
    figure.update_yaxes(
        tickvals=heights, ticktext=[plain(shorten(name)) for name, _ in rows], range=[-0.6, len(rows) - 0.4]
    )
    return figure


def _summary(facts: PreferenceFacts) -> str:
    rates = facts.rates
    if rates is None:
        return f"None of the {facts.questions:,} questions has an outcome."
    low, high = rates.win_rate_interval
    judged = f"{rates.n:,} of {facts.questions:,} questions"
    if low > 0.5 or high < 0.5:
        preferred = facts.ours if low > 0.5 else facts.theirs
        verdict = f"{preferred} is preferred"
    else:
        verdict = "neither model is surely preferred"
    return f"{verdict}: win rate of {facts.ours} {_with(rates.win_rate, (low, high))}, on {judged}."


def _brief(facts: PreferenceFacts) -> list[Block]:
    items = []
    if facts.rates is not None:
        for label, name in (("Win rate", "win_rate"), ("Wins", "win"), ("Ties", "tie"), ("Losses", "loss")):
            low, high = getattr(facts.rates, f"{name}_interval")
            value = f"{100 * getattr(facts.rates, name):.1f}%"
            items.append(Fact(label, value, f"{100 * low:.1f} to {100 * high:.1f}"))
    items.append(Fact("Judged", f"{facts.rates.n if facts.rates else 0:,}", f"of {facts.questions:,} questions"))
    said = "Wins and losses are those of our model; the win rate counts ties half. Small numbers: 95% intervals."
    return [Facts(items), Text(" ".join(filter(None, [said, facts.cost])))]


def _bars(facts: PreferenceFacts) -> list[Block]:
    if facts.rates is None:
        return []
    parts = facts.parts if len(facts.parts) > 1 else ()
    rows = [("all questions", facts.rates), *((name or "(no name)", rates) for name, rates in parts)]
    caption = f"Judged by {facts.judge}, each pair in both orders; below all questions the parts of the set."
    table = Table(
        ("Questions", "n", "Win %", "Tie %", "Loss %", "Win rate %", "95% interval"),
        [
            (name, f"{rates.n:,}", *(f"{100 * share:.1f}" for share in _shares(rates)), _ends(rates.win_rate_interval))
            for name, rates in rows
        ],
        "The same in numbers.",
        frozenset(range(1, 7)),
    )
    return [Figure(preference_bars(rows), f"{facts.ours} against {facts.theirs}", caption), table]


def _shares(rates: PreferenceRates) -> tuple[float, ...]:
    return rates.win, rates.tie, rates.loss, rates.win_rate


def _trust(facts: PreferenceFacts) -> list[Block]:
    said = (
        "Each pair is judged twice, once in each order. Only a verdict that both orders give counts; where they differ "
        "the pair is a tie, so that a judge who goes by the place makes ties, not wins. Many such ties draw the win "
        "rate towards 50%: they hide a difference, but never make one."
    )
    if facts.first_place is not None:
        said += (
            f" Of the verdicts that prefer one response, {facts.first_place:.1%} prefer the one shown first; without "
            "position bias it is 50%."
        )
    ours, theirs = facts.lengths
    said += f" Judges often favour length: our answers have {ours:,.0f} characters on average, theirs {theirs:,.0f}."
    rows = [(name, f"{count:,}") for name, count in facts.counts.items()]
    return [Text(said), Table(("Pairs", "Count"), rows, f"All {facts.questions:,} pairs.", frozenset({1}))]


def _pairs(pairs: Sequence[JudgedPair], facts: PreferenceFacts, caption: str) -> list[Block]:
    if not pairs:
        return []
    header = ("Request", facts.ours, facts.theirs, "Judge, ours as [1]", "Judge, theirs as [1]")
    rows = [
        tuple(shorten(text, _CELL) for text in (pair.request, pair.ours, pair.theirs, *pair.words)) for pair in pairs
    ]
    return [Table(header, rows, f"{caption} Shown: {len(pairs):,}.")]


def _unmatched(facts: PreferenceFacts) -> list[Block]:
    if not facts.unmatched:
        return []
    rows = [(shorten(question, _CELL), name) for question, name in facts.unmatched]
    return [Table(("Question", "Answered by"), rows, "They count nowhere.")]


def _with(share: float, interval: tuple[float, float]) -> str:
    return f"{100 * share:.1f}% ({_ends(interval)})"


def _ends(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
