from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plotly.colors import sample_colorscale

from goodgrain.errors import InputError
from goodgrain.report.train_facts import Projection
from goodgrain.report.train_plots import class_cosines, loss_terms, projections, responses, with_boxes

BLUE, ORANGE = (47, 127, 193), (207, 106, 12)


def titles(figure):
    return [note.text for note in figure.layout.annotations]


def test_each_term_has_a_panel_and_each_method_a_colour_and_one_legend_entry():
    terms = {"taufe": {"loss": [3, 2, 1], "ood": [5, 4, 3]}, "standard": {"loss": [2, 2, 1]}}
    figure = loss_terms(terms)
    assert titles(figure) == ["loss", "ood"]
    assert [(line.name, line.xaxis, list(line.y)) for line in figure.data] == [
        ("taufe", "x", [3, 2, 1]),
        ("standard", "x", [2, 2, 1]),
        ("taufe", "x2", [5, 4, 3]),
    ]
    assert list(figure.data[0].x) == [1, 2, 3]
    assert figure.data[0].line.color == figure.data[2].line.color != figure.data[1].line.color
    assert [line.showlegend for line in figure.data] == [True, True, False]


def test_what_a_term_measures_stands_along_its_axis():
    figure = loss_terms({"taufe": {"loss": [1.0], "penalty": [2.0]}}, {"penalty": "nats <i>"})
    assert [figure.layout[axis].title.text for axis in ("yaxis", "yaxis2")] == [None, "nats &lt;i&gt;"]


def test_a_term_that_falls_a_hundredfold_is_shown_in_decades():
    figure = loss_terms({"taufe": {"ood": [200, 1], "loss": [50, 1], "zero": [500, 0]}})
    assert [figure.layout[axis].type for axis in ("yaxis", "yaxis2", "yaxis3")] == ["log", None, None]


def test_a_heat_map_keeps_rows_and_columns_and_one_scale():
    one, other = np.array([[1, 0.25], [0.25, 0.5]]), np.array([[0.9, -0.1], [-0.1, np.nan]])
    figure = class_cosines({"standard": one, "taufe": other}, ["cat", "<dog>"])
    assert titles(figure) == ["standard", "taufe"]
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    np.testing.assert_array_equal(maps[0].z, one)
    np.testing.assert_array_equal(maps[1].z, other)
    assert {trace.coloraxis for trace in maps} == {"coloraxis"}
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-0.1, 0.25), "of what is off the diagonal"
    assert figure.layout.yaxis.range == (1.5, -0.5), "the first row on top"
    assert list(figure.layout.yaxis.ticktext) == ["cat", "&lt;dog&gt;"]
    assert figure.data[0].customdata[0][1] == "cat and &lt;dog&gt;"


def test_of_many_classes_those_nearest_to_another_are_shown():
    table = np.eye(6)
    table[1, 4] = table[4, 1] = 0.9
    table[2, 3] = table[3, 2] = 0.5
    figure = class_cosines({"standard": table}, list("abcdef"), most=2)
    assert [list(row) for row in figure.data[0].customdata] == [["b and b", "b and e"], ["e and b", "e and e"]]
    np.testing.assert_array_equal(figure.data[0].z, [[1, 0.9], [0.9, 1]])


def luminance(colour):
    """Relative luminance of sRGB by WCAG 2."""
    parts = np.asarray(colour) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_few_classes_have_their_numbers_in_the_cells_readable_on_each_colour():
    table = np.array([[1.0, 0.3, -0.05], [0.3, 0.504, 0.5], [-0.05, 0.5, np.nan]])
    figure = class_cosines({"standard": table}, list("abc"))
    numbers = figure.data[1]
    told = list(zip(numbers.y, numbers.x, numbers.text, strict=True))
    assert told[:3] == [(0, 0, "1.00"), (0, 1, ".30"), (0, 2, "-.05")]
    assert told[3:] == [(1, 0, ".30"), (1, 1, ".50"), (1, 2, ".50"), (2, 0, "-.05"), (2, 1, ".50")]
    assert not figure.layout.coloraxis.showscale, "the numbers tell more"
    ink = dict(zip(numbers.text, numbers.textfont.color, strict=True))
    # Cividis runs from (0, 34, 78) through (124, 123, 120) to (254, 232, 56); colours span -0.05 to 0.5.
    assert (ink["-.05"], ink[".50"], ink["1.00"]) == ("#fff", "#000", "#000")


