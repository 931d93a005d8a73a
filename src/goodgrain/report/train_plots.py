"""Pure functions from what a training run measured to plotly figures, and from boxes to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from goodgrain.checks import check_numbers, check_rows, check_scores
from goodgrain.report.plots import GREY, PALETTE, plain, rounded, shorten
from goodgrain.report.train_views import Projection

_COLUMNS = 2  # panels in a row: a third would be too narrow to read on a phone
_PANEL = 340  # pixels
_SIDE = 192  # pixels of a picture with boxes: twice what the page shows, so that lines stay sharp
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")
DRAWN = 8  # classes of a projection: as many as the palette has colours that differ
_NAMED = 12  # more classes than this are neither named along the axes of a heat map nor numbered in its cells
_BESIDE = 4  # classes of a heat map with numbers that fits beside another one on a phone
_ROOMY = 9  # classes of a heat map whose cells take numbers of a usual size on a phone
_SCALE = "Cividis"


def loss_terms(terms: Mapping[str, Mapping[str, ArrayLike]], units: Mapping[str, str] | None = None) -> go.Figure:
    """Each loss term against the epoch, a panel per term and a line per method.

    Args:
        terms: method -> term -> (e,) mean per epoch.
        units: term -> what it measures, written along its axis.

    Returns:
        The figure; a term that falls a hundredfold has a logarithmic axis.

    Raises:
        InputError: no term at all, or values that are not finite.

    Example:
        >>> figure = loss_terms({"taufe": {"loss": [2, 1], "ood": [9, 1]}, "standard": {"loss": [2, 1]}})
        >>> [line.name for line in figure.data]
        ['taufe', 'standard', 'taufe']
    """
    names = list(dict.fromkeys(name for own in terms.values() for name in own))
    check_rows("terms", len(names), None)
    figure = _panels(names, height=260)
    told = set()
    for panel, name in enumerate(names):
        lowest, highest = np.inf, 0.0
        for rank, (method, own) in enumerate(terms.items()):
            if name not in own:
                continue
            y = check_scores(own[name], name=f"{name} of {method}")
            lowest, highest = min(lowest, float(y.min())), max(highest, float(y.max()))
            figure.add_scatter(
                name=plain(shorten(method)),
                legendgroup=method,
                showlegend=method not in told,
                x=list(range(1, len(y) + 1)),
                y=rounded(y),
                mode="lines" if len(y) > 1 else "markers",
                line={"color": PALETTE[rank % len(PALETTE)], "width": 2.5},
                hovertemplate="epoch %{x}: %{y:.4g}",
                **_place(panel),
            )
            told.add(method)
        figure.update_xaxes(title={"text": "epoch", "standoff": 6}, **_place(panel))
        if unit := (units or {}).get(name):
            figure.update_yaxes(title={"text": plain(unit), "standoff": 6, "font": {"size": 11}}, **_place(panel))
        if lowest > 0 and highest > 100 * lowest:
            figure.update_yaxes(type="log", dtick=1, exponentformat="e", **_place(panel))
        else:
            figure.update_yaxes(rangemode="tozero", **_place(panel))
    return figure


def class_cosines(matrices: Mapping[str, ArrayLike], classes: Sequence[str], *, most: int = 40) -> go.Figure:
    """The mean cosine similarity of each pair of classes as a heat map, a panel per model, all in the same colours.

    Args:
        matrices: model -> (c, c); NaN is left blank.
        classes: (c,) names.
        most: of more classes than this, those are shown that come nearest to another one in the first model.

    Raises:
        InputError: no model, or a matrix of another size.

    Example:
        >>> class_cosines({"standard": [[1, 0.5], [0.5, 1]]}, ["cat", "dog"]).data[0].z.tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    check_rows("matrices", len(matrices), None)
    c = len(classes)
    tables = {name: np.asarray(table, dtype=np.float64) for name, table in matrices.items()}
    for name, table in tables.items():
        check_numbers(f"cosine of {name}", np.nan_to_num(table), dimensions=2, n=c)
    first = np.where(np.eye(c, dtype=bool), -np.inf, np.nan_to_num(next(iter(tables.values())), nan=-np.inf))
    shown = np.sort(np.argsort(-first.max(axis=1), kind="stable")[:most])
    tables = {name: table[np.ix_(shown, shown)] for name, table in tables.items()}
    names = [plain(str(classes[i])) for i in shown]
    off = np.concatenate([table[~np.eye(len(shown), dtype=bool)] for table in tables.values()])
    off = off[~np.isnan(off)]  # what is compared: the diagonal would take up most of the colours
    lowest, highest = (float(off.min()), float(off.max())) if len(off) else (0.0, 1.0)
    highest = max(highest, lowest + 0.01)
    written = len(shown) <= _NAMED
    columns = 1 if _BESIDE < len(shown) <= _NAMED else _COLUMNS
    figure = _panels(list(tables), columns=columns)
    for panel, table in enumerate(tables.values()):
        place = _place(panel, columns=columns)
        figure.add_heatmap(
            z=np.vectorize(lambda value: float(f"{value:.4g}"))(table),
            coloraxis="coloraxis",
            customdata=[[f"{a} and {b}" for b in names] for a in names],
            hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
            **place,
        )
        if written:
            figure.add_scatter(**_cell_numbers(table, lowest, highest), **place)
    bar = {"thickness": 10, "outlinewidth": 0, "lenmode": "pixels", "len": 220, "y": 1, "yanchor": "top"}
    axis = {"colorscale": _SCALE, "cmin": lowest, "cmax": highest, "colorbar": bar, "showscale": not written}
    figure.update_layout(coloraxis=axis, showlegend=False, margin={"r": 30})  # a name may be wider than its map
    figure.update_xaxes(showticklabels=False, ticks="")
    figure.update_yaxes(showticklabels=False, ticks="")
    if written:  # the rows of the panels on the left stand for all rows and columns
        ticks = {"tickvals": list(range(len(shown))), "ticktext": [plain(shorten(str(classes[i]), 12)) for i in shown]}
        figure.update_yaxes(showticklabels=True, **ticks, col=1)
    edges = [-0.5, len(shown) - 0.5]
    figure.update_xaxes(showgrid=False, range=edges)
    figure.update_yaxes(showgrid=False, range=edges[::-1])
    return figure


