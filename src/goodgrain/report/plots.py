"""Pure functions from numbers to plotly figures; the page that shows them brings the colours of text and grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_integers, check_numbers, check_rows, check_scores
from goodgrain.errors import InputError

# Distinguishable under the common colour-vision deficiencies, and at least 3:1 against the white and the dark page.
PALETTE = ("#2f7fc1", "#cf6a0c", "#1a936f", "#b5519c", "#8a7a2f", "#5b6ee0", "#c2474b", "#4a8f95")
GREY = "#858c96"
_SYMBOLS = (("circle", "●"), ("square", "■"), ("diamond", "◆"), ("triangle-up", "▲"))
_NAME_LENGTH = 22
_ROW_HEIGHT = 26


class CurvePoint(NamedTuple):
    """One measured accuracy: `budget` examples kept by `method`, mean and std (0..1) over `seeds` trainings."""

    method: str
    budget: int
    mean: float
    std: float
    seeds: int


def shorten(name: str, length: int = _NAME_LENGTH) -> str:
    """A name of at most `length` characters: its beginning and its end, which is where names differ.

    Example:
        >>> shorten("a name that does not fit", 11)
        'a nam…t fit'
    """
    if len(name) <= length:
        return name
    head = length // 2
    return f"{name[:head]}…{name[len(name) - (length - head - 1) :]}"


def learning_curve(points: Sequence[CurvePoint]) -> go.Figure:
    """Accuracy against the number of examples kept, one line per method, one std as error bars.

    Args:
        points: in any order; accuracies lie in 0..1.

    Raises:
        InputError: no point at all.

    Example:
        >>> learning_curve([CurvePoint("uniform", 100, 0.5, 0.01, 3)]).layout.yaxis.title.text
        'accuracy (%)'
    """
    check_rows("points", len(points), None)
    figure = blank_figure("examples kept", "accuracy (%)")
    ends = []
    for rank, method in enumerate(dict.fromkeys(point.method for point in points)):
        own = sorted((point for point in points if point.method == method), key=lambda point: point.budget)
        colour, (symbol, glyph) = PALETTE[rank % len(PALETTE)], _SYMBOLS[rank % len(_SYMBOLS)]
        figure.add_scatter(
            name=plain(shorten(method)),
            x=[point.budget for point in own],
            y=[100 * point.mean for point in own],
            error_y={"array": [100 * point.std for point in own], "thickness": 1.5, "width": 4},
            customdata=[[plain(method), point.seeds] for point in own],
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"symbol": symbol, "size": 9},
            hovertemplate="%{customdata[0]}<br>%{x:,} kept: %{y:.1f}% (seeds: %{customdata[1]})<extra></extra>",
        )
        ends.append((100 * own[-1].mean, colour, glyph, shorten(method)))
    low = 100 * min(point.mean - point.std for point in points)
    high = 100 * max(point.mean + point.std for point in points)
    room = max(1.0, 0.12 * (high - low))
    bottom, top = max(0.0, low - room), min(102.0, high + room)
    figure.update_yaxes(range=[bottom, top])
    figure.update_xaxes(rangemode="tozero")
    label_ends(figure, ends, bottom, top)
    return figure


def class_shares(classes: Sequence[str], kept: ArrayLike, total: ArrayLike, *, most: int = 30) -> go.Figure:
    """The share of each class that was kept, the most kept class on top, as horizontal bars.

    Args:
        classes: (c,) names.
        kept: (c,) how many of each class were kept.
        total: (c,) how many each class has; classes without any are left out.
        most: with more classes than this, the two ends are shown and one bar sums up the classes between them.

    Raises:
        InputError: lengths differ, every class is empty, or more kept than there are.

    Example:
        >>> list(class_shares(["cat", "dog"], [1, 3], [4, 4]).data[0].x)
        [25.0, 75.0]
    """
    names = np.asarray(classes, dtype=object)
    parts = check_integers("kept", kept, n=len(names))
    wholes = check_integers("total", total, n=len(names))
    if (parts < 0).any() or (parts > wholes).any():
        raise InputError("kept should lie between 0 and total for every class.")
    filled = np.flatnonzero(wholes)
    check_rows("total", len(filled), None)
    order = filled[np.lexsort((filled, -parts[filled] / wholes[filled]))]
    rows = [(str(names[i]), int(parts[i]), int(wholes[i]), PALETTE[0]) for i in order]
    if len(rows) > most:
        side = (most - 1) // 2
        between = order[side:-side]
        name = f"{len(between):,} classes between"
        rows[side:-side] = [(name, int(parts[between].sum()), int(wholes[between].sum()), GREY)]
    rows.reverse()  # plotly counts rows from the bottom
    shares = [100 * part / whole for _, part, whole, _ in rows]
    overall = 100 * parts.sum() / wholes.sum()
    # Rows sit at numbers, not at names: two names may shorten to the same text.
    figure = blank_figure("kept share (%)", "", height=_ROW_HEIGHT * len(rows) + 110)
    figure.add_bar(
        x=shares,
        y=list(range(len(rows))),
        orientation="h",
        marker={"color": [colour for *_, colour in rows]},
        customdata=[[plain(shorten(name, 80)), f"{part:,}", f"{whole:,}"] for name, part, whole, _ in rows],
        hovertemplate="%{customdata[0]}: %{customdata[1]} of %{customdata[2]} kept<extra></extra>",
    )
    _mark(figure, overall, f"all classes {overall:.1f}%", left=overall > max(shares) / 2)
    figure.update_xaxes(range=[0, max(1.0, 1.05 * max(*shares, overall))])
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{plain(shorten(row[0]))}  {share:.1f}%" for row, share in zip(rows, shares, strict=True)],
        range=[-0.6, len(rows) - 0.4],
        showgrid=False,
    )
    return figure


def noise_share(budgets: ArrayLike, share_kept: ArrayLike, share_all: float) -> go.Figure:
    """The share of wrong labels among the kept examples, per budget, beside that of the whole data set.

    Args:
        budgets: (b,) how many examples were kept.
        share_kept: (b,) share of them with a wrong label, 0..1.
        share_all: share of all examples with a wrong label, 0..1.

    Example:
        >>> list(noise_share([10, 20], [0.1, 0.25], 0.3).data[0].y)
        [10.0, 25.0]
    """
    counts = check_integers("budgets", budgets)
    shares = 100 * check_scores(share_kept, name="share_kept", n=len(counts))
    order = np.argsort(counts, kind="stable")
    figure = blank_figure("examples kept", "wrong labels (%)")
    figure.add_scatter(
        x=counts[order].tolist(),
        y=shares[order].tolist(),
        mode="lines+markers",
        line={"color": PALETTE[0], "width": 2.5},
        marker={"size": 9},
        hovertemplate="%{x:,} kept: %{y:.1f}% wrong<extra></extra>",
    )
    figure.add_hline(y=100 * share_all, line={"color": GREY, "dash": "dash", "width": 1.5})
    for x, height, side, label in (
        (0.0, 100 * share_all, "left", f"all examples {100 * share_all:.1f}%"),
        (1.0, float(shares[order[-1]]), "right", f"kept {shares[order[-1]]:.1f}%"),
    ):
        figure.add_annotation(
            text=label, x=x, xref="paper", xanchor=side, y=height, yanchor="bottom", yshift=6, showarrow=False
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(range=[0, 1.25 * max(100 * share_all, float(shares.max()), 0.8)])
    return figure


def histogram(groups: Mapping[str, ArrayLike], *, unit: str, bins: int = 40) -> go.Figure:
    """How the values of each group are spread: bars over common bins, as a share of the group.

    The page gets the counts only: its size does not grow with the number of values.

    Args:
        groups: name -> (m,) finite values; groups without values are left out.
        unit: what the values are, for the axis.
        bins: how many equal bins span the values of all groups.

    Raises:
        InputError: no values, or values that are not finite.

    Example:
        >>> [int(count) for count, *_ in histogram({"kept": [0, 0, 1]}, unit="x", bins=2).data[0].customdata]
        [2, 1]
    """
    filled = {name: check_scores(values, name=name) for name, values in groups.items() if np.size(values)}
    check_rows("groups", len(filled), None)
    edges = np.histogram_bin_edges(np.concatenate(list(filled.values())), bins=bins)
    figure = blank_figure(unit, "share of the group (%)")
    for rank, (name, values) in enumerate(filled.items()):
        counts, _ = np.histogram(values, bins=edges)
        figure.add_bar(
            name=f"{plain(shorten(name))} ({len(values):,})",
            x=rounded((edges[:-1] + edges[1:]) / 2),
            y=rounded(100 * counts / len(values)),
            width=float(edges[1] - edges[0]),
            marker={"color": PALETTE[rank % len(PALETTE)], "opacity": 0.55, "line": {"width": 0}},
            customdata=[
                [int(count), f"{low:.3g}", f"{high:.3g}"]
                for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
            ],
            hovertemplate="%{customdata[1]} to %{customdata[2]}: %{customdata[0]:,} examples, %{y:.1f}%",
        )
    figure.update_layout(barmode="overlay", bargap=0, showlegend=True, margin_t=40)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    return figure


def neighbour_counts(
    thresholds: ArrayLike, quantiles: Mapping[str, ArrayLike], *, chosen: float | None = None
) -> go.Figure:
    """How many neighbours an example has under each similarity threshold, and the threshold that was chosen.

    Args:
        thresholds: (t,) cosine similarities.
        quantiles: what each curve is ("median") -> (t,) neighbours per example.
        chosen: the threshold that the selection used.

    Raises:
        InputError: no curve, or one whose length is not t.

    Example:
        >>> len(neighbour_counts([0.9, 0.95], {"median": [20, 4]}, chosen=0.95).data)
        1
    """
    x = check_scores(thresholds, name="thresholds")
    curves = {name: check_numbers(name, values, dimensions=1, n=len(x)) for name, values in quantiles.items()}
    check_rows("quantiles", len(curves), None)
    order = np.argsort(x, kind="stable")
    figure = blank_figure("similarity threshold", "neighbours per example")
    everything = np.concatenate(list(curves.values()))
    logarithmic = bool(everything.min() > 0)
    low, high = (float(np.log10(end) if logarithmic else end) for end in (everything.min(), everything.max()))
    bottom, top = low - 0.06 * (high - low) - 0.1, high + 0.06 * (high - low) + 0.1
    ends = []
    for rank, (name, values) in enumerate(curves.items()):
        y = values[order]
        colour, (symbol, glyph) = PALETTE[rank % len(PALETTE)], _SYMBOLS[rank % len(_SYMBOLS)]
        figure.add_scatter(
            name=plain(shorten(name)),
            x=rounded(x[order]),
            y=rounded(y),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"symbol": symbol, "size": 7},
            customdata=[[plain(name)]] * len(x),
            hovertemplate="%{customdata[0]}: %{y:,.0f} neighbours at %{x:.3f}<extra></extra>",
        )
        ends.append((float(np.log10(y[-1]) if logarithmic else y[-1]), colour, glyph, shorten(name)))
    figure.update_yaxes(range=[bottom, top])
    label_ends(figure, ends, bottom, top)
    if logarithmic:
        figure.update_yaxes(type="log", dtick=1, tickformat=",")
    if chosen is not None:
        _mark(figure, chosen, f"chosen {chosen:g}", left=bool(chosen > x.mean()))
    return figure


def blank_figure(x_title: str, y_title: str, *, height: int = 340) -> go.Figure:
    """A figure with nothing in it, in the form that all figures of the reports have."""
    axis = {"automargin": True, "fixedrange": True, "zeroline": False}
    return go.Figure(
        layout={
            "template": go.layout.Template(),
            "height": height,
            "margin": {"l": 10, "r": 20, "t": 30, "b": 10},
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "separators": ".,",
            "xaxis": {**axis, "title": {"text": x_title, "standoff": 12}},
            "yaxis": {**axis, "title": {"text": y_title, "standoff": 12}},
        }
    )


def plain(text: str) -> str:
    """Text as plotly shows it letter by letter: it reads a small HTML, which knows no entity for quotes."""
    return escape(text, quote=False)


def rounded(values: NDArray[Any]) -> list[float]:
    """Six digits are more than a screen shows, and keep the page small."""
    return [float(f"{value:.6g}") for value in values]


def _mark(figure: go.Figure, x: float, label: str, *, left: bool) -> None:
    """A dashed upright line, its label above it and to one side, where it stays within the plot."""
    figure.add_vline(x=x, line={"color": GREY, "dash": "dash", "width": 1.5})
    side = "right" if left else "left"
    figure.add_annotation(text=label, x=x, xanchor=side, y=1, yref="paper", yanchor="bottom", showarrow=False)


def label_ends(figure: go.Figure, ends: list[tuple[float, str, str, str]], bottom: float, top: float) -> None:
    """Name each line (end height, colour, glyph, name) beside its end: apart from the others, and below the top."""
    ends = sorted(ends)
    gap = 0.075 * (top - bottom)
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    ceiling = top - gap / 2
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - gap
    for height, (_, colour, glyph, name) in zip(heights, ends, strict=True):
        # The page replaces labels of this name by a legend where it is too narrow to set them beside the plot.
        text = f"<span style='color:{colour}'>{glyph}</span> {plain(name)}"
        figure.add_annotation(name="end", text=text, x=1.01, xref="paper", xanchor="left", y=height, showarrow=False)
    figure.update_layout(margin_r=30 + 7 * max(len(name) for *_, name in ends))
