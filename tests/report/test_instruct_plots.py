"""Figures of an instruction selection, and what chance does to its numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.report.instruct_plots import beginning, cluster_map, cluster_sizes, position_bias, random_spread
from oracles_chance import chi_square, spread_of_random_subsets


def test_the_map_tells_kept_from_dropped():
    points = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    dropped, kept = cluster_map(points, np.array([False, True, False]), ["a", "<b>&", "c\n d"]).data
    assert (list(dropped.x), list(dropped.y), list(dropped.customdata)) == ([0, 4], [1, 5], ["a", "c d"])
    assert (list(kept.x), list(kept.y), list(kept.customdata)) == ([2], [3], ["&lt;b&gt;&amp;"])
    assert (dropped.name, kept.name) == ("dropped (2)", "kept (1)")


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_cluster_sizes_add_up(sizes):
    (bars,) = cluster_sizes(np.array(sizes)).data
    assert np.dot(bars.x, bars.y) == sum(sizes)
    assert sum(bars.y) == len(sizes)


@given(st.text(max_size=300), st.integers(1, 100))
def test_a_beginning_is_one_line_of_the_text(text, length):
    found = beginning(text, length)
    assert len(found) <= length + 1
    assert " ".join(text.split()).startswith(found.removesuffix("…").rstrip())


def test_a_beginning_by_hand():
    assert beginning("  a\n b ", 9) == "a b"
    assert beginning("abcdef", 3) == "abc…"


def test_position_bias_by_hand():
    # (8 - 5)^2 / 5 + (2 - 5)^2 / 5 = 3.6; places 3 and 4 expect 2 and 1, and so join place 2.
    found = position_bias([8, 1, 1, 0], [5.0, 2.0, 2.0, 1.0])
    assert found.statistic == pytest.approx(3.6)
    assert found.freedom == 1
    assert found.p == pytest.approx(0.05778, abs=1e-5)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.5, 40.0)), min_size=1, max_size=12))
def test_position_bias_is_the_chi_square_of_pooled_places(places):
    won, weights = (np.array(part, dtype=float) for part in zip(*places, strict=True))
    expected = weights * max(won.sum(), 1.0) / weights.sum()
    won[0] += max(0.0, 1.0 - won.sum())
    found, oracle = position_bias(won, expected), chi_square(won.tolist(), expected.tolist())
    assert (found is None) == (oracle is None)
    if found is not None:
        assert found.freedom == oracle[1]
        np.testing.assert_allclose((found.statistic, found.p), (oracle[0], oracle[2]), rtol=1e-7, atol=1e-12)


def test_a_judge_without_bias_is_seldom_accused():
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(400):
        sizes = rng.integers(2, 9, 300)
        won = np.bincount(rng.integers(0, sizes), minlength=8)
        expected = (np.arange(8) < sizes[:, None]) / sizes[:, None]
        accused += position_bias(won, expected.sum(axis=0)).p < 0.05
    assert accused <= 32  # 5% of 400 is 20, with a standard deviation of 4.4


@given(st.lists(st.booleans(), min_size=2, max_size=8), st.data())
def test_random_subsets_stray_as_far_as_said(marks, data):
    size = data.draw(st.integers(1, len(marks)))
    expected = spread_of_random_subsets(marks, size)
    assert random_spread(np.mean(marks), len(marks), size) == pytest.approx(expected, abs=1e-9)