def _cell_numbers(table: NDArray[np.float64], lowest: float, highest: float) -> dict[str, Any]:
    """The (c, c) values as texts in the cells, each black or white, whichever is read more easily on its colour."""
    rows, columns = np.nonzero(~np.isnan(table))
    values = table[rows, columns].tolist()
    return {
        "x": columns.tolist(),
        "y": rows.tolist(),
        "text": [f"{value:.2f}".replace("0.", ".", 1) for value in values],
        "mode": "text",
        "textfont": {
            "size": 11 if len(table) <= _ROOMY else 9,
            "color": [_ink((value - lowest) / (highest - lowest)) for value in values],
        },
        "hoverinfo": "skip",
    }


def _ink(height: float) -> str:
    """Black or white, by the relative luminance (WCAG 2) of the colour at a height from 0 to 1 of the scale."""
    (colour,) = sample_colorscale(_SCALE, [min(max(height, 0.0), 1.0)], colortype="tuple")
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), linear))
    return "#000" if luminance > 0.179 else "#fff"  # at 0.179 both have a contrast of 4.6


def projections(models: Mapping[str, Projection], classes: Sequence[str], *, named: int = DRAWN) -> go.Figure:
    """Where each model puts images: classes in colour, OOD images as crosses on top, the zero vector marked.

    Both axes of a panel have one scale, so that angles are true.

    Args:
        models: model -> its projection.
        classes: (c,) names.
        named: of more classes than this, those with most images are shown, and the others are left out.

    Raises:
        InputError: no model.

    Example:
        >>> one = Projection(np.array([[1.0, 0.0]]), np.array([1]), np.zeros((2, 2)))
        >>> [points.name for points in projections({"taufe": one}, ["cat", "dog"]).data]
        ['dog', 'OOD']
    """
    check_rows("models", len(models), None)
    counts = np.bincount(np.concatenate([one.labels for one in models.values()]), minlength=len(classes))
    shown = [int(i) for i in np.sort(np.argsort(-counts, kind="stable")[:named]) if counts[i]]
    figure = _panels(list(models))
    for panel, one in enumerate(models.values()):
        groups = []
        for rank, label in enumerate(shown):
            symbol = _SYMBOLS[rank % len(_SYMBOLS)]
            colour = PALETTE[rank % len(PALETTE)]
            groups.append((str(classes[label]), one.inside[one.labels == label], colour, symbol, 0.6))
        groups.append(("OOD", one.outside, GREY, "x-thin", 0.9))  # last: on top
        for name, points, colour, symbol, opacity in groups:
            figure.add_scatter(
                name=plain(shorten(name)),
                legendgroup=name,
                showlegend=panel == 0,
                x=rounded(points[:, 0]),
                y=rounded(points[:, 1]),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 5, "opacity": opacity, "line": {"color": colour}},
                hoverinfo="name",
                **_place(panel),
            )
            if symbol == "x-thin":  # a thin symbol is nothing but its outline; the page draws it in its own ink
                figure.data[-1].update(meta="ink", marker={"line": {"width": 1.5}})
        figure.update_xaxes(zeroline=True, zerolinecolor=GREY, showticklabels=False, **_place(panel))
        anchor = "x" if panel == 0 else f"x{panel + 1}"
        figure.update_yaxes(
            zeroline=True, zerolinecolor=GREY, showticklabels=False, scaleanchor=anchor, **_place(panel)
        )
        figure.add_annotation(
            text="0", x=0, y=0, ax=-26, ay=30, showarrow=True, arrowhead=2, arrowwidth=1.5, arrowcolor=GREY,
            **_place(panel),
        )  # fmt: skip
    return figure


