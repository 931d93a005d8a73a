import numpy as np
import pytest

from goodgrain.cluster import flow
from goodgrain.cluster.flow import Network, has_ortools, solve
from goodgrain.errors import InputError

SOLVERS = ["highs", "ortools"] if has_ortools() else ["highs"]


def network(arcs, *, n, k, least=1, most=2, detour=100):
    row, center, cost = (np.array(column) for column in zip(*arcs, strict=True))
    return Network(n, k, least, most, row, center, cost, detour)


@pytest.mark.parametrize("solver", SOLVERS)
def test_three_rows_by_hand(solver):
    # All three want center 0, which holds two: row 2 loses least by going to center 1.
    arcs = [(0, 0, 1), (0, 1, 9), (1, 0, 1), (1, 1, 8), (2, 0, 1), (2, 1, 5)]
    found = solve(network(arcs, n=3, k=2), solver=solver)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.paid.tolist() == [1, 1, 5]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_center_is_filled_to_its_least_size(solver):
    arcs = [(0, 0, 1), (0, 1, 9), (1, 0, 1), (1, 1, 8), (2, 0, 1), (2, 1, 5)]
    found = solve(network(arcs, n=3, k=2, least=1, most=3), solver=solver)
    assert found.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_without_room_take_the_detour(solver):
    found = solve(network([(0, 0, 1), (1, 0, 2), (2, 0, 3)], n=3, k=2), solver=solver)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.paid.tolist() == [1, 2, 100]


def test_the_solver_is_chosen_by_what_is_installed(monkeypatch):
    called = []
    monkeypatch.setattr(flow, "_highs", lambda net: called.append("highs") or (np.array([True]), np.array([0])))
    monkeypatch.setattr(flow, "_ortools", lambda net: called.append("ortools") or (np.array([True]), np.array([0])))
    for installed in (False, True):
        monkeypatch.setattr(flow, "has_ortools", lambda there=installed: there)
        solve(network([(0, 0, 1)], n=1, k=1))
    assert called == ["highs", "ortools"]


def test_too_many_arcs_for_highs_name_the_line_that_installs_ortools(monkeypatch):
    monkeypatch.setattr(flow, "has_ortools", lambda: False)
    monkeypatch.setattr(flow, "MOST_ARCS_WITHOUT_ORTOOLS", 2)
    with pytest.raises(InputError) as caught:
        solve(network([(0, 0, 1), (1, 0, 2), (2, 0, 3)], n=3, k=2))
    assert str(caught.value) == (
        "clusters of bounded sizes over 3 rows need OR-tools. "
        "Install it with: pip install 'goodgrain[instruct]', or give `shards`."
    )
