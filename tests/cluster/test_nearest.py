import numpy as np
import pytest

from goodgrain.cluster import nearest
from goodgrain.cluster.nearest import nearest_centers
from oracles_cluster import squared_distances


def test_nearest_by_hand():
    near = nearest_centers(np.array([[0.0], [4.0]]), np.array([[1.0], [6.0], [-3.0]]), 2)
    assert near.centers.tolist() == [[0, 2], [1, 0]]
    assert near.cost.tolist() == [[1.0, 9.0], [4.0, 9.0]]
    assert near.bound.tolist() == [36.0, 49.0]


@pytest.mark.parametrize(("k", "count"), [(1, 1), (7, 3), (7, 7), (40, 16), (500, 1), (500, 16), (999, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_a_sort_of_all_distances(monkeypatch, k, count, dtype):
    monkeypatch.setattr(nearest, "_BLOCK", 7 * k)  # several blocks, the last one ragged
    rng = np.random.default_rng(k)
    x, centers = rng.normal(size=(30, 5)).astype(dtype), rng.normal(size=(k, 5)).astype(dtype)
    discount = rng.normal(size=k)
    near = nearest_centers(x, centers, count, discount=discount)
    every = squared_distances(x, centers) - discount
    order = np.sort(every, axis=1)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(near.cost, order[:, :count], atol=tolerance)
    np.testing.assert_allclose(np.take_along_axis(every, near.centers, axis=1), near.cost, atol=tolerance)
    np.testing.assert_allclose(near.bound, order[:, count] if count < k else np.inf, atol=tolerance)


def test_equal_centers_come_by_position():
    near = nearest_centers(np.zeros((3, 2)), np.zeros((600, 2)), 4)
    assert near.centers.tolist() == [[0, 1, 2, 3]] * 3
    assert not near.cost.any()
    assert not near.bound.any()