@given(st.floats(0, 1))
def test_numbers_have_a_contrast_of_four_and_a_half(height):
    table = np.array([[1.0, 0.0], [1.0, height]])
    figure = class_cosines({"standard": table}, ["a", "b"])
    numbers, (cell,) = figure.data[1], sample_colorscale("Cividis", [height], colortype="tuple")
    brighter, darker = sorted((luminance(np.multiply(cell, 255)), float(numbers.textfont.color[3] == "#fff")))[::-1]
    assert (brighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.parametrize(("classes", "columns"), [(4, 2), (5, 1), (12, 1), (13, 2)])
def test_maps_with_numbers_stand_above_each_other_where_a_phone_has_no_room(classes, columns):
    figure = class_cosines({"a": np.eye(classes), "b": np.eye(classes)}, [str(i) for i in range(classes)])
    beside = figure.layout.xaxis.domain != figure.layout.xaxis2.domain
    assert beside is (columns == 2)
    assert any(trace.type == "scatter" for trace in figure.data) is (classes <= 12)


def test_more_than_twelve_classes_are_named_by_hovering_only():
    figure = class_cosines({"standard": np.eye(13)}, [f"class {i}" for i in range(13)])
    assert figure.layout.yaxis.ticktext is None
    assert figure.data[0].customdata[12][0] == "class 12 and class 0"


def test_points_are_where_they_were_and_ood_images_lie_on_top():
    one = Projection(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1, 0, 1]), np.array([[0.0, 0.5]]))
    figure = projections({"standard": one, "taufe": one}, ["cat", "dog"])
    first = figure.data[:3]
    assert [points.name for points in first] == ["cat", "dog", "OOD"]
    assert [list(zip(points.x, points.y, strict=True)) for points in first] == [[(3, 4)], [(1, 2), (5, 6)], [(0, 0.5)]]
    assert [points.meta for points in first] == [None, None, "ink"], "in the page's ink: dark on light, light on dark"
    assert [points.showlegend for points in figure.data] == [True] * 3 + [False] * 3
    assert {points.xaxis for points in figure.data[3:]} == {"x2"}


def test_the_zero_vector_is_marked_and_angles_are_true_in_every_panel():
    one = Projection(np.array([[1.0, 0.0]]), np.array([0]), np.array([[0.5, 0.0]]))
    figure = projections({"a": one, "b": one, "c": one}, ["cat"])
    marks = [note for note in figure.layout.annotations if note.showarrow]
    assert [(mark.x, mark.y, mark.xref) for mark in marks] == [(0, 0, "x"), (0, 0, "x2"), (0, 0, "x3")]
    axes = [("xaxis", "yaxis", "x"), ("xaxis2", "yaxis2", "x2"), ("xaxis3", "yaxis3", "x3")]
    for x, y, anchor in axes:
        assert figure.layout[y].scaleanchor == anchor
        assert figure.layout[x].zeroline
        assert figure.layout[y].zeroline


@given(st.integers(0, 30))
def test_of_many_classes_the_fullest_are_shown(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 20, 60)
    one = Projection(rng.normal(size=(60, 2)), labels, np.empty((0, 2)))
    names = [points.name for points in projections({"a": one}, [str(i) for i in range(20)], named=3).data[:-1]]
    counts = np.bincount(labels, minlength=20)
    assert sorted(counts[int(name)] for name in names) == sorted(counts)[-3:]


def test_bars_stand_in_pairs_and_the_first_feature_is_on_top():
    figure = responses([9, 4], [1.5, 1.25], [0.5, 0.0], names=("standard", "taufe"))
    assert [(bars.name, list(bars.x)) for bars in figure.data] == [("standard", [1.5, 1.25]), ("taufe", [0.5, 0.0])]
    assert list(figure.layout.yaxis.ticktext) == ["feature 9", "feature 4"]
    assert figure.layout.yaxis.autorange == "reversed"


@pytest.mark.parametrize("size", [(8, 8), (96, 48), (30, 90), (400, 300)])
def test_both_boxes_are_drawn_where_they_are(size):
    picture = Image.new("RGB", size, "black")
    data = with_boxes(picture, [0.1, 0.2, 0.5, 0.6], [0.6, 0.1, 0.9, 0.95])
    with Image.open(BytesIO(data)) as shown:
        assert max(shown.size) == 192
        pixels = np.asarray(shown.convert("RGB"), dtype=int)
    height, width = pixels.shape[:2]

    def colour(x, y, inward):
        return pixels[round(y * (height - 1)) + inward[1], round(x * (width - 1)) + inward[0]]

    assert np.abs(colour(0.1, 0.4, (4, 0)) - BLUE).max() < 40
    assert np.abs(colour(0.5, 0.4, (-4, 0)) - BLUE).max() < 40
    assert np.abs(colour(0.75, 0.1, (0, 4)) - ORANGE).max() < 40
    assert np.abs(colour(0.75, 0.95, (0, -4)) - ORANGE).max() < 40
    assert colour(0.02, 0.98, (0, 0)).max() < 40


@pytest.mark.parametrize("box", [[-1, -1, 2, 2], [0.5, 0.5, 0.5, 0.5], [0.9, 0.2, 0.1, 0.1], [1, 1, 1, 1]])
def test_a_box_outside_or_without_an_inside_is_drawn_all_the_same(box):
    data = with_boxes(Image.new("L", (64, 64)), [0, 0, 1, 1], box)
    with Image.open(BytesIO(data)) as shown:
        pixels = np.asarray(shown, dtype=int)
    assert (np.abs(pixels - ORANGE).max(axis=2) < 60).sum() > 20


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: loss_terms({"taufe": {}}), "terms is empty"),
        (lambda: loss_terms({"taufe": {"loss": [np.nan]}}), "loss of taufe has NaN"),
        (lambda: class_cosines({}, ["cat"]), "matrices is empty"),
        (lambda: class_cosines({"taufe": [[1]]}, ["cat", "dog"]), "cosine of taufe has 1 rows, but there are 2"),
        (lambda: projections({}, ["cat"]), "models is empty"),
        (lambda: responses([1, 2], [1], [1, 1], names=("a", "b")), "responses has 1 rows, but there are 2"),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
