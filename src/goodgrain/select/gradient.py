"""Selections by gradient: what would change the last layer most, and in ways that differ (BADGE).

The gradient of the last layer's loss is an outer product, so that lengths and distances follow from its two factors,
and no gradient is ever written out. Picks are those of float64 distances: float32 matrix products only say which few
rows could be next, and those are computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, check_embeddings, check_probabilities
from goodgrain.select.nearest import BLOCK, CENTERS, SMALL, blocks, largest_entry, scaled, squared_lengths, unit_scale
from goodgrain.select.selection import Rules, Selection, check_rules, pick_greedily

VAIN = 64  # candidates looked at in vain before all rows are brought up to date

_FLOAT32, _FLOAT64 = 2.0**-24, 2.0**-53  # relative errors of one operation
_LEAST = np.finfo(np.float64).tiny
_SAME = 2.0**-96  # of a squared length: below, a squared distance is the rounding of unit vectors


def badge(
    probabilities: ArrayLike,
    features: ArrayLike,
    budget: int | float,
    *,
    labels: ArrayLike | None = None,
    quotas: Mapping[int, int] | None = None,
    must_keep: ArrayLike | None = None,
    must_drop: ArrayLike | None = None,
    seed: int = 0,
) -> Selection:
    """Pick by k-means++ on last-layer gradients, which are long where the model is unsure (BADGE; Ash et al. 2020).

    The gradient of example i, with its predicted class as the label, is g = (onehot(argmax p) - p) h^T. As in the
    authors' code, the first pick has the longest gradient (ties: the lower class, the lower position); each further
    one is drawn with a probability in proportion to D^2, its squared distance to the nearest pick. Where every D^2
    left is 0, as among gradients of length 0, the draw is uniform. Nothing is drawn twice.

    A draw takes the largest D^2 / e, with e drawn from the exponential distribution for each row: the same
    distribution, and rows that cannot win need no exact D^2. Time O(k n (c + d)), most of it in few matrix products;
    memory O(n + k (c + d)).

    Args:
        probabilities: (n, c), softmax outputs.
        features: (n, d), inputs of the last layer h; read in blocks, so they may be a memory map.
        budget: how many to pick; a float is a share of n.
        labels: (n,) classes that take turns, such as the predicted ones; the picks of all classes count.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first, in this order.
        must_drop: positions that are treated as if they were not there.
        seed: of the draws.

    Returns:
        Selection in the order picked; `gains[i]` is the distance D of pick i at that time; the first pick, which has
        none, gets the length of its gradient.

    Raises:
        InputError: rows of probabilities that do not sum to 1, features that are not a finite (n, d) array, or a
            budget that cannot be met.

    Example:
        >>> badge([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]], [[4.0], [4.0], [4.0]], 2, must_drop=[1]).positions
        array([0, 2])
    """
    p = check_probabilities(probabilities)
    h = check_embeddings(features, name="features", n=len(p))
    given = check_rules(budget, n=len(p), labels=labels, quotas=quotas, must_keep=must_keep, must_drop=must_drop)
    rules = given.renumbered()
    gradients = _Gradients(p, h, None if rules is given else given.rows)
    return given.original(pick_greedily(_DSquared(gradients, rules, np.random.default_rng(seed)), rules))


class _Gradients:
    """Gradients as a length and the directions of their two factors: (onehot(argmax p) - p) and h."""

    def __init__(self, p: Floats, h: Floats, rows: Positions | None) -> None:
        self.p = p
        self.h = h
        self.rows = rows
        self.classes, self.width = p.shape[1], h.shape[1]
        self.count = len(p) if rows is None else len(rows)
        self.scale = unit_scale(largest_entry(h))
        self.lengths = np.empty(self.count)
        for part in self.parts():
            residuals, features = self._factors(part)
            self.lengths[part] = np.sqrt(squared_lengths(residuals)) * np.sqrt(squared_lengths(features))

    def parts(self) -> list[slice]:
        """Blocks of rows."""
        return list(blocks(self.count, self.classes + self.width))

    def directions(self, rows: Positions | slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(m, c) and (m, d) factors of length 1, or 0 where they are."""
        residuals, features = self._factors(rows)
        return _unit(residuals), _unit(features)

    def _factors(self, rows: Positions | slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        chosen = rows if self.rows is None else self.rows[rows]
        residuals = -self.p[chosen].astype(np.float64)
        residuals[np.arange(len(residuals)), residuals.argmin(axis=1)] += 1.0
        return residuals, scaled(self.h[chosen], self.scale)


class _DSquared:
    """k-means++: `squared` bounds every D^2 from above; it is exact where all centers are `known`."""

    def __init__(self, gradients: _Gradients, rules: Rules, rng: np.random.Generator) -> None:
        self.gradients = gradients
        self.rng = rng
        self.members = {int(group): np.flatnonzero(rules.groups == group) for group in np.unique(rules.groups)}
        self.squared = np.full(rules.n, np.inf)  # -1 once taken
        self.known = np.zeros(rules.n, dtype=np.int64)  # how many centers an exact entry has seen
        self.residuals = np.empty((rules.count, gradients.classes))  # of the centers
        self.features = np.empty((rules.count, gradients.width))
        self.lengths = np.empty(rules.count)
        self.centers = 0
        self.reached = 0  # centers that all entries have seen
        self.vain = 0

    def best(self, group: int) -> int | None:
        members = self.members[group]
        candidates = members[self.squared[members] >= 0.0]
        if len(candidates) == 0:
            return None
        if self.centers == 0:
            return int(candidates[self.gradients.lengths[candidates].argmax()])
        clock = self.rng.standard_exponential(len(self.squared))[candidates] + _LEAST
        ahead = self._first(candidates, clock)
        return int(candidates[ahead if self.squared[candidates[ahead]] > 0.0 else clock.argmin()])

    def take(self, position: int) -> float:
        first = self.centers == 0
        if first:
            gain = float(self.gradients.lengths[position])
        else:
            self._settle(np.array([position]))
            gain = math.sqrt(self.squared[position])
        if first or gain > 0.0:  # else it equals a center, and no distance can fall
            residual, feature = self.gradients.directions(np.array([position]))
            self.residuals[self.centers], self.features[self.centers] = residual[0], feature[0]
            self.lengths[self.centers] = self.gradients.lengths[position]
            self.centers += 1
        self.squared[position] = -1.0
        return gain / self.gradients.scale

    def _first(self, candidates: Positions, clock: NDArray[np.float64]) -> int:
        """Index of the candidate with the largest D^2 / clock: looked for among the bounds, until the best is exact."""
        width = 1
        most = max(1, BLOCK // (self.centers + self.gradients.classes + self.gradients.width))
        while True:
            speed = self.squared[candidates] / clock
            ahead = int(speed.argmax())
            if self.known[candidates[ahead]] == self.centers:
                return ahead
            if self.vain > VAIN and self.reached < self.centers:
                self._reach_all()
                width = 1
            elif width == 1:
                self._settle(candidates[ahead : ahead + 1])
                width = 2
            else:
                width = min(width, len(candidates))
                likely = candidates[np.append(np.argpartition(-speed, width - 1)[:width], ahead)]
                self._settle(np.unique(likely[self.known[likely] < self.centers]))
                self.vain += width
                width = min(2 * width, most)

    def _settle(self, rows: Positions) -> None:
        """Compute the D^2 of some rows exactly: of the pairs that could be nearest, from the differences."""
        residuals, features = self.gradients.directions(rows)
        centers = slice(self.centers)
        lengths, others = self.gradients.lengths[rows, np.newaxis], self.lengths[centers]
        cosines = _products(residuals, self.residuals[centers]) * _products(features, self.features[centers])
        squares = lengths**2 + others**2
        about = squares - 2.0 * lengths * others * cosines
        error = 4.0 * _FLOAT64 * (residuals.shape[1] + features.shape[1] + 16) * squares
        row, center = np.nonzero(about - error <= (about + error).min(axis=1, keepdims=True))
        exact = np.full(len(rows), np.inf)
        for part in blocks(len(row), residuals.shape[1] + features.shape[1]):
            i, j = row[part], center[part]
            apart = _squared_distance(
                (self.gradients.lengths[rows[i]], residuals[i], features[i]),
                (self.lengths[j], self.residuals[j], self.features[j]),
            )
            np.minimum.at(exact, i, apart)
        self.squared[rows] = exact
        self.known[rows] = self.centers

    def _reach_all(self) -> None:
        """Lower every bound to what the centers since the last time allow, in float32."""
        gradients = self.gradients
        d = gradients.classes + gradients.width
        for start in range(self.reached, self.centers, CENTERS):
            centers = slice(start, min(start + CENTERS, self.centers))
            slack = 1.0 + 2.0 * _FLOAT32 * (d + 16)  # for 2 |ab| <= a^2 + b^2, and every rounding
            squares = (slack * self.lengths[centers] ** 2).astype(np.float32)
            left = self.residuals[centers].astype(np.float32)
            right = (-2.0 * self.lengths[centers, np.newaxis] * self.features[centers]).astype(np.float32)
            for part in gradients.parts():
                residuals, features = gradients.directions(part)
                lengths = gradients.lengths[part]
                features *= lengths[:, np.newaxis]
                bound = residuals.astype(np.float32) @ left.T
                bound *= features.astype(np.float32) @ right.T
                bound += squares
                high = bound.min(axis=1) + slack * lengths**2 + d**2 * float(np.finfo(np.float32).tiny)
                np.minimum(self.squared[part], np.maximum(high, 0.0), out=self.squared[part])
        self.reached = self.centers
        self.vain = 0


_Factored = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _squared_distance(a: _Factored, b: _Factored) -> NDArray[np.float64]:
    """(m,) squared distances of outer products, given as lengths (m,) and directions (m, c) and (m, d).

    With cosines u and v of the two factors it is (|a| - |b|)^2 + 2 |a| |b| (1 - uv). Written as
    1 - uv = (1 - u) + u (1 - v), with 1 - u half the squared distance of the directions, nothing cancels once
    u >= 0; else both factors of one side change their sign, which leaves the product as it is.
    """
    minus, plus = squared_lengths(a[1] - b[1]), squared_lengths(a[1] + b[1])
    sign = np.where(plus < minus, -1.0, 1.0)[:, np.newaxis]
    left = np.minimum(minus, plus) / 2.0
    right = squared_lengths(a[2] - sign * b[2]) / 2.0
    squared = (a[0] - b[0]) ** 2 + 2.0 * a[0] * b[0] * (left + (1.0 - left) * right)
    return np.where(squared > _SAME * (a[0] ** 2 + b[0] ** 2), squared, 0.0)


def _products(rows: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, k) inner products."""
    if len(rows) * centers.size <= SMALL:  # here threads wait for each other longer than they work
        few: NDArray[np.float64] = np.einsum("ij,kj->ik", rows, centers)
        return few
    return rows @ centers.T


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(squared_lengths(x))[:, np.newaxis]
    x /= np.where(lengths == 0.0, 1.0, lengths)
    return x
