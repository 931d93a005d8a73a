"""What is known of a pool before a query is chosen, and how pure and informative its examples are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import (
    Positions,
    check_embeddings,
    check_positions,
    check_probabilities,
    check_scores,
    lookup,
)
from goodgrain.errors import InputError
from goodgrain.scores import answered, purity, uncertainty

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Standing:
    """What is known of a pool of n examples before a query is chosen.

    Args:
        n: how many examples the pool has, labelled ones included.
        labeled: (l,) positions of examples whose class is known.
        ood: (o,) positions of examples known to be out of distribution.
        left_out: (s,) positions of further examples that are not to be asked for.
        probabilities: (n, c) of the target model.
        features: (n, d) of the target model, or of any encoder.
        predicted_losses: (n,) of a loss predictor (LL).
        contrast: (n,) CCAL's score.
        purity: (n,) any purity score, higher = more in-distribution.

    Raises:
        InputError: arrays of another length, positions outside the pool, or one that is labelled and OOD.
    """

    n: int
    labeled: ArrayLike = ()
    ood: ArrayLike = ()
    left_out: ArrayLike = ()
    probabilities: ArrayLike | None = None
    features: ArrayLike | None = None
    predicted_losses: ArrayLike | None = None
    contrast: ArrayLike | None = None
    purity: ArrayLike | None = None
    rows: Positions = field(init=False)
    """(m,) positions that may be asked for, ascending."""

    def __post_init__(self) -> None:
        """Check everything once."""
        for name in ("labeled", "ood", "left_out"):
            self._set(name, check_positions(getattr(self, name), n=self.n, name=name))
        known = np.concatenate([self.labeled, self.ood])
        if len(np.unique(known)) < len(known):
            both = np.intersect1d(self.labeled, self.ood)
            raise InputError(f"position {both[0]} is in labeled and in ood. Take it out of one.")
        self._set("rows", np.setdiff1d(np.arange(self.n), np.concatenate([known, self.left_out])))
        if self.probabilities is not None:
            self._set("probabilities", check_probabilities(self.probabilities, n=self.n))
        if self.features is not None:
            self._set("features", check_embeddings(self.features, n=self.n, name="features"))
        for name in ("predicted_losses", "contrast", "purity"):
            if getattr(self, name) is not None:
                self._set(name, check_scores(getattr(self, name), name=name, n=self.n))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def of(self, name: str, positions: Positions | None = None) -> NDArray[Any]:
        """A column, at the positions that may be asked for unless others are named."""
        values: NDArray[Any] = np.asarray(getattr(self, name))[self.rows if positions is None else positions]
        return values

    @property
    def columns(self) -> tuple[str, ...]:
        """What is there."""
        return tuple(name for name in _COLUMNS if getattr(self, name) is not None)


_COLUMNS = ("probabilities", "features", "predicted_losses", "contrast", "purity")


@dataclass(frozen=True)
class Measure:
    """A purity or an informativeness.

    Args:
        score: standing -> (m,) for the positions that may be asked for; None where nothing is known yet that it
            could go by.
        needs: columns of the standing.
    """

    score: Callable[[Standing], Scores | None]
    needs: tuple[str, ...]


def purity_scores(name: str, standing: Standing) -> Scores | None:
    """(m,) purity of the positions that may be asked for; None where no answer is there that it could go by."""
    return lookup("purity", PURITIES, name).score(standing)


def informativeness_scores(name: str, standing: Standing) -> Scores | None:
    """(m,) informativeness of the positions that may be asked for; None where nothing is labelled yet."""
    return lookup("informativeness", INFORMATIVENESS, name).score(standing)


def _to(standing: Standing, positions: ArrayLike, distance: Callable[[ArrayLike, ArrayLike], Scores]) -> Scores | None:
    known = np.asarray(positions)
    return distance(standing.of("features"), standing.of("features", known)) if len(known) else None


def _by_both(standing: Standing) -> Scores | None:
    """As long as all answers are of one kind, by those alone."""
    inside, strange = (standing.of("features", np.asarray(known)) for known in (standing.labeled, standing.ood))
    x = standing.of("features")
    if len(inside) and len(strange):
        return answered.nearest_both(x, inside, strange)
    if len(inside):
        return purity.nearest_in(x, inside)
    return -purity.nearest_in(x, strange) if len(strange) else None


def _by_probe(standing: Standing) -> Scores | None:
    inside, strange = np.asarray(standing.labeled), np.asarray(standing.ood)
    if not len(inside) or not len(strange):
        return None
    odds: Scores = answered.probe(standing.of("features", np.arange(standing.n)), inside, strange)[standing.rows]
    return odds


def _gradient_length(standing: Standing) -> Scores:
    """||onehot(argmax p) - p|| ||h||: the length of BADGE's gradients."""
    probabilities = standing.of("probabilities").astype(np.float64)
    rest = probabilities.copy()
    rest[np.arange(len(rest)), rest.argmax(axis=1)] -= 1
    lengths: Scores = np.linalg.norm(rest, axis=1) * np.linalg.norm(standing.of("features").astype(np.float64), axis=1)
    return lengths


def known_positions(standing: Standing) -> Positions:
    """(k,) positions of every example that somebody has answered."""
    return np.concatenate([np.asarray(standing.labeled), np.asarray(standing.ood)]).astype(np.int64)


PURITIES: Mapping[str, Measure] = {
    "nearest_ood": Measure(lambda s: _to(s, s.ood, purity.nearest_ood), ("features",)),
    "nearest_in": Measure(lambda s: _to(s, s.labeled, purity.nearest_in), ("features",)),
    "nearest_both": Measure(_by_both, ("features",)),
    "probe": Measure(_by_probe, ("features",)),
    "given": Measure(lambda s: s.of("purity"), ("purity",)),
}
"""Name -> purity: distance to known OOD examples, likeness to labelled ones, both, a regression on the answers, or the
standing's own column."""

INFORMATIVENESS: Mapping[str, Measure] = {
    "conf": Measure(lambda s: uncertainty.least_confidence(s.of("probabilities")), ("probabilities",)),
    "margin": Measure(lambda s: uncertainty.margin(s.of("probabilities")), ("probabilities",)),
    "entropy": Measure(lambda s: uncertainty.entropy(s.of("probabilities")), ("probabilities",)),
    "ll": Measure(lambda s: s.of("predicted_losses"), ("predicted_losses",)),
    "badge": Measure(_gradient_length, ("probabilities", "features")),
    "coreset": Measure(lambda s: _to(s, known_positions(s), purity.nearest_ood), ("features",)),
}
"""Name -> informativeness; "coreset" is the distance to what is labelled, "badge" the length of its gradients."""
