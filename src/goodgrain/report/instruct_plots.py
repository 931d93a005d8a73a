"""Figures of a selection of instructions, and what chance alone would have made of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from goodgrain.report.plots import GREY, PALETTE, blank_figure, plain, rounded

_HOVER = 80  # characters of a request
_LEAST_EXPECTED = 5.0  # in each bin of a chi-square test, the usual rule
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


class PositionBias(NamedTuple):
    """Pearson's chi-square of where winners stood: `statistic` at `freedom` degrees of freedom has `p`."""

    statistic: float
    freedom: int
    p: float


def position_bias(won: ArrayLike, expected: ArrayLike) -> PositionBias | None:
    """Whether winners stand where a judge without position bias would have found them.

    Pearson's chi-square test. Neighbouring places are taken together until each bin expects five winners. Prompts of
    different lengths make the counts vary less than the test assumes, so that it errs towards "chance".

    Args:
        won: (p,) winners shown at each place.
        expected: (p,) the same without position bias; its sum is that of `won`.

    Returns:
        None where there are too few winners to tell.

    Example:
        >>> found = position_bias([8, 2], [5.0, 5.0])
        >>> found.statistic, found.freedom, round(found.p, 4)
        (3.6, 1, 0.0578)
    """
    bins: list[list[float]] = []
    wanted = 0.0
    for count, share in zip(np.asarray(won).tolist(), np.asarray(expected).tolist(), strict=True):
        if not bins or wanted >= _LEAST_EXPECTED:
            bins.append([0.0, 0.0])
        bins[-1][0] += count
        bins[-1][1] += share
        wanted = bins[-1][1]
    if len(bins) > 1 and wanted < _LEAST_EXPECTED:
        last = bins.pop()
        bins[-1] = [bins[-1][0] + last[0], bins[-1][1] + last[1]]
    if len(bins) < 2:
        return None
    statistic = sum((count - share) ** 2 / share for count, share in bins)
    freedom = len(bins) - 1
    return PositionBias(statistic, freedom, float(chdtrc(freedom, statistic)))


def random_spread(share: float, n: int, kept: int) -> float:
    """How far the share among rows kept at random strays from that among all: one standard deviation.

    Of the hypergeometric distribution: sqrt(share (1 - share) / kept * (n - kept) / (n - 1)).

    Args:
        share: among all rows, 0..1.
        n: all rows.
        kept: of them, at least one.

    Example:
        >>> round(random_spread(0.5, 5, 1), 3), random_spread(0.5, 5, 5)
        (0.5, 0.0)
    """
    return float(np.sqrt(share * (1 - share) / kept * (n - kept) / max(1, n - 1)))


def cluster_map(points: NDArray[np.float64], kept: NDArray[np.bool_], texts: Sequence[str]) -> go.Figure:
    """Rows as points, the kept ones over the dropped ones.

    Args:
        points: (m, 2).
        kept: (m,) bool.
        texts: (m,) what a point says; its beginning is shown.

    Example:
        >>> figure = cluster_map(np.zeros((2, 2)), np.array([True, False]), ["a", "b"])
        >>> [trace.name for trace in figure.data]
        ['dropped (1)', 'kept (1)']
    """
    figure = blank_figure("", "", height=520)
    for name, chosen, colour, size in (("dropped", ~kept, GREY, 4), ("kept", kept, PALETTE[0], 6)):
        rows = np.flatnonzero(chosen).tolist()
        figure.add_scatter(
            name=f"{name} ({len(rows):,})",
            x=rounded(points[rows, 0]),
            y=rounded(points[rows, 1]),
            mode="markers",
            marker={"color": colour, "size": size, "opacity": 0.45 if name == "dropped" else 0.9},
            customdata=[plain(beginning(texts[row], _HOVER)) for row in rows],
            hovertemplate="%{customdata}<extra>" + name + "</extra>",
        )
    figure.update_layout(showlegend=True, legend={**_LEGEND, "itemsizing": "constant"}, margin_t=40)
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def cluster_sizes(sizes: NDArray[np.int64]) -> go.Figure:
    """How many clusters there are of each size.

    Args:
        sizes: (k,) members of each cluster.

    Example:
        >>> figure = cluster_sizes(np.array([3, 1, 3]))
        >>> list(figure.data[0].x), list(figure.data[0].y)
        ([1, 3], [1, 2])
    """
    rows, counts = np.unique(sizes, return_counts=True)
    figure = blank_figure("rows of a cluster", "clusters", height=260)
    figure.add_bar(
        x=rows.tolist(),
        y=counts.tolist(),
        marker={"color": PALETTE[0]},
        hovertemplate="%{y:,} clusters of %{x:,} rows<extra></extra>",
    )
    if rows.max() <= 20:
        figure.update_xaxes(dtick=1)
    return figure


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
    figure.add_bar(
        name="counted",
        x=places,
        y=won.tolist(),
        marker={"color": PALETTE[0]},
        hovertemplate="place %{x}: %{y:,} winners<extra></extra>",
    )
    figure.add_scatter(
        name="expected without position bias",
        x=places,
        y=rounded(expected),
        mode="lines+markers",
        line={"color": PALETTE[1]},
        hovertemplate="place %{x}: %{y:,.1f} expected<extra></extra>",
    )
    figure.update_layout(showlegend=True, legend=_LEGEND, margin_t=40)
    figure.update_yaxes(rangemode="tozero")
    if len(places) <= 20:
        figure.update_xaxes(dtick=1)
    return figure


def beginning(text: str, length: int) -> str:
    """The first characters of a text, on one line.

    Example:
        >>> beginning("one  two three", 7)
        'one two…'
    """
    line = " ".join(text[: 2 * length].split())
    return line if len(line) <= length and len(text) <= 2 * length else line[:length].rstrip() + "…"
