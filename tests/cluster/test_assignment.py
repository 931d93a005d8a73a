import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.cluster import assignment, nearest
from goodgrain.cluster.assignment import assign, discounts
from goodgrain.cluster.flow import Flow, Network, has_ortools
from oracles_cluster import cheapest, squared_distances

SOLVERS = ["highs", "ortools"] if has_ortools() else ["highs"]


def total(x, centers, labels):
    return squared_distances(x, centers)[np.arange(len(x)), labels].sum()


@st.composite
def problems(draw):
    """Rows, centers, sizes and a number of candidates; on a coarse grid, so that rows and costs are often equal."""
    k = draw(st.integers(1, 6))
    least = draw(st.integers(1, 3))
    most = draw(st.integers(least, 5))
    n = draw(st.integers(k * least, k * most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        x, centers = rng.integers(-2, 3, size=(n, 2)).astype(float), rng.integers(-2, 3, size=(k, 2)).astype(float)
    else:
        x, centers = rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(k, 3)) + rng.integers(0, 2)
    return x, centers, least, most, draw(st.integers(1, k))


@pytest.mark.parametrize("solver", SOLVERS)
def test_four_rows_by_hand(solver):
    # Center 0 holds two of the three rows near it. Sending 2.0 on costs 49 - 4 more, 1.0 costs 64 - 1, 0.0 costs 81.
    x, centers = np.array([[0.0], [1.0], [2.0], [9.5]]), np.array([[0.0], [9.0]])
    assert assign(x, centers, 1, 2, solver=solver).labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_equals_the_dense_optimum(solver, problem):
    x, centers, least, most, candidates = problem
    labels = assign(x, centers, least, most, candidates=candidates, solver=solver).labels
    sizes = np.bincount(labels, minlength=len(centers))
    assert sizes.min() >= least
    assert sizes.max() <= most
    assert total(x, centers, labels) == pytest.approx(cheapest(x, centers, least, most), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("most", [3, 4, 20])
def test_larger_problems_equal_the_dense_optimum(solver, most):
    rng = np.random.default_rng(most)
    x, centers = rng.normal(size=(180, 8)), rng.normal(size=(60, 8))
    found = assign(x, centers, 2, most, candidates=4, solver=solver)
    assert total(x, centers, found.labels) == pytest.approx(cheapest(x, centers, 2, most), rel=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_get_more_arcs_where_the_proof_fails(monkeypatch, solver):
    # Eight rows at 0 with one arc each to the nearest of four centers of two: six have to learn of other centers.
    asked = []
    real = assignment.nearest_centers

    def spy(x, *args, **kwargs):
        asked.append(len(x))
        return real(x, *args, **kwargs)

    monkeypatch.setattr(assignment, "nearest_centers", spy)
    x, centers = np.zeros((9, 1)), np.array([[1.0], [2.0], [3.0], [4.0], [50.0]])
    x[8] = 50.0
    found = assign(x, centers, 1, 2, candidates=1, solver=solver)
    assert np.bincount(found.labels).tolist() == [2, 2, 2, 2, 1]
    assert found.labels[8] == 4
    assert found.rounds > 1
    assert asked[0] == 9
    assert max(asked[1:]) <= 8  # the row at 50 is where it belongs, and proved to be


def test_room_for_all_at_the_nearest_center_needs_no_flow():
    found = assign(np.array([[0.0], [1.0], [9.0]]), np.array([[0.0], [9.0]]), 1, 2, solver="none is called")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.rounds == 0


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_discounts_prove_the_flow(problem):
    x, centers, least, most, _ = problem
    n, k = len(x), len(centers)
    cost = np.rint(1e6 * squared_distances(x, centers)).astype(np.int64)
    network = Network(n, k, least, most, np.repeat(np.arange(n), k), np.tile(np.arange(k), n), cost.ravel(), 2**40)
    flow = assignment.solve(network)
    discount = discounts(network, flow)
    sizes = np.bincount(flow.labels, minlength=k)
    reduced = cost - discount
    assert (reduced[np.arange(n), flow.labels][:, None] <= reduced).all()
    between = (sizes > least) & (sizes < most)
    assert len(np.unique(discount[between])) <= 1  # room on both sides: one common discount
    for full in np.flatnonzero((sizes == most) & (most > least)):
        assert discount[full] <= discount[sizes < most].min(initial=discount.max())


def test_a_flow_that_is_not_the_cheapest_is_found_out():
    network = Network(2, 2, 1, 1, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0, 5, 5, 0]), 100)
    with pytest.raises(RuntimeError, match="stopped before the optimum"):
        discounts(network, Flow(np.array([1, 0]), np.array([5, 5])))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_row_far_out_does_not_blur_the_others(solver):
    # Its squared distances are of 10^9, and the costs of the others still differ.
    rng = np.random.default_rng(0)
    x, centers = rng.normal(size=(180, 8)), rng.normal(size=(60, 8))
    x[0] = 1e4
    labels = assign(x, centers, 2, 4, solver=solver).labels
    others = np.arange(180) > 0
    assert total(x, centers, labels) == pytest.approx(cheapest(x, centers, 2, 4), abs=1e-3, rel=0)
    assert total(x[others], centers, labels[others]) < 900


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_is_as_good_to_its_rounding(solver):
    rng = np.random.default_rng(3)
    x, centers = rng.normal(size=(90, 6)).astype(np.float32), rng.normal(size=(30, 6)).astype(np.float32)
    labels = assign(x, centers, 1, 3, solver=solver).labels
    assert total(x, centers, labels) == pytest.approx(cheapest(x, centers, 1, 3), rel=1e-5)


def test_memory_stays_linear(monkeypatch):
    monkeypatch.setattr(nearest, "_BLOCK", 2**10)
    rng = np.random.default_rng(0)

    def peak(n):
        x = rng.normal(size=(n, 4))
        tracemalloc.start()
        assign(x, x[: n // 5], 1, 8, candidates=4)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(1000) < 6 * peak(250)  # an n x k array would grow 16 times
