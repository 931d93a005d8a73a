import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.cluster.nearest import nearest_centers
from goodgrain.cluster.refinement import Partition, cluster_sums, refine
from oracles_cluster import best_move, inertia


def near(partition):
    return nearest_centers(partition.centers, partition.centers, partition.k)


def everywhere(n, k):
    return np.tile(np.arange(k), (n, 1))


@st.composite
def partitions(draw):
    k = draw(st.integers(1, 5))
    least = draw(st.integers(1, 2))
    most = draw(st.integers(least, 5))
    n = draw(st.integers(k * least, k * most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(-2, 3, size=(n, 2)).astype(float) if draw(st.booleans()) else rng.normal(size=(n, 3))
    labels = np.repeat(np.arange(k), most)
    must = np.repeat(np.arange(k), least)
    rest = rng.permutation(np.repeat(np.arange(k), most - least))[: n - len(must)]
    labels = rng.permutation(np.concatenate([must, rest]))
    return x, labels, k, least, most


def test_a_row_moves_although_the_other_center_is_farther():
    # 4.2 is 1.1 from the mean 3.1 of {2, 4.2} and 1.8 from 6, so k-means stays at 2 * 1.1^2 = 2.42 + 0; but {2} and
    # {4.2, 6} have 0 + 2 * 0.9^2 = 1.62.
    x = np.array([[2.0], [4.2], [6.0]])
    assert abs(4.2 - 3.1) < abs(4.2 - 6.0)
    assert refine(x, np.array([0, 0, 1]), 2, 1, 2, everywhere(3, 2)).tolist() == [0, 1, 1]


def test_members_of_full_clusters_are_exchanged():
    x = np.array([[0.0], [10.0], [1.0], [11.0]])
    found = refine(x, np.array([0, 0, 1, 1]), 2, 2, 2, everywhere(4, 2))
    assert found[0] == found[2] != found[1] == found[3]


def test_two_near_clusters_are_merged_and_a_wide_one_is_split():
    # Groups at 0, 100 and 200; the first is cut in two, the others are one. No single move to a candidate helps.
    x = np.array([[0.0], [1.0], [2.0], [3.0], [100.0], [101.0], [200.0], [201.0]])
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    partition = Partition(x, labels, 3, 1, 4)
    partition.settle(labels[:, None])
    assert np.array_equal(partition.labels, labels)
    partition.merge_and_split(near(partition))
    groups = [np.unique(partition.labels[rows]).tolist() for rows in (slice(0, 4), slice(4, 6), slice(6, 8))]
    assert sorted(map(tuple, groups)) == [(0,), (1,), (2,)]
    assert np.allclose(partition.sums, cluster_sums(x, partition.labels, 3))


def test_a_merge_that_would_be_too_large_does_not_happen():
    x = np.array([[0.0], [1.0], [2.0], [3.0], [100.0], [200.0]])
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert np.array_equal(refine(x, labels, 3, 1, 3, labels[:, None]), labels)


def test_a_split_keeps_the_least_size():
    # The widest cut of {0, 0, 0, 50} would leave one row alone.
    x = np.array([[0.0], [0.1], [0.2], [50.0], [7.0], [7.0], [7.1], [7.1]])
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    partition = Partition(x, labels, 3, 2, 4)
    partition.merge_and_split(near(partition))
    assert np.bincount(partition.labels).min() == 2
    assert inertia(x, partition.labels) < inertia(x, labels)


@settings(max_examples=150, deadline=None)
@given(problem=partitions())
def test_sizes_hold_and_the_inertia_never_rises(problem):
    x, labels, k, least, most = problem
    before = labels.copy()
    found = refine(x, labels, k, least, most, everywhere(len(x), k))
    assert np.array_equal(labels, before)
    sizes = np.bincount(found, minlength=k)
    assert sizes.min() >= least
    assert sizes.max() <= most
    assert inertia(x, found) <= inertia(x, labels) + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_the_end_is_a_local_optimum(seed):
    # Sizes are loose, so that exchanges are never needed and single moves are all tried.
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 2))
    labels = rng.permutation(np.arange(30) % 6)
    found = refine(x, labels, 6, 1, 30, everywhere(30, 6))
    sizes = np.bincount(found, minlength=6)
    single = [
        inertia(x, found) - inertia(x, np.where(np.arange(30) == i, c, found))
        for i in range(30)
        for c in range(6)
        if sizes[found[i]] > 1
    ]
    assert max(single) <= 1e-7


@pytest.mark.parametrize("seed", range(5))
def test_tight_sizes_leave_little_to_gain_by_exchanges(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(24, 2))
    labels = rng.permutation(np.arange(24) % 6)
    found = refine(x, labels, 6, 4, 4, everywhere(24, 6))
    assert np.bincount(found).tolist() == [4] * 6
    assert best_move(x, found, 6, 4, 4) < 0.05 * inertia(x, found)
    assert inertia(x, found) < 0.5 * inertia(x, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_several_blocks(monkeypatch, dtype):
    monkeypatch.setattr("goodgrain.cluster.refinement._BLOCK", 12)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(50, 3)).astype(dtype), rng.integers(0, 4, size=50)
    slow = [x[labels == c].sum(axis=0, dtype=np.float64) for c in range(5)]
    np.testing.assert_allclose(cluster_sums(x, labels, 5), slow, atol=1e-6)
