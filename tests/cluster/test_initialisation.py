import numpy as np
import pytest

from goodgrain.cluster import initialisation
from goodgrain.cluster.initialisation import INITIALISATIONS, spread_rows


@pytest.mark.parametrize("draw", INITIALISATIONS.values())
@pytest.mark.parametrize("k", [1, 2, 63, 64, 65, 150, 200])
def test_rows_are_distinct(draw, k):
    x = np.random.default_rng(0).normal(size=(200, 3))
    rows = draw(x, k, np.random.default_rng(1))
    assert len(np.unique(rows)) == len(rows) == k


@pytest.mark.parametrize("k", [3, 5, 100])
def test_rows_that_are_the_same_are_enough(k):
    x = np.repeat([[0.0], [5.0]], 60, axis=0)
    rows = spread_rows(x, k, np.random.default_rng(0))
    assert len(np.unique(rows)) == k
    assert len(np.unique(x[rows[:2]])) == 2  # the second is never a copy of the first


def test_chances_grow_with_the_squared_distance():
    # From 0.0, the row at 3.0 should be drawn 9 times as often as that at 1.0.
    x = np.array([[0.0], [1.0], [3.0]])
    drawn = [spread_rows(x, 2, np.random.default_rng(seed)) for seed in range(2500)]
    second = np.array([rows[1] for rows in drawn if rows[0] == 0])
    assert np.mean(second == 2) == pytest.approx(0.9, abs=0.03)


def test_far_groups_all_get_a_row():
    centers = 100.0 * np.arange(300)[:, None]
    x = np.repeat(centers, 20, axis=0) + np.random.default_rng(0).normal(size=(6000, 1)) * 0.01
    groups = np.unique(spread_rows(x, 300, np.random.default_rng(0)) // 20)
    assert len(groups) > 260  # independent draws would reach 190


def test_blocks_change_nothing(monkeypatch):
    x = np.random.default_rng(0).integers(0, 9, size=(500, 3)).astype(float)
    whole = spread_rows(x, 100, np.random.default_rng(1))
    monkeypatch.setattr(initialisation, "_BLOCK", 64)
    assert np.array_equal(spread_rows(x, 100, np.random.default_rng(1)), whole)
