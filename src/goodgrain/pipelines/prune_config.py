"""All that a pruning run can be asked, checked before anything heavy starts."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from goodgrain.checks import check_within, lookup
from goodgrain.errors import InputError
from goodgrain.learn.engine import PRECISIONS
from goodgrain.learn.learners.dividemix import settled_warmup
from goodgrain.learn.published import LEARNERS
from goodgrain.learn.published import PUBLISHED as RECIPES
from goodgrain.neighbors import SIMILARITIES
from goodgrain.select.lazy_gains import GAINS
from goodgrain.select.methods import CONFIDENCES, METHODS, Options, canonical, find

_BUDGETS = "keep should hold counts (whole numbers above 0) or shares (above 0, at most 1)"
EXPORTS = ("copy", "link", "huggingface")
WHOLE = "all"
PUBLISHED = 0.95  # the cosine of most published runs


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What to prune, how, and what to make of it.

    Args:
        keep: budgets, each a count (int) or a share (float in (0, 1]); one order serves them all.
        method: a name in METHODS.
        balanced: whether classes take turns; None for what the method prefers. With quotas they always do.
        confidence: "max_prob" or "diff_prob" (prune4rel).
        threshold: least similarity of neighbours in (0, 1], or "auto" (prune4rel).
        gain: "own" or "coverage" (prune4rel).
        similarity: "cosine" or "shifted" (prune4rel).
        temperature: eta of the utility (prune4rel).
        views: strongly augmented views whose mean is observed.
        must_keep: ids that are picked first.
        must_drop: ids that are never picked.
        quotas: class name -> at most this many.
        drop_suspects: never pick examples whose label looks wrong.
        learner: what trains on each kept part: "ce" (plain cross-entropy), "sop" (SOP+) or "dividemix"; the last two
            correct wrong labels. The warm-up is always plain.
        recipe: a published configuration (`goodgrain.learn.published.PUBLISHED`) for the learner's rates and weights;
            None for the house's defaults. `under_recipe` takes model and epochs from it as well.
        model: a name that `goodgrain.models.load_network` knows, such as "preact_resnet18" or "timm:NAME", or
            "package.module:function".
        warmup_epochs: epochs before the observation.
        epochs: epochs of the fresh training on each kept part; 0 trains nothing.
        precision: of all trainings, "float32" or "bf16".
        repeats: fresh trainings per budget, each with a seed of its own.
        flip: whether augmentation may swap left and right; not for digits or text.
        seed: all randomness follows from it.
        compare: other methods, or "all" for the whole data, that are trained on as well, for the learning curve.
        near: least likeness of near duplicates, in (0, 1]; for digits and other small pictures on plain ground 0.995.
        export: also write each kept part as a folder tree ("copy", "link") or as a dataset ("huggingface").

    Raises:
        InputError: a value outside its range.
        UnknownName: a name that no table has.
    """

    keep: tuple[int | float, ...]
    method: str = "prune4rel"
    balanced: bool | None = None
    confidence: str = "max_prob"
    threshold: float | str = PUBLISHED
    gain: str = "own"
    similarity: str = "cosine"
    temperature: float = 1.0
    views: int = 1
    must_keep: tuple[str, ...] = ()
    must_drop: tuple[str, ...] = ()
    quotas: Mapping[str, int] | None = None
    drop_suspects: bool = False
    learner: str = "ce"
    recipe: str | None = None
    model: str = "small"
    warmup_epochs: int = 10
    epochs: int = 30
    precision: str = "float32"
    repeats: int = 1
    flip: bool = True
    seed: int = 0
    near: float = 0.98
    export: str | None = None
    compare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all that can be checked without the data."""
        for name in ("keep", "compare", "must_keep", "must_drop"):
            object.__setattr__(self, name, several(name, getattr(self, name)))
        object.__setattr__(self, "keep", tuple(_budget(budget) for budget in self.keep))
        for name in ("must_keep", "must_drop"):
            object.__setattr__(self, name, tuple(str(one) for one in getattr(self, name)))
        if self.quotas is not None:
            object.__setattr__(self, "quotas", {str(name): _whole(name, most) for name, most in self.quotas.items()})
            if self.balanced is False:
                raise InputError(
                    "quotas let classes take turns, so they cannot go with balanced=False. Drop one of them."
                )
        object.__setattr__(self, "method", canonical(self.method))
        find(self.method)
        object.__setattr__(self, "compare", tuple(canonical(name) for name in self.compare))
        for name in self.compare:
            lookup("pruning method to compare with", {**METHODS, WHOLE: None}, name)
        lookup("learner", LEARNERS, self.learner)
        lookup("precision", PRECISIONS, self.precision)
        if self.learner == "dividemix" and self.epochs:
            own = {} if self.recipe is None else lookup("recipe", RECIPES, self.recipe).own.get("dividemix", {})
            settled_warmup(own.get("warmup_epochs"), self.epochs)
        if self.recipe is not None:
            own = lookup("recipe", RECIPES, self.recipe).own
            if self.relabels:
                lookup(f"learner published for {self.recipe}", own, self.learner)
        lookup("confidence", CONFIDENCES, self.confidence)
        lookup("gain", GAINS, self.gain)
        lookup("similarity", SIMILARITIES, self.similarity)
        check_within("temperature", self.temperature, above=0.0)
        check_within("near", self.near, above=0.0, most=1.0)
        if self.threshold != "auto":
            if isinstance(self.threshold, str):
                raise InputError(f'threshold should be a number in (0, 1] or "auto"; {self.threshold!r} came.')
            check_within("threshold", self.threshold, above=0.0, most=1.0)
        if not self.keep:
            raise InputError("keep is empty. Give at least one budget, such as 0.2.")
        for budget in self.keep:
            if not math.isfinite(budget) or budget <= 0 or (isinstance(budget, float) and budget > 1):
                raise InputError(f"{_BUDGETS}; {budget!r} came.")
        if len(set(self.keep)) != len(self.keep):
            raise InputError(f"keep names a budget twice: {', '.join(map(str, self.keep))}. Give each once.")
        for name, least in (("views", 1), ("warmup_epochs", 1), ("epochs", 0), ("repeats", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} should be a whole number of {least} or more; {value!r} came.")
        if self.export is not None:
            lookup("export", dict.fromkeys(EXPORTS), self.export)

    @property
    def methods(self) -> tuple[str, ...]:
        """The method and those it is compared with, each once."""
        return tuple(dict.fromkeys(name for name in (self.method, *self.compare) if name != WHOLE))

    @property
    def relabels(self) -> bool:
        """Whether the learner corrects labels."""
        return self.learner != "ce"

    @property
    def models(self) -> int:
        """How many warm-up models the methods need."""
        return max(find(name).models for name in self.methods)

    @property
    def self_supervised(self) -> bool:
        """Whether a method can make use of features that were learned without labels."""
        return any("self_supervised" in need.split("|") for name in self.methods for need in find(name).needs)

    def turns(self, method: str) -> bool:
        """Whether classes take turns in a method's selection."""
        if self.quotas:
            return True
        return find(method).balanced if self.balanced is None else self.balanced

    def title(self, method: str) -> str:
        """A method in words."""
        if method == WHOLE:
            return "all data"
        words = method.replace("_", "-") + (f" ({self.gain} gain)" if method == "prune4rel" else "")
        words += ", balanced" if self.turns(method) else ""
        return words + (", suspects dropped" if self.drop_suspects else "")

    def options(self, threshold: float) -> Options:
        """What the selection is told, with the threshold that was settled on."""
        return Options(
            seed=self.seed,
            confidence=self.confidence,
            threshold=threshold,
            gain=self.gain,
            similarity=self.similarity,
            temperature=self.temperature,
        )

    def table(self) -> dict[str, Any]:
        """All of it as plain values, for config.toml."""
        return {**asdict(self), "balanced": self.turns(self.method)}


