"""Selections by what the picks share with one set and not with another (SIMILAR).

Both values are conditional mutual informations I(A; Q | P) of the picks A and a query set Q, given a private set P:
with the labelled in-distribution examples as the query and the labelled OOD examples as the private set, the picks
are in-distribution. Similarities are cosines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, check_embeddings, check_within, lookup
from goodgrain.errors import InputError
from goodgrain.neighbors import unit_rows
from goodgrain.select.nearest import BLOCK, blocks
from goodgrain.select.selection import Greedy, Rules, Selection, check_rules, pick_greedily

_TIE = 9  # digits: sums over the pool agree to about 1e-11, whatever their order
_WIDTHS = (8, 256)  # candidates evaluated together, at first and at most


def similar(
    pool: ArrayLike,
    query: ArrayLike | None,
    private: ArrayLike | None,
    budget: int | float,
    *,
    kind: str = "flcmi",
    eta: float = 1.0,
    nu: float = 1.0,
    ridge: float = 1.0,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
) -> Selection:
    """Pick, one by one, what adds most to the information shared with the query, given the private set (SIMILAR).

    Kothawade et al. 2021, with S the cosine of two rows, 0 for a row of zeros:

    - "flcmi", facility location: sum over i in the pool of
      max(min(max_{j in A} S_ij, eta max_{q in Q} S_iq) - nu max_{p in P} S_ip, 0). As in the published code, a
      maximum starts from 0: a negative cosine counts as 0, and so does an empty set. Monotone and submodular, so
      that old gains bound new ones and few are evaluated. Time O(n m d) once, for the m rows of the pool that are
      closer to the query than to the private set, then O(m d) for each evaluation; memory: m rows in float64.
    - "logdetcmi": log det K(A, P) + log det K(Q, P) - log det K(A, Q, P) - log det K(P), where K is S + ridge I, eta
      on the entries between A and Q and nu on those between A and P. Not submodular, so that every gain is
      evaluated at every pick. Time O(k n d + d^3); memory: the pool in float64, and O(d^2).

    Neither holds an n x n kernel. With no query nothing is shared: every gain is 0. With no private set both are the
    mutual information with the query alone. Gains are compared to 9 digits; ties go to the larger
    eta max_{q in Q} S_jq - nu max_{p in P} S_jp of the candidate itself, then to the lower position: facility
    location gains are all 0 as soon as every row of the pool is as close to a pick as to the query.

    Args:
        pool: (n, d) embeddings of what may be picked.
        query: (q, d) embeddings of what the picks should be like; None or no rows for none.
        private: (p, d) embeddings of what they should be unlike; None or no rows for none.
        budget: how many to pick; a float is a share of n.
        kind: "flcmi" or "logdetcmi".
        eta: above 0; more than 1 favours likeness to the query over diversity.
        nu: above 0; more than 1 is harder on likeness to the private set.
        ridge: above 0, of "logdetcmi": what is added to the diagonal of the kernel.
        labels: (n,) classes that take turns; the value remains that of all picks.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there, in the sum over the pool too.

    Returns:
        Selection in the order picked; `gains[i]` is what pick i added to the value at that time.

    Raises:
        InputError: embeddings that are not finite or differ in their columns, a budget that cannot be met, or eta
            and nu so large that the kernel of "logdetcmi" is not positive definite.
        UnknownName: no such kind.

    Example:
        >>> similar([[0, 1], [1, 1], [1, 0.1], [1, 0]], query=[[1, 0]], private=[[0, 1]], budget=2).positions
        array([3, 2])
    """
    x = check_embeddings(pool, name="pool")
    asked, private_rows = (_others(*other, d=x.shape[1]) for other in (("query", query), ("private", private)))
    build = lookup("kind", _KINDS, kind)
    factors = tuple(check_within(*named, above=0.0) for named in (("eta", eta), ("nu", nu), ("ridge", ridge)))
    given = check_rules(budget, n=len(x), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    if rules is not given:
        x = x[given.rows]
    problem = build(x, asked, private_rows, factors, rules)
    return given.original(pick_greedily(problem, rules))


def _others(name: str, values: ArrayLike | None, d: int) -> NDArray[np.float64]:
    """Rows of length 1; none for None or an empty array."""
    if values is None or np.size(np.asarray(values)) == 0:
        return np.empty((0, d))
    rows = check_embeddings(values, name=name)
    if rows.shape[1] != d:
        raise InputError(f"{name} has {rows.shape[1]} columns, the pool has {d}. Embed all of them with one model.")
    return unit_rows(rows)


class _FacilityLocation:
    """Rows of the pool that can still be covered better; a candidate's old gain bounds its new one.

    With low_i = max(reach of the picks, nu max_p S_ip) and cap_i = eta max_q S_iq, candidate j adds the sum of
    max(min(S_ij, cap_i) - low_i, 0). Rows with cap_i <= low_i add nothing, now and later.
    """

    def __init__(
        self, x: Floats, query: NDArray[np.float64], private: NDArray[np.float64], factors: _Factors, rules: Rules
    ) -> None:
        self.x = x
        eta, nu, _ = factors
        cap, low = eta * _closest(x, query), nu * _closest(x, private)
        self.likeness = np.round(cap - low, _TIE)
        counts = np.flatnonzero(low < cap)
        self.cap, self.low = cap[counts], low[counts]
        self.rows = _units(x, counts)
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        self.picks = 0
        self.evaluated = np.full(len(x), -1)  # with how many picks
        self.bound = np.empty(len(x))  # of each gain, from above; -1 once taken
        slack = 2.0**-23 * (x.shape[1] + 64) * len(counts)  # of sums of products of rows of length 1 in float32
        for part in blocks(len(x), x.shape[1]):
            self.bound[part] = self._gains(unit_rows(x[part]).astype(np.float32)) + slack

    def best(self, group: int) -> int | None:
        members = self.members[group]
        width, most = _WIDTHS
        while True:
            bound = self.bound[members]
            position = _first(members, bound, self.likeness)
            if self.bound[position] < 0.0:
                return None
            if self.evaluated[position] == self.picks:
                return position
            ahead = np.argpartition(-bound, min(width, len(bound)) - 1)[:width]
            likely = np.unique(np.append(members[ahead], position))
            likely = likely[(self.evaluated[likely] < self.picks) & (self.bound[likely] >= 0.0)]
            self.bound[likely] = np.round(self._gains(unit_rows(self.x[likely])), _TIE)
            self.evaluated[likely] = self.picks
            width = min(2 * width, most)

    def take(self, position: int) -> float:
        reach = np.minimum(self.rows @ unit_rows(self.x[position : position + 1])[0], self.cap)
        added = np.maximum(reach - self.low, 0.0)
        self.low += added
        self.bound[position] = -1.0
        self.picks += 1
        left = self.low < self.cap
        if np.count_nonzero(left) <= len(left) // 2:
            self.rows, self.cap, self.low = self.rows[left], self.cap[left], self.low[left]
        return float(np.round(added.sum(), _TIE))

    def _gains(self, candidates: Floats) -> NDArray[np.float64]:
        """(m,) what each candidate (m, d) would add, in its own precision."""
        gains = np.zeros(len(candidates))
        for part in blocks(len(self.rows), max(candidates.shape)):
            rows, cap, low = (of[part].astype(candidates.dtype, copy=False) for of in (self.rows, self.cap, self.low))
            products = candidates @ rows.T
            np.minimum(products, cap, out=products)
            products -= low
            np.maximum(products, 0.0, out=products)
            gains += products.sum(axis=1)
        return gains


class _LogDeterminant:
    """The gain of a candidate is the log of its variance given A and P, less that given A, Q and P.

    With rows u of length 1, the covariance of the pool given a set is u^T C v, ridge on the diagonal; each pick j
    takes C u_j u_j^T C / variance_j away from C, which is kept as what it was, less the sum over the picks.
    """

    def __init__(
        self, x: Floats, query: NDArray[np.float64], private: NDArray[np.float64], factors: _Factors, rules: Rules
    ) -> None:
        self.factors = eta, nu, ridge = factors
        self.unit = _units(x, np.arange(len(x)))
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        both = np.concatenate([query, private])
        weights = np.repeat([eta, nu], [len(query), len(private)])
        self.likeness = np.round(eta * _closest(x, query) - nu * _closest(x, private), _TIE)
        self.cores = [_core(private, weights[len(query) :], ridge), _core(both, weights, ridge)]
        self.steps = [np.empty((rules.count, x.shape[1])) for _ in self.cores]
        self.picks = 0
        self.taken = np.zeros(len(x), dtype=bool)
        self.variance = np.empty((len(x), 2))
        for part in blocks(*self.unit.shape):
            u = self.unit[part]
            for given, core in enumerate(self.cores):
                self.variance[part, given] = ridge + np.einsum("ij,ij->i", u @ core, u)
        self._check()

    def best(self, group: int) -> int | None:
        open_rows = self.members[group][~self.taken[self.members[group]]]
        return _first(open_rows, self._gains(open_rows), self.likeness) if len(open_rows) else None

    def take(self, position: int) -> float:
        gain = float(self._gains(np.array([position]))[0])
        u = self.unit[position]
        for steps, core, variance in zip(self.steps, self.cores, self.variance[position], strict=True):
            before = steps[: self.picks]
            steps[self.picks] = (core @ u - (before @ u) @ before) / np.sqrt(variance)
        self.variance -= (self.unit @ np.column_stack([steps[self.picks] for steps in self.steps])) ** 2
        self.picks += 1
        self.taken[position] = True
        self._check()
        return gain

    def _gains(self, rows: Positions) -> NDArray[np.float64]:
        logs = np.log(self.variance[rows])
        return np.round(logs[:, 0] - logs[:, 1], _TIE)

    def _check(self) -> None:
        if (self.variance[~self.taken] <= 0.0).any():
            eta, nu, ridge = self.factors
            raise InputError(
                f"with eta={eta:g}, nu={nu:g} and ridge={ridge:g} the kernel of logdetcmi is not positive definite. "
                "Keep eta and nu at most 1, or raise the ridge."
            )


_Factors = tuple[float, ...]
_KINDS: Mapping[str, Callable[[Floats, NDArray[np.float64], NDArray[np.float64], _Factors, Rules], Greedy]] = {
    "flcmi": _FacilityLocation,
    "logdetcmi": _LogDeterminant,
}


def _first(rows: Positions, gains: NDArray[np.float64], likeness: NDArray[np.float64]) -> int:
    """The row with the largest gain; of equals the one most like the query, then the lower position."""
    ties = rows[gains == gains.max()]
    return int(ties[likeness[ties].argmax()])


def _units(x: Floats, rows: Positions) -> NDArray[np.float64]:
    """(m, d) some rows, of length 1."""
    unit = np.empty((len(rows), x.shape[1]))
    for part in blocks(*unit.shape):
        unit[part] = unit_rows(x[rows[part]])
    return unit


def _closest(x: Floats, others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the largest cosine with any of the others, at least 0."""
    closest = np.zeros(len(x))
    for part in blocks(len(x), x.shape[1]):
        unit = unit_rows(x[part])
        for start in range(0, len(others), max(1, BLOCK // len(unit))):
            near = (unit @ others[start : start + max(1, BLOCK // len(unit))].T).max(axis=1)
            np.maximum(closest[part], near, out=closest[part])
    return closest


def _core(others: NDArray[np.float64], weights: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """(d, d) C = I - W^T (B B^T + ridge I)^-1 W, for rows B of length 1 and W = weights x B.

    Written with B^T B (d, d) in place of B B^T (m, m), by Woodbury's identity.
    """
    weighted = others * weights[:, np.newaxis]
    cross = others.T @ weighted
    inner = others.T @ others + ridge * np.eye(others.shape[1])
    core = np.eye(others.shape[1]) - (weighted.T @ weighted - cross.T @ np.linalg.solve(inner, cross)) / ridge
    return np.asarray((core + core.T) / 2.0)
