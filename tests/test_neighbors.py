import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from goodgrain.errors import InputError
from goodgrain.neighbors import CosineNeighbors, count_neighbors


def dense(neighbors, n):
    rows = neighbors.rows(np.arange(n))
    table = np.zeros((n, n))
    for i in range(n):
        indices, similarities = rows.row(i)
        assert (np.diff(indices) > 0).all()
        table[i, indices] = similarities
    return table


def clustered(seed, n, d=6, spread=0.3):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(12, d))
    x = centers[rng.integers(12, size=n)] + spread * rng.normal(size=(n, d))
    x[: n // 10] = x[n // 2 : n // 2 + n // 10]
    x[n - 3 :] = 0.0
    return x


def test_three_points_by_hand():
    # cos between the first two is .98 / sqrt(.98^2 + .199^2) = .97999; the third is at right angles to the first.
    rows = CosineNeighbors([[1, 0], [0.98, 0.199], [0, 2]], 0.19).rows([0, 1, 2])
    assert rows.indptr.tolist() == [0, 2, 5, 7]
    assert rows.indices.tolist() == [0, 1, 0, 1, 2, 1, 2]
    np.testing.assert_allclose(rows.similarities, [1, 0.98, 0.98, 1, 0.199, 0.199, 1], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 0.9, 1.0]), st.sampled_from(["cosine", "shifted"]))
def test_small_problems_equal_the_dense_oracle(seed, threshold, similarity):
    x = clustered(seed, 30)
    expected = oracles.neighbor_weights(x, threshold, similarity)
    ours = dense(CosineNeighbors(x, threshold, similarity=similarity), 30)
    np.testing.assert_array_equal(ours > 0, expected > 0)
    np.testing.assert_allclose(ours, expected, atol=2.0**-39)  # a step of the grid, where rounding is a close call
    same = [[(a == b).all() for b in x] for a in x]
    for i, j in np.argwhere(same):  # rows that are equal see exactly the same
        np.testing.assert_array_equal(ours[i], ours[j]) if x[i].any() else None


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.97])
@pytest.mark.parametrize("spread", [0.05, 0.3, 2.0])
def test_skipping_groups_loses_no_neighbour(threshold, spread):
    x = clustered(1, 2500, spread=spread)
    neighbors = CosineNeighbors(x.astype(np.float32), threshold)
    assert neighbors.group.max() > 10  # so that there is something to skip
    unit = x.astype(np.float32).astype(np.float64)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(length == 0, 1, length)
    cosine = np.round(unit @ unit.T * oracles.GRID) / oracles.GRID
    expected = np.where(cosine >= threshold - 2.0**-40, cosine, 0.0)
    expected[np.diag_indices(2500)] = 1.0
    ours = dense(neighbors, 2500)
    np.testing.assert_array_equal(ours > 0, expected > 0)
    np.testing.assert_allclose(ours, expected, atol=2.0**-39)


def test_groups_out_of_reach_hold_no_neighbours():
    x = clustered(2, 2500, spread=0.05)
    neighbors = CosineNeighbors(x, 0.9)
    reach = neighbors.within_reach()
    assert not reach.all()
    rows = neighbors.rows(np.arange(2500))
    query = np.repeat(np.arange(2500), np.diff(rows.indptr))
    assert reach[neighbors.group[query], neighbors.group[rows.indices]].all()


def test_unordered_lists_hold_the_same():
    x = clustered(3, 400)
    neighbors = CosineNeighbors(x, 0.5)
    ordered, free = neighbors.rows([5, 399, 7]), neighbors.rows([5, 399, 7], ordered=False)
    for i in range(3):
        order = np.argsort(free.row(i)[0])
        np.testing.assert_array_equal(free.row(i)[0][order], ordered.row(i)[0])
        np.testing.assert_array_equal(free.row(i)[1][order], ordered.row(i)[1])


def test_equal_rows_are_neighbours_at_threshold_one_and_extreme_scales_do_not_overflow():
    x = np.array([[3e-200, 4e-200], [3e200, 4e200], [0.6, 0.8], [0.0, 0.0]])
    assert dense(CosineNeighbors(x, 1.0), 4).tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["cosine", "shifted"]))
def test_counts_equal_the_dense_oracle(seed, similarity):
    x = clustered(seed, 40)
    levels = [0.2, 0.6, 0.95]
    counts = count_neighbors(x, levels, similarity=similarity)
    for level, row in zip(levels, counts, strict=True):
        expected = (oracles.neighbor_weights(x, level, similarity) > 0).sum(axis=1) - 1
        np.testing.assert_array_equal(row, expected)


def test_the_threshold_is_checked():
    with pytest.raises(InputError, match="threshold should be above 0 and at most 1; 1.2 came"):
        CosineNeighbors([[1.0, 0.0]], 1.2)