def responses(features: ArrayLike, before: ArrayLike, after: ArrayLike, *, names: tuple[str, str]) -> go.Figure:
    """How strongly each feature responds to OOD images in two models, as pairs of bars, the first feature on top.

    Args:
        features: (f,) indices.
        before: (f,) `goodgrain.scores.response` in the first model.
        after: (f,) in the second.
        names: what the two models are called.

    Raises:
        InputError: no feature, or lengths that differ.

    Example:
        >>> [list(bars.x) for bars in responses([7], [1.5], [0.25], names=("standard", "taufe")).data]
        [[1.5], [0.25]]
    """
    indices = [str(index) for index in np.asarray(features)]
    values = [check_scores(table, name="responses", n=len(indices)) for table in (before, after)]
    figure = _styled(go.Figure(), height=34 * len(indices) + 130)
    for name, own, colour in zip(names, values, (PALETTE[1], PALETTE[0]), strict=True):
        figure.add_bar(
            name=plain(shorten(name)),
            x=rounded(own),
            y=list(range(len(indices))),
            orientation="h",
            marker={"color": colour},
            customdata=indices,
            hovertemplate="feature %{customdata}: %{x:.2f}",
        )
    ticks = {"tickvals": list(range(len(indices))), "ticktext": [f"feature {index}" for index in indices]}
    figure.update_yaxes(autorange="reversed", showgrid=False, **ticks)
    figure.update_xaxes(title={"text": "response to OOD images", "standoff": 12}, rangemode="tozero")
    return figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.05)


def with_boxes(picture: Image.Image, true: ArrayLike, predicted: ArrayLike) -> bytes:
    """A picture with the true box in blue and the predicted one in orange over it, as a JPEG.

    Args:
        picture: any mode and size; small ones are enlarged.
        true: (4,) left, top, right, bottom as shares of width and height.
        predicted: (4,) likewise; what lies outside the picture is cut off.

    Example:
        >>> with_boxes(Image.new("L", (8, 8)), [0, 0, 0.5, 0.5], [0.25, 0, 1, 1])[6:10]
        b'JFIF'
    """
    scale = _SIDE / max(picture.size)
    size = tuple(max(1, round(scale * side)) for side in picture.size)
    smooth = Image.Resampling.NEAREST if scale > 3 else Image.Resampling.BICUBIC
    canvas = picture.convert("RGB").resize((size[0], size[1]), smooth)
    pen = ImageDraw.Draw(canvas)
    for box, colour in ((true, PALETTE[0]), (predicted, PALETTE[1])):
        corners = np.clip(np.asarray(box, dtype=np.float64), 0, 1) * np.subtract((*size, *size), 1)
        # A box with no inside, or at the very edge, is drawn as a sliver within the picture.
        left, top = np.minimum(corners[:2], np.maximum(0, np.subtract(size, 11)))
        right, bottom = np.maximum(corners[2:], (left + 10, top + 10))
        # Lines grow inwards; the white edges are seen on dark and on bright pictures alike.
        for inset, line, width in ((0, "white", 8), (1, colour, 6)):
            pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=line, width=width)
    buffer = BytesIO()
    canvas.save(buffer, "JPEG", quality=88, subsampling=0)  # thin coloured lines stay coloured
    return buffer.getvalue()


def _panels(titles: Sequence[str], *, height: int = _PANEL, columns: int = _COLUMNS) -> go.Figure:
    """Panels in rows of so many under their titles."""
    rows, columns = -(-len(titles) // columns), min(columns, len(titles))
    names = [plain(shorten(title, 16)) for title in titles]  # two of them fit beside each other on a phone
    gap = 0.0 if rows == 1 else 90 / (height * rows)
    figure = make_subplots(rows, columns, subplot_titles=names, horizontal_spacing=0.12, vertical_spacing=gap)
    figure.update_annotations(font={"size": 14})
    return _styled(figure, height=height * rows + 60)


def _place(panel: int, *, columns: int = _COLUMNS) -> dict[str, int]:
    return {"row": panel // columns + 1, "col": panel % columns + 1}


def _styled(figure: go.Figure, *, height: int) -> go.Figure:
    axis = {"automargin": True, "fixedrange": True, "zeroline": False}
    figure.update_xaxes(**axis).update_yaxes(**axis)
    legend = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemsizing": "constant"}
    return figure.update_layout(
        template=go.layout.Template(),
        height=height,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        showlegend=True,
        legend=legend,
        dragmode=False,
        hovermode="closest",
        separators=".,",
    )
