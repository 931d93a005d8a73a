"""The exact assignment of rows to centers under size bounds, over few arcs and with a proof that no other helps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Floats, Positions
from goodgrain.cluster.flow import Flow, Network, solve
from goodgrain.cluster.nearest import nearest_centers

CANDIDATES = 16
_PRECISION = 40  # bits of the largest possible cost, fewer where there are millions of rows
_SUM = 60  # bits of a sum of such costs, one for each row and center
_NONE = np.iinfo(np.int64).max // 4


class Assignment(NamedTuple):
    """Labels (n,), the nearest centers that were looked at first (n, L), and how often flows were solved."""

    labels: Positions
    candidates: Positions
    rounds: int


def assign(
    x: Floats, centers: Floats, least: int, most: int, *, candidates: int = CANDIDATES, solver: str | None = None
) -> Assignment:
    """The labels of least total squared distance with `least` to `most` rows per center.

    A minimum-cost flow (Bradley, Bennett & Demiriz 2000) over the arcs to the nearest centers of each row. Its prices
    then prove that no other arc can help: center j has a discount d_j, and row i is rightly at a if
    |x_i - c_a|^2 - d_a <= |x_i - c_j|^2 - d_j for every j. Where that fails, the row gets the arcs of least discounted
    cost, and the flow is solved again. The result is that of the dense problem, costs rounded to 2^-40 of the largest
    possible one (and to the rounding of float32 products where `x` is float32).

    Args:
        x: (n, d) rows.
        centers: (k, d).
        least: members that each center has at least; least * k <= n.
        most: members that each center has at most; most * k >= n.
        candidates: L, the arcs of a row to start with.
        solver: as in `flow.solve`.
    """
    n, k = len(x), len(centers)
    listed = min(candidates, k)
    near = nearest_centers(x, centers, listed)
    sizes = np.bincount(near.centers[:, 0], minlength=k)
    if sizes.min() >= least and sizes.max() <= most:
        return Assignment(near.centers[:, 0], near.centers, 0)
    largest = 2 ** min(_PRECISION, _SUM - (n + k).bit_length())
    unit = _largest(x, centers) / largest
    row, center = np.repeat(np.arange(n), near.centers.shape[1]), near.centers.reshape(-1)
    cost, bound = _whole(near.cost.reshape(-1), unit), _whole(near.bound, unit)
    rounds = 0
    while True:
        rounds += 1
        network = Network(n, k, least, most, row, center, cost, detour=largest + largest // 8)
        flow = solve(network, solver=solver)
        discount = discounts(network, flow)
        own = flow.paid - discount[flow.labels]
        unsure = np.flatnonzero(bound - discount.max() < own)
        less = discount.astype(np.float64) * unit
        more = nearest_centers(x[unsure], centers, listed, discount=less)
        plain = _whole(more.cost + less[more.centers], unit)
        better = np.less(plain - discount[more.centers], own[unsure][:, None])
        fresh = ~np.isin(unsure[:, None] * k + more.centers, row * k + center)
        wrong = (better & fresh).any(axis=1)
        if not wrong.any():
            return Assignment(flow.labels, near.centers, rounds)
        added = fresh & wrong[:, None]
        row = np.concatenate([row, np.broadcast_to(unsure[:, None], added.shape)[added]])
        center = np.concatenate([center, more.centers[added]])
        cost = np.concatenate([cost, plain[added]])


def discounts(network: Network, flow: Flow) -> Positions:
    """(k,) what each center takes off, so that no arc is cheaper than the one its row is on: the flow's dual prices.

    Shortest paths between centers (Bellman-Ford), where the step from a to b is the cheapest move of a member of a to
    b. Full centers get a discount below that of the others, centers at their least size one above.

    Raises:
        RuntimeError: no such discounts exist, so the flow is not optimal.
    """
    k = network.k
    sizes = np.bincount(flow.labels, minlength=k)
    source, target, step = _steps(network, flow)
    leave = np.full(k, _NONE)  # cheapest change of a member to the detour
    np.minimum.at(leave, flow.labels, network.detour - flow.paid)
    into, starts = np.unique(target, return_index=True)
    discount, spare, hub = np.zeros(k, dtype=np.int64), 0, 0
    for _ in range(k + 4):
        before = discount.copy(), spare, hub
        if len(into):
            arrive = np.minimum.reduceat(discount[source] + step, starts)
            discount[into] = np.minimum(discount[into], arrive)
        spare = min(spare, discount[sizes < network.most].min(initial=0))
        hub = min(hub, (discount + leave).min())
        discount[sizes > network.least] = np.minimum(discount[sizes > network.least], spare)
        np.minimum(discount, hub, out=discount)
        if np.array_equal(discount, before[0]) and (spare, hub) == before[1:]:
            break
    else:
        raise RuntimeError("a cycle of moves makes this flow cheaper: the solver stopped before the optimum.")
    # A center at its least size may be anywhere above the others; as low as its members allow proves the most.
    floor = np.full(k, spare)
    np.maximum.at(floor, source, discount[target] - step)
    floor = np.maximum(floor, hub - leave)
    small = (sizes == network.least) & (sizes < network.most)
    discount[small] = floor[small]
    return discount


def _steps(network: Network, flow: Flow) -> tuple[Positions, Positions, Positions]:
    """The cheapest move between each pair of centers that an arc joins, sorted by where it goes."""
    source = flow.labels[network.row]
    moves = source != network.center
    pair = network.center[moves] * network.k + source[moves]
    step = (network.cost - flow.paid[network.row])[moves]
    order = np.argsort(pair, kind="stable")
    pairs, starts = np.unique(pair[order], return_index=True)
    least = np.minimum.reduceat(step[order], starts) if len(pairs) else step
    return pairs % network.k, pairs // network.k, least


def _largest(x: Floats, centers: Floats) -> float:
    """No squared distance is larger; above zero."""
    lengths = [np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64).max()) for rows in (x, centers)]
    return float(max(sum(lengths) ** 2, np.finfo(np.float32).tiny))


def _whole(cost: NDArray[np.float64], unit: float) -> Positions:
    return np.rint(np.minimum(cost / unit, _NONE)).astype(np.int64)