def under_recipe(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, and the recipe's model and numbers of epochs where they were not.

    Raises:
        UnknownName: no such recipe.
    """
    if asked.get("recipe") is None:
        return dict(asked)
    recipe = lookup("recipe", RECIPES, asked["recipe"])
    theirs = {"model": recipe.network, "warmup_epochs": recipe.warmup_epochs, "epochs": recipe.epochs}
    return {**theirs, **asked}


def several(name: str, values: object) -> tuple[Any, ...]:
    """One value or many, from a list, a tuple or an array; a string is one value."""
    if values is None:
        return ()
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return (values,)
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{name} should be a list; an array of shape {array.shape} came.")
    return tuple(values)


def _budget(budget: Any) -> int | float:
    """NumPy's numbers become Python's, which TOML can hold."""
    if not isinstance(budget, bool | np.bool_):
        if isinstance(budget, numbers.Integral):
            return int(budget)
        if isinstance(budget, numbers.Real):
            return float(budget)
    raise InputError(f"{_BUDGETS}; {budget!r} came.")


def _whole(name: object, most: Any) -> int:
    if isinstance(most, bool | np.bool_) or not isinstance(most, numbers.Integral) or int(most) < 0:
        raise InputError(f"the quota of class {name!r} should be a whole number of 0 or more; {most!r} came.")
    return int(most)
