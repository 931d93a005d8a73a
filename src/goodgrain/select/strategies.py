"""The table of query strategies: which examples of a pool to ask a person about, when some belong to no class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.checks import budget_count, check_within, lookup
from goodgrain.errors import InputError
from goodgrain.meta.inputs import meta_input
from goodgrain.select.distance import k_center
from goodgrain.select.gradient import badge
from goodgrain.select.ranking import random, top_k
from goodgrain.select.selection import Selection
from goodgrain.select.standing import (
    INFORMATIVENESS,
    PURITIES,
    Scores,
    Standing,
    informativeness_scores,
    known_positions,
    purity_scores,
)
from goodgrain.select.submodular import similar


class Meta(Protocol):
    """What weighs purity against informativeness: a fitted `MetaQueryNet`, or one of `meta.COMBINATIONS`."""

    def score(self, meta_input: ArrayLike) -> Scores:
        """(n, 2) -> (n,), higher = queried first."""


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """What single strategies can be told.

    Args:
        seed: for strategies that draw at random.
        purity: a key of PURITIES (mqnet, purity_first).
        informativeness: a key of INFORMATIVENESS (mqnet, purity_first).
        meta: what weighs them (mqnet).
        precision: share of in-distribution examples that purity_first aims at, in (0, 1].
        answered: purity (m,) that examples had when they were asked for, and whether (m,) they turned out to be OOD:
            where purity_first learns its threshold.
        balanced: whether the classes that the model predicts take turns, for strategies that go by a score (not
            random, coreset, badge and similar): what is pure is often of one easily told class.
    """

    seed: int = 0
    purity: str = "nearest_ood"
    informativeness: str = "conf"
    meta: Meta | None = None
    precision: float = 0.9
    answered: tuple[ArrayLike, ArrayLike] = ((), ())
    balanced: bool = False


@dataclass(frozen=True)
class Strategy:
    """A way to choose a query.

    Args:
        pick: standing, count and options -> Selection of the positions that may be asked for, numbered from 0.
        needs: columns of the standing without which it cannot work; what purity and informativeness need comes on top.
        asks: what it asks for first, in a few words.
        combines: whether it goes by purity and informativeness.
        scores: whether it ranks by a score, so that classes can take turns.
    """

    pick: Callable[[Standing, int, QueryOptions], Selection]
    needs: tuple[str, ...]
    asks: str
    combines: bool = False
    scores: bool = False


def query(strategy: str, standing: Standing, budget: int | float, options: QueryOptions | None = None) -> Selection:
    """Choose which examples of a pool to ask a person about, by any strategy's name.

    Args:
        strategy: a key of STRATEGIES; hyphens and capitals do not matter.
        standing: what is known of the pool.
        budget: how many; a float is a share of those that may be asked for.
        options: for strategies that take any.

    Returns:
        Selection of positions into the pool, in the order to ask; never a labelled or left-out one.

    Raises:
        UnknownName: no such strategy, purity or informativeness.
        InputError: a column is missing, or the budget is more than there is to ask for.

    Example:
        >>> standing = Standing(n=4, labeled=[0], ood=[3], features=[[0, 0], [1, 0], [5, 5], [2, 10]])
        >>> query("coreset", standing, 2).positions
        array([2, 1])
    """
    asked = options or QueryOptions()
    name = strategy.strip().lower().replace("-", "_")
    entry = lookup("query strategy", STRATEGIES, name)
    needs = set(entry.needs)
    if entry.scores and asked.balanced:
        needs.add("probabilities")
    if entry.combines:
        check_within("precision", asked.precision, above=0, most=1)
        needs |= {*lookup("purity", PURITIES, asked.purity).needs}
        needs |= {*lookup("informativeness", INFORMATIVENESS, asked.informativeness).needs}
    lacking = sorted(needs - set(standing.columns))
    if lacking:
        raise InputError(
            f"strategy {name!r} needs {', '.join(lacking)}, which the standing lacks (it has "
            f"{', '.join(standing.columns) or 'nothing'}). Add it, or choose another strategy."
        )
    if not len(standing.rows):
        raise InputError("there is nothing left to ask for: every example is labelled or left out.")
    picked = entry.pick(standing, budget_count(budget, n=len(standing.rows)), asked)
    return Selection(standing.rows[picked.positions], picked.gains)


def _highest(standing: Standing, scores: Scores, count: int, options: QueryOptions) -> Selection:
    """The highest scores; balanced, of each predicted class in turn."""
    return top_k(scores, count, labels=standing.of("probabilities").argmax(axis=1) if options.balanced else None)


def _ranked(name: str) -> Callable[[Standing, int, QueryOptions], Selection]:
    def pick(standing: Standing, count: int, options: QueryOptions) -> Selection:
        scores = informativeness_scores(name, standing)
        assert scores is not None
        return _highest(standing, scores, count, options)

    return pick


def _coreset(standing: Standing, count: int, options: QueryOptions) -> Selection:
    picked = k_center(
        np.asarray(standing.features),
        count,
        labeled=known_positions(standing),
        must_drop=standing.left_out,
        seed=options.seed,
    )
    return Selection(np.searchsorted(standing.rows, picked.positions), picked.gains)


def _similar(kind: str) -> Callable[[Standing, int, QueryOptions], Selection]:
    def pick(standing: Standing, count: int, _: QueryOptions) -> Selection:
        wanted, unwanted = (standing.of("features", np.asarray(rows)) for rows in (standing.labeled, standing.ood))
        return similar(standing.of("features"), wanted, unwanted, count, kind=kind)

    return pick


def _both(standing: Standing, options: QueryOptions) -> tuple[Scores | None, Scores]:
    informative = informativeness_scores(options.informativeness, standing)
    return purity_scores(options.purity, standing), np.zeros(len(standing.rows)) if informative is None else informative


def _mqnet(standing: Standing, count: int, options: QueryOptions) -> Selection:
    if options.meta is None:
        raise InputError("mqnet needs what weighs purity against informativeness. Give options.meta.")
    pure, informative = _both(standing, options)
    if pure is None:  # no answer says yet what is out of distribution
        return _highest(standing, informative, count, options)
    return _highest(standing, options.meta.score(meta_input(pure, informative)), count, options)


def _purity_first(standing: Standing, count: int, options: QueryOptions) -> Selection:
    pure, informative = _both(standing, options)
    if pure is None:
        return _highest(standing, informative, count, options)
    least = pure_enough(*options.answered, precision=options.precision)
    order = np.argsort(-pure, kind="stable")
    inside = order[: max(count, int((pure >= least).sum()))]  # what misses the precision fills up, the purest first
    chosen = np.sort(inside)
    predicted = standing.of("probabilities").argmax(axis=1)[chosen] if options.balanced else None
    picked = top_k(informative[chosen], count, labels=predicted)
    return Selection(chosen[picked.positions], picked.gains)


def pure_enough(purity: ArrayLike, ood: ArrayLike, *, precision: float) -> float:
    """The least purity from which on the answers so far were in-distribution often enough.

    Args:
        purity: (m,) of examples when they were asked for.
        ood: bool (m,) what they turned out to be.
        precision: the share of in-distribution examples that is aimed at, in (0, 1].

    Returns:
        The threshold that lets most examples in; -inf without answers, inf where no threshold reaches the precision.

    Example:
        >>> pure_enough([4, 3, 2, 1], [False, False, True, True], precision=0.6)
        2.0
    """
    scores, strange = np.asarray(purity, dtype=np.float64), np.asarray(ood, dtype=bool)
    if len(scores) != len(strange):
        raise InputError(f"answered has {len(scores)} purities and {len(strange)} answers. Give one of each.")
    if not len(scores):
        return -np.inf
    order = np.argsort(-scores, kind="stable")
    share = np.cumsum(~strange[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(scores[order][1:] < scores[order][:-1], True)  # a threshold lets all equals in
    enough = np.flatnonzero((share >= precision) & last_of_equals)
    return float(scores[order][enough[-1]]) if len(enough) else np.inf


STRATEGIES: Mapping[str, Strategy] = {
    "random": Strategy(lambda s, count, o: random(len(s.rows), count, seed=o.seed), (), "anything, at random"),
    "conf": Strategy(_ranked("conf"), ("probabilities",), "the least probable best class", scores=True),
    "margin": Strategy(
        _ranked("margin"), ("probabilities",), "the smallest lead of the best class over the second", scores=True
    ),
    "entropy": Strategy(_ranked("entropy"), ("probabilities",), "the most undecided prediction", scores=True),
    "coreset": Strategy(_coreset, ("features",), "the example farthest from all that is known or picked"),
    "ll": Strategy(_ranked("ll"), ("predicted_losses",), "the largest predicted loss", scores=True),
    "badge": Strategy(
        lambda s, count, o: badge(s.of("probabilities"), s.of("features"), count, seed=o.seed),
        ("probabilities", "features"),
        "large and diverse gradients",
    ),
    "ccal": Strategy(
        lambda s, count, o: _highest(s, s.of("contrast"), count, o),
        ("contrast",),
        "what is like the classes and new",
        scores=True,
    ),
    "similar_flcmi": Strategy(_similar("flcmi"), ("features",), "what covers the pool and is like the classes"),
    "similar_logdetcmi": Strategy(_similar("logdetcmi"), ("features",), "what is diverse and like the classes"),
    "mqnet": Strategy(
        _mqnet, (), "what the meta-model makes of purity and informativeness", combines=True, scores=True
    ),
    "purity_first": Strategy(
        _purity_first, (), "the most informative of what is pure enough", combines=True, scores=True
    ),
}
