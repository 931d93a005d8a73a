"""Minimum-cost flow from rows to centers of bounded sizes, over given arcs."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from goodgrain.checks import Positions
from goodgrain.errors import InputError

# HiGHS takes 13 s for 0.8 million arcs, OR-tools 1 s, and the difference grows.
MOST_ARCS_WITHOUT_ORTOOLS = 2_000_000


@dataclass(frozen=True)
class Network:
    """Rows, the centers that each may go to, and a dear detour to every center, so that a flow always exists.

    Args:
        n: rows.
        k: centers.
        least: members of a center at least.
        most: members of a center at most.
        row: (m,) where each arc begins.
        center: (m,) where it ends.
        cost: (m,) whole numbers, 0 to less than `detour`.
        detour: cost of going to any center, arc or no arc.
    """

    n: int
    k: int
    least: int
    most: int
    row: Positions
    center: Positions
    cost: Positions
    detour: int


@dataclass(frozen=True)
class Flow:
    """An optimal flow: labels (n,), and what each row paid, (n,): `detour` where it took the detour."""

    labels: Positions
    paid: Positions


def has_ortools() -> bool:
    """Whether OR-tools is installed."""
    return importlib.util.find_spec("ortools") is not None


def solve(network: Network, *, solver: str | None = None) -> Flow:
    """The cheapest way to give each row a center.

    Args:
        network: sizes that n rows can meet.
        solver: "ortools" (cost-scaling push-relabel), "highs" (SciPy's linear program: its vertices are whole), or
            None for OR-tools where it is installed.

    Raises:
        InputError: too many arcs for HiGHS, and OR-tools is not installed.
    """
    solver = solver or ("ortools" if has_ortools() else "highs")
    if solver == "ortools":
        on, detours = _ortools(network)
    elif len(network.row) <= MOST_ARCS_WITHOUT_ORTOOLS:
        on, detours = _highs(network)
    else:
        raise InputError(
            f"clusters of bounded sizes over {network.n} rows need OR-tools. "
            "Install it with: pip install 'goodgrain[instruct]', or give `shards`."
        )
    labels = np.full(network.n, -1)
    paid = np.full(network.n, network.detour)
    labels[network.row[on]] = network.center[on]
    paid[network.row[on]] = network.cost[on]
    labels[labels < 0] = np.repeat(np.arange(network.k), detours)
    return Flow(labels, paid)


def _ortools(net: Network) -> tuple[NDArray[np.bool_], Positions]:
    """Which arcs carry flow, (m,), and how many rows reach each center by the detour, (k,)."""
    min_cost_flow: Any = importlib.import_module("ortools.graph.python.min_cost_flow")
    n, k, m = net.n, net.k, len(net.row)
    rows, centers = np.arange(n), np.arange(n, n + k)
    hub, sink = n + k, n + k + 1
    solver = min_cost_flow.SimpleMinCostFlow()
    arcs = solver.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([net.row, rows, np.full(k, hub), centers]),
        np.concatenate([net.center + n, np.full(n, hub), centers, np.full(k, sink)]),
        np.concatenate([np.ones(m + n, dtype=np.int64), np.full(k, n), np.full(k, net.most - net.least)]),
        np.concatenate([net.cost, np.full(n, net.detour), np.zeros(2 * k, dtype=np.int64)]),
    )
    # A center keeps `least` of what reaches it and passes the rest on: that is its lower bound.
    supply = np.concatenate([np.ones(n), np.full(k, -net.least), [0, net.least * k - n]]).astype(np.int64)
    solver.set_nodes_supplies(np.arange(n + k + 2), supply)
    status = solver.solve()
    if status != solver.OPTIMAL:
        raise RuntimeError(f"OR-tools found no optimal flow: {status}.")
    return solver.flows(arcs[:m]) > 0, solver.flows(arcs[m + n : m + n + k])


def _highs(net: Network) -> tuple[NDArray[np.bool_], Positions]:
    """The same as a linear program: arcs, one detour per row, and the detour's way on to each center."""
    n, k, m = net.n, net.k, len(net.row)
    rows, centers, arcs = np.arange(n), np.arange(k), np.arange(m)
    # Variables: m arcs, n detours, k ways from the detour's hub on. Equations: each row leaves once; the hub is empty.
    leave = _ones([net.row, rows, np.full(n + k, n)], [arcs, m + rows, m + np.arange(n + k)], (n + 1, m + n + k))
    leave[n, m + n :] *= -1
    members = _ones([net.center, centers], [arcs, m + n + centers], (k, m + n + k))
    found: Any = linprog(
        np.concatenate([net.cost, np.full(n, net.detour), np.zeros(k)]),
        A_ub=sparse.vstack([members, -members]),
        b_ub=np.concatenate([np.full(k, net.most), np.full(k, -net.least)]),
        A_eq=leave,
        b_eq=np.concatenate([np.ones(n), [0]]),
        method="highs-ds",
    )
    if not found.success:
        raise RuntimeError(f"HiGHS found no optimal flow: {found.message}")
    return found.x[:m] > 0.5, np.rint(found.x[m + n :]).astype(np.int64)


def _ones(rows: list[Positions], columns: list[Positions], shape: tuple[int, int]) -> Any:
    at = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.ones(len(at[0])), at), shape=shape)
