"""What every selection returns, the rules that every selection obeys, and the one greedy loop behind them."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, budget_count, check_labels, check_positions
from goodgrain.errors import InputError


@dataclass(frozen=True)
class Selection:
    """Positions in the order picked, so that every prefix answers a smaller budget.

    Args:
        positions: (k,) int64, into the selection's input.
        gains: (k,) float64, what each pick was worth when it was made.
    """

    positions: Positions
    gains: NDArray[np.float64]

    def __len__(self) -> int:
        """How many were picked."""
        return len(self.positions)


@dataclass(frozen=True)
class Rules:
    """Who may be picked: the checked form of budget, labels, quotas, must-keep and must-drop.

    Args:
        n: how many examples the selection's input has.
        count: how many to pick, must-keep included.
        kept: (m,) positions taken first, in this order.
        rows: (r,) positions that are not dropped, ascending.
        groups: (n,) group of each example: its class, or 0 for all where no labels were given.
        quotas: at most this many picks per group; groups that are missing have no limit.
    """

    n: int
    count: int
    kept: Positions
    rows: Positions
    groups: Positions
    quotas: Mapping[int, int] = field(default_factory=dict)

    def renumbered(self) -> Rules:
        """The same rules over the rows that are not dropped, for a kernel that never sees the others."""
        if len(self.rows) == self.n:
            return self
        kept = np.searchsorted(self.rows, self.kept)
        rows = np.arange(len(self.rows))
        return Rules(len(self.rows), self.count, kept, rows, self.groups[self.rows], self.quotas)

    def original(self, selection: Selection) -> Selection:
        """A selection made under `renumbered`, back in positions of the full input."""
        return Selection(self.rows[selection.positions], selection.gains)


def check_rules(
    budget: int | float,
    *,
    n: int,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
) -> Rules:
    """Check the arguments that every selection takes.

    Args:
        budget: a count, or a share of all n.
        n: how many examples there are.
        labels: (n,) classes that take turns: the class with the fewest picks goes next, the lower class first.
            A class without candidates left is passed over.
        quotas: class -> at most this many picks, must-keep included; needs labels.
        must_keep: positions picked first, in this order; they count towards the budget.
        must_drop: positions that are never picked: the selection runs as if these rows were not there.

    Raises:
        InputError: a budget that cannot be met, a position both kept and dropped, quotas without labels.
    """
    count = budget_count(budget, n=n)
    kept = check_positions(must_keep, n=n, name="must_keep")
    dropped = check_positions(must_drop, n=n, name="must_drop")
    both = np.intersect1d(kept, dropped)
    if len(both):
        raise InputError(f"position {both[0]} is in must_keep and in must_drop. Take it out of one.")
    if count > n - len(dropped):
        raise InputError(
            f"budget={count} is more than the {n - len(dropped)} examples left to pick "
            f"(n={n}, must_drop={len(dropped)}). Ask for at most {n - len(dropped)}."
        )
    if len(kept) > count:
        raise InputError(f"must_keep holds {len(kept)} examples, the budget is {count}. Raise the budget.")
    rows = np.setdiff1d(np.arange(n), dropped, assume_unique=True)
    if labels is None:
        if quotas:
            raise InputError("quotas are per class and need labels. Give labels as well.")
        return Rules(n, count, kept, rows, np.zeros(n, dtype=np.int64))
    groups = check_labels(labels, n=n)
    limits = {int(group): int(limit) for group, limit in (quotas or {}).items()}
    _check_quotas(limits, groups, rows, kept, count)
    return Rules(n, count, kept, rows, groups, limits)


def _check_quotas(limits: Mapping[int, int], groups: Positions, rows: Positions, kept: Positions, count: int) -> None:
    there = dict(zip(*(part.tolist() for part in np.unique(groups[rows], return_counts=True)), strict=True))
    for group, limit in limits.items():
        if limit < 0:
            raise InputError(f"the quota of class {group} is {limit}; it should be 0 or more.")
        if limit > 0 and not (groups == group).any():
            raise InputError(f"there is a quota for class {group}, but no example has that label.")
        held = int((groups[kept] == group).sum())
        if held > limit:
            raise InputError(f"must_keep holds {held} examples of class {group}, its quota is {limit}.")
    most = sum(min(size, limits.get(group, size)) for group, size in there.items())
    if most < count:
        raise InputError(f"the quotas admit {most} picks, the budget is {count}. Raise a quota or lower the budget.")


class Greedy(Protocol):
    """A selection that can say which candidate is best now, and take one."""

    def best(self, group: int) -> int | None:
        """The best candidate of a group that was not taken, or None when the group has none left."""

    def take(self, position: int) -> float:
        """Add a position to the selection and return what it was worth."""


def pick_greedily(problem: Greedy, rules: Rules) -> Selection:
    """Take must-keep, then the best of the group whose turn it is, until the budget is met.

    The group with the fewest picks goes next, the lower group first: with labels this is Algorithm 4's
    "for each class in turn", without labels there is one group and this is Algorithm 3's loop.
    """
    positions: list[int] = []
    gains: list[float] = []
    picks = {int(group): 0 for group in np.unique(rules.groups[rules.rows])}
    for position in rules.kept.tolist():
        positions.append(position)
        gains.append(problem.take(position))
        picks[int(rules.groups[position])] += 1
    turns = [(taken, group) for group, taken in picks.items() if taken < rules.quotas.get(group, rules.n)]
    heapq.heapify(turns)
    while len(positions) < rules.count:
        taken, group = heapq.heappop(turns)
        position = problem.best(group)
        if position is None:
            continue
        positions.append(position)
        gains.append(problem.take(position))
        if taken + 1 < rules.quotas.get(group, rules.n):
            heapq.heappush(turns, (taken + 1, group))
    return Selection(np.asarray(positions, dtype=np.int64), np.asarray(gains, dtype=np.float64))
