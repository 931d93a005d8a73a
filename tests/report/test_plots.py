from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.report.plots import (
    CurvePoint,
    class_shares,
    histogram,
    learning_curve,
    neighbour_counts,
    noise_share,
    shorten,
)


def counts(bars):
    return [row[0] for row in bars.customdata]


def test_a_long_name_keeps_both_ends():
    assert shorten("kept as it is", 13) == "kept as it is"
    assert shorten("0123456789", 5) == "01…89"


@given(st.text(max_size=400), st.integers(3, 60))
def test_no_name_is_longer_than_asked(name, length):
    assert len(shorten(name, length)) == min(len(name), length)


def test_bins_are_counted_over_all_groups_together():
    # Both groups span 0..4, so four bins are one wide; the last takes its right edge in.
    figure = histogram({"kept": [0.5, 1.5, 1.6, 4.0], "dropped": [0.0, 3.0]}, unit="confidence", bins=4)
    kept, dropped = figure.data
    assert counts(kept) == [1, 2, 0, 1]
    assert counts(dropped) == [1, 0, 0, 1]
    assert list(kept.y) == [25, 50, 0, 25]
    assert list(dropped.y) == [50, 0, 0, 50]
    assert list(kept.x) == list(dropped.x) == [0.5, 1.5, 2.5, 3.5]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6), max_size=60),
    st.integers(1, 50),
)
def test_bins_equal_numpy_and_lose_nothing(kept, dropped, bins):
    figure = histogram({"kept": kept, "dropped": dropped}, unit="x", bins=bins)
    span = (min(kept + dropped), max(kept + dropped))
    groups = [values for values in (kept, dropped) if values]
    assert len(figure.data) == len(groups)
    for bars, values in zip(figure.data, groups, strict=True):
        assert counts(bars) == np.histogram(values, bins=bins, range=span)[0].tolist()
        assert sum(counts(bars)) == len(values)


def test_a_histogram_does_not_grow_with_its_values():
    few, many = (histogram({"kept": np.linspace(0, 1, n)}, unit="x").to_json(engine="json") for n in (100, 100_000))
    assert len(many) < 1.5 * len(few)


def test_a_histogram_of_nothing_says_so():
    with pytest.raises(InputError, match="groups is empty"):
        histogram({"kept": []}, unit="x")


def test_class_shares_by_hand():
    # 1 of 4, 3 of 4, 0 of 2 and an empty class: 4 of 10 in all, the most kept class on top (plotly's last row).
    figure = class_shares(["a", "b", "c", "none"], [1, 3, 0, 0], [4, 4, 2, 0])
    assert list(figure.data[0].x) == [0, 25, 75]
    assert list(figure.layout.yaxis.ticktext) == ["c  0.0%", "a  25.0%", "b  75.0%"]
    assert figure.layout.shapes[0].x0 == pytest.approx(40)


def test_a_thousand_classes_are_summed_up_between_the_ends():
    kept = np.arange(1000) % 101
    figure = class_shares([f"class {i}" for i in range(1000)], kept, np.full(1000, 100), most=21)
    rows = figure.data[0].customdata
    assert len(rows) == 21
    middle = rows[10]
    assert middle[0] == "980 classes between"
    assert sum(int(row[1].replace(",", "")) for row in rows) == kept.sum()
    assert sum(int(row[2].replace(",", "")) for row in rows) == 100_000
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (0, 100)


def test_classes_whose_names_shorten_alike_keep_their_own_bars():
    names = ["x" * 150 + middle + "x" * 150 for middle in "ab"]
    assert list(class_shares(names, [1, 2], [4, 4]).data[0].x) == [25, 50]


def test_more_kept_than_there_are_is_refused():
    with pytest.raises(InputError, match="between 0 and total"):
        class_shares(["a"], [2], [1])


def test_names_are_letters_to_plotly():
    name = "<b>&amp;"
    figures = (
        learning_curve([CurvePoint(name, 1, 0.5, 0, 1)]),
        class_shares([name], [1], [2]),
        histogram({name: [1.0]}, unit="x"),
        neighbour_counts([0.5], {name: [1.0]}),
    )
    for figure in figures:
        text = figure.to_json(engine="json")
        assert "<b>" not in text
        assert "&lt;b&gt;&amp;amp;" in text


def test_a_curve_runs_by_budget_with_one_std_as_bars():
    points = [CurvePoint("a", 20, 0.6, 0.01, 3), CurvePoint("b", 20, 0.55, 0, 1), CurvePoint("a", 10, 0.5, 0.02, 3)]
    first, second = learning_curve(points).data
    assert list(first.x) == [10, 20]
    assert list(first.y) == pytest.approx([50, 60])
    assert list(first.error_y.array) == pytest.approx([2, 1])
    assert list(second.x) == [20]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_line_names_do_not_cover_each_other_and_stay_below_the_top(means):
    figure = learning_curve([CurvePoint(f"method {i}", 10, mean, 0, 1) for i, mean in enumerate(means)])
    bottom, top = figure.layout.yaxis.range
    heights = sorted(note.y for note in figure.layout.annotations)
    assert len(heights) == len(means)
    assert heights[-1] <= top
    assert all(after - before > 0.07 * (top - bottom) for before, after in pairwise(heights))


def test_noise_is_sorted_by_budget():
    figure = noise_share([20, 10], [0.2, 0.1], 0.3)
    assert list(figure.data[0].x) == [10, 20]
    assert list(figure.data[0].y) == [10, 20]
    assert figure.layout.shapes[0].y0 == 30


def test_counts_above_zero_get_a_logarithmic_axis_and_the_chosen_line():
    figure = neighbour_counts([0.9, 0.8], {"median": [1, 100]}, chosen=0.9)
    assert figure.layout.yaxis.type == "log"
    assert list(figure.data[0].x) == [0.8, 0.9]
    assert list(figure.data[0].y) == [100, 1]
    assert figure.layout.shapes[0].x0 == 0.9
    assert neighbour_counts([0.9], {"median": [0]}).layout.yaxis.type is None
