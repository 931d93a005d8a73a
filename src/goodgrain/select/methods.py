"""The table of pruning methods: what each needs of the Observations, and how it selects from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import lookup
from goodgrain.errors import InputError
from goodgrain.observations import Observations
from goodgrain.scores import geometry, training, uncertainty
from goodgrain.select.distance import herding, k_center, min_cover
from goodgrain.select.neighborhood import prune4rel
from goodgrain.select.ranking import ccs, random, top_k
from goodgrain.select.selection import Selection, check_rules

CONFIDENCES = {"max_prob": uncertainty.max_prob, "diff_prob": uncertainty.diff_prob}


@dataclass(frozen=True)
class Rulebook:
    """Budget and rules in the form that every selection takes them.

    Args:
        budget: a count, or a share of all examples.
        labels: (n,) classes that take turns; None for no turns.
        quotas: class -> at most this many picks; needs labels.
        must_keep: positions picked first.
        must_drop: positions never picked.
    """

    budget: int | float
    labels: ArrayLike | None = None
    quotas: Mapping[int, int] | None = None
    must_keep: ArrayLike | None = None
    must_drop: ArrayLike | None = None

    def arguments(self) -> dict[str, Any]:
        """All but the budget, by name."""
        return {
            "labels": self.labels,
            "quotas": self.quotas,
            "must_keep": self.must_keep,
            "must_drop": self.must_drop,
        }


@dataclass(frozen=True)
class Options:
    """What single methods can be told beyond the rules.

    Args:
        seed: for methods that draw at random.
        confidence: "max_prob" or "diff_prob" (prune4rel).
        threshold: least similarity of neighbours (prune4rel).
        gain: "own" or "coverage" (prune4rel).
        similarity: "cosine" or "shifted" (prune4rel).
        temperature: eta of the utility (prune4rel).
        never_learned: "most" or "least" forgotten (forgetting).
    """

    seed: int = 0
    confidence: str = "max_prob"
    threshold: float = 0.95
    gain: str = "own"
    similarity: str = "cosine"
    temperature: float = 1.0
    never_learned: str = "most"


Select = Callable[[Observations, Rulebook, Options], Selection]
Score = Callable[[Observations], NDArray[np.float64]]


@dataclass(frozen=True)
class Method:
    """A pruning method.

    Args:
        select: Observations, rules and options -> Selection.
        needs: columns of the Observations without which it cannot work; "a|b" where either will do.
        picks: what it picks first, in a few words.
        models: how many independently initialised warm-up models its columns come from.
        balanced: whether classes take turns unless the user says otherwise.
    """

    select: Select
    needs: tuple[str, ...]
    picks: str
    models: int = 1
    balanced: bool = False


def select(method: str, observations: Observations, rules: Rulebook, options: Options | None = None) -> Selection:
    """Run any pruning method by its name.

    Args:
        method: a key of METHODS; hyphens and capitals do not matter.
        observations: what a model saw of n examples.
        rules: budget, turns, quotas, must-keep, must-drop.
        options: for methods that take any.

    Returns:
        Selection in the order picked.

    Raises:
        UnknownName: no such method.
        InputError: a column that the method needs is missing, or the rules cannot be met.

    Example:
        >>> seen = Observations(ids=["a", "b", "c"], losses=[0.3, 0.1, 2.0])
        >>> select("small-loss", seen, Rulebook(2)).positions
        array([1, 0])
    """
    entry = check_needs(method, observations)
    given = check_rules(rules.budget, n=len(observations), **rules.arguments())
    if len(given.rows) < given.n:  # drop before scores are computed, so that no median or mean sees these rows
        inner = given.renumbered()
        labels = None if rules.labels is None else inner.groups
        rules = Rulebook(given.count, labels, rules.quotas, inner.kept)
        observations = observations.rows(given.rows)
    return given.original(entry.select(observations, rules, options or Options()))


def check_needs(method: str, observations: Observations) -> Method:
    """The entry of a method, once the observations are known to hold what it needs.

    Raises:
        UnknownName: no such method.
        InputError: a column is missing.
    """
    entry = find(method)
    there = set(observations.columns)
    lacking = [" or ".join(ways) for need in entry.needs if not there & set(ways := need.split("|"))]
    if lacking:
        needs = ", ".join(need.replace("|", " or ") for need in entry.needs)
        raise InputError(
            f"method {method!r} needs {needs}; the observations lack {', '.join(lacking)} "
            f"(they have {', '.join(observations.columns)}). Add the column, or choose another method."
        )
    return entry


def find(method: str) -> Method:
    """The entry of a method, by its name in any of its spellings."""
    return lookup("pruning method", METHODS, canonical(method))


def canonical(method: str) -> str:
    """The table's spelling of a method's name.

    Example:
        >>> canonical("Small-Loss")
        'small_loss'
    """
    return method.strip().lower().replace("-", "_")


def relabeling_inputs(
    observations: Observations, options: Options
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    """(n, d) embeddings and (n,) confidence as Prune4ReL takes them: of the strong view where there is one."""
    features = observations.features if observations.strong_features is None else observations.strong_features
    probabilities = observations.strong_probabilities
    if probabilities is None:
        probabilities = observations.probabilities
    return _there(features), lookup("confidence", CONFIDENCES, options.confidence)(_there(probabilities))


def _prune4rel(seen: Observations, rules: Rulebook, options: Options) -> Selection:
    features, confidence = relabeling_inputs(seen, options)
    return prune4rel(
        features,
        confidence,
        rules.budget,
        threshold=options.threshold,
        gain=options.gain,
        similarity=options.similarity,
        temperature=options.temperature,
        **rules.arguments(),
    )


def _ranked(score: Score) -> Select:
    return lambda seen, rules, _: top_k(score(seen), rules.budget, **rules.arguments())


def _there(values: NDArray[Any] | None) -> NDArray[Any]:
    assert values is not None  # `needs` was checked
    return values


def _prototypical(seen: Observations, rules: Rulebook, options: Options) -> Selection:
    features = _there(seen.features if seen.self_supervised is None else seen.self_supervised)
    clusters = int(_there(seen.labels).max()) + 1
    scores = geometry.prototypical(features, clusters=clusters, seed=options.seed)
    return top_k(scores, rules.budget, **rules.arguments())


def _ccs(seen: Observations, rules: Rulebook, options: Options) -> Selection:
    return ccs(training.aum(_there(seen.margin)), rules.budget, seed=options.seed, **rules.arguments())


METHODS: Mapping[str, Method] = {
    "prune4rel": Method(
        _prune4rel,
        ("strong_features|features", "strong_probabilities|probabilities"),
        "what adds most neighbourhood confidence",
        balanced=True,
    ),
    "uniform": Method(
        lambda seen, rules, options: random(len(seen), rules.budget, seed=options.seed, **rules.arguments()),
        (),
        "anything, at random",
    ),
    "small_loss": Method(
        _ranked(lambda seen: training.small_loss(_there(seen.losses))), ("losses",), "the smallest loss"
    ),
    "margin": Method(
        _ranked(lambda seen: uncertainty.margin(_there(seen.probabilities))),
        ("probabilities",),
        "the smallest lead of the best class over the second",
    ),
    "entropy": Method(
        _ranked(lambda seen: uncertainty.entropy(_there(seen.probabilities))),
        ("probabilities",),
        "the most undecided prediction",
    ),
    "least_confidence": Method(
        _ranked(lambda seen: uncertainty.least_confidence(_there(seen.probabilities))),
        ("probabilities",),
        "the least probable best class",
    ),
    "k_center": Method(
        lambda seen, rules, options: k_center(
            _there(seen.features), rules.budget, seed=options.seed, **rules.arguments()
        ),
        ("features",),
        "the example farthest from all picks",
    ),
    "forgetting": Method(
        lambda seen, rules, options: top_k(
            training.forgetting(_there(seen.correct), never_learned=options.never_learned),
            rules.budget,
            **rules.arguments(),
        ),
        ("correct",),
        "what was learned and forgotten most often",
    ),
    "grand": Method(
        _ranked(lambda seen: np.asarray(_there(seen.gradient_norms).mean(axis=0), dtype=np.float64)),
        ("gradient_norms",),
        "the largest gradient, over ten models",
        models=10,
    ),
    "el2n": Method(
        _ranked(lambda seen: training.el2n(_there(seen.probabilities), _there(seen.labels))),
        ("probabilities", "labels"),
        "the largest error of the prediction",
    ),
    "ssp": Method(_prototypical, ("self_supervised|features", "labels"), "the closest to a cluster's center"),
    "moderate": Method(
        _ranked(lambda seen: geometry.moderate(_there(seen.features), _there(seen.labels))),
        ("features", "labels"),
        "the middling distance to the class's median",
    ),
    "herding": Method(
        lambda seen, rules, _: herding(_there(seen.features), rules.budget, **rules.arguments()),
        ("features",),
        "what brings the mean of the picks to the mean of all",
    ),
    "ccs": Method(_ccs, ("margin",), "all degrees of difficulty alike, the hardest left out"),
    "aum": Method(
        _ranked(lambda seen: training.aum(_there(seen.margin))), ("margin",), "the smallest area under the margin"
    ),
    "min_cover": Method(
        lambda seen, rules, options: min_cover(
            _there(seen.features), rules.budget, seed=options.seed, **rules.arguments()
        ),
        ("features",),
        "the nearest neighbours of one example",
    ),
}
