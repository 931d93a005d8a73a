"""What comes into a pruning run: read, checked against each other, and brought into one order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.pool import Pool
from goodgrain.data.read import read
from goodgrain.errors import InputError, UnknownName
from goodgrain.observations import Observations
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.prune_config import PruneConfig, under_recipe
from goodgrain.select.methods import Rulebook, check_needs
from goodgrain.select.selection import check_rules

IN_MEMORY = " in memory"


def check_config(keep: int | float | Sequence[int | float], config: dict[str, Any]) -> PruneConfig:
    """The configuration, or an error that offers the nearest argument."""
    known = set(PruneConfig.__dataclass_fields__) - {"keep"}
    for name in config:
        if name not in known:
            raise UnknownName("argument of prune", name, known)
    return PruneConfig(keep=keep, **under_recipe(config))  # type: ignore[arg-type]  # one budget becomes a tuple of one


def read_pool(what: str, source: str | Path | Pool | None, watch: Monitor, **options: Any) -> Pool | None:
    """Read images from where they are; a pool passes as it is."""
    if source is None or isinstance(source, Pool):
        return source
    watch.stage(what)
    return read(source, **options)


def named_classes(pool: Pool | None, names: Sequence[str] | None) -> Pool | None:
    """The pool under class names that its owner gives, for data that only numbers its classes."""
    if pool is None or names is None:
        return pool
    if len(names) < len(pool.classes):
        raise InputError(f"class_names has {len(names)} names for {len(pool.classes)} classes. Name each, in order.")
    return dataclasses.replace(pool, classes=tuple(names))


def size_of(pool: Pool | None, asked: int | None) -> int | tuple[int, int] | None:
    """The test images come at the size of the training images."""
    return asked if pool is None else pool.image_shape[:2]


def source_name(source: object) -> str | None:
    """How the configuration calls what was given."""
    if source is None or isinstance(source, str | Path):
        return None if source is None else str(source)
    return f"{type(source).__name__}{IN_MEMORY}"


def check_pools(pool: Pool | None, test: Pool | None) -> None:
    """Refuse what no training could work with: missing labels, empty classes, a test set of another kind."""
    if test is not None and pool is None:
        raise InputError("a test set needs data to train on; only observations came. Give data, or leave test out.")
    for name, images in (("", pool), ("test ", test)):
        if images is not None and (images.labels < 0).any():
            raise InputError(f"{int((images.labels < 0).sum())} {name}images have no class label; each needs one.")
    if pool is None:
        return
    _check_classes(pool.labels, pool.classes)
    if test is not None and test.image_shape != pool.image_shape:
        raise InputError(
            f"the test images come as {test.image_shape} (height, width, channels), the data as {pool.image_shape}. "
            "Bring both into one form."
        )


def under_classes(test: Pool | None, pool: Pool | None) -> Pool | None:
    """The test images under the data's classes, matched by name: a small test set may lack some of them."""
    if test is None or pool is None or test.classes == pool.classes:
        return test
    unknown = [name for name in test.classes if name not in pool.classes]
    if unknown:
        raise InputError(
            f"the test set has the class {unknown[0]!r}, which the data lacks; its classes are "
            f"{', '.join(pool.classes[:20])}. Both should name classes alike."
        )
    names = np.array([pool.classes.index(name) for name in test.classes])
    labels = np.where(test.labels >= 0, names[test.labels], test.labels)
    return dataclasses.replace(test, labels=labels, classes=pool.classes, clean_labels=None)


def _check_classes(labels: Positions, classes: Sequence[str]) -> None:
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if len(empty):
        raise InputError(
            f"class {classes[empty[0]]!r} is empty: no example has that label"
            + (f", and so are {len(empty) - 1} others" if len(empty) > 1 else "")
            + ". Remove the class, or give it examples."
        )
    if len(classes) < 2:
        raise InputError("there is only one class. Pruning for classification needs at least two.")


def aligned(given: Observations, pool: Pool | None) -> Observations:
    """The observations of exactly the pool's images, in the pool's order; the pool's labels where there are none."""
    if pool is None:
        if given.labels is not None:
            _check_classes(given.labels, class_names_of(given))
        return given
    order = _order(given.ids)
    missing = [name for name in pool.ids.tolist() if name not in order]
    if missing:
        raise InputError(
            f"the observations lack {len(missing)} of the {len(pool)} images, the first is {missing[0]!r}. "
            "Their ids should be those of the data."
        )
    rows = given.rows([order[name] for name in pool.ids.tolist()])
    different = 0 if rows.labels is None else int((rows.labels != pool.labels).sum())
    if different:
        raise InputError(
            f"the observations were made under other labels: {different} of {len(pool)} differ from the data's, so "
            "their losses and probabilities are not about these. Observe the data under the labels that you prune."
        )
    return rows.with_columns(ids=pool.ids, labels=pool.labels)


def _order(ids: NDArray[Any]) -> dict[str, int]:
    return {str(name): position for position, name in enumerate(ids.tolist())}


def class_names_of(seen: Observations) -> tuple[str, ...]:
    """Class names of observations without a pool."""
    for table in (seen.probabilities, seen.strong_probabilities):
        if table is not None:
            return tuple(str(j) for j in range(table.shape[1]))
    return () if seen.labels is None else tuple(str(j) for j in range(int(seen.labels.max()) + 1))


@dataclass(frozen=True, eq=False)
class Examples:
    """Who is there to pick from: (n,) ids, (n,) labels where there are any, and the names of the classes."""

    ids: NDArray[Any]
    labels: Positions | None
    classes: tuple[str, ...]

    @classmethod
    def of(cls, pool: Pool | None, seen: Observations | None) -> Examples:
        """Of the images, or of observations alone."""
        if pool is not None:
            return cls(pool.ids, pool.labels, pool.classes)
        assert seen is not None
        return cls(seen.ids, seen.labels, class_names_of(seen))

    @cached_property
    def order(self) -> dict[str, int]:
        """The position of each id."""
        return _order(self.ids)


def rulebook(
    asked: PruneConfig, method: str, examples: Examples, count: int, suspicious: Positions | None = None
) -> Rulebook:
    """The rules of one method's selection: ids become positions, class names become classes.

    Suspicious examples are dropped like must-drop, but not where the user says that they must be kept.
    """
    order = examples.order
    places: dict[str, list[int]] = {}
    for name, ids in (("must_keep", asked.must_keep), ("must_drop", asked.must_drop)):
        unknown = [one for one in ids if one not in order]
        if unknown:
            raise InputError(f"{name} names {len(unknown)} ids that the data lacks, the first is {unknown[0]!r}.")
        places[name] = [order[one] for one in ids]
    quotas = {}
    for name, most in (asked.quotas or {}).items():
        if name not in examples.classes:
            known = ", ".join(examples.classes[:20])
            raise InputError(f"there is a quota for class {name!r}, but the classes are {known}.")
        quotas[examples.classes.index(name)] = most
    turns = asked.turns(method)
    if turns and examples.labels is None:
        raise InputError(
            "a balanced selection needs labels, and the observations have none. Add labels, or ask for no balance."
        )
    dropped = np.array(places["must_drop"], dtype=np.int64)
    if suspicious is not None:
        dropped = np.union1d(dropped, np.setdiff1d(suspicious, places["must_keep"]))
    return Rulebook(count, examples.labels if turns else None, quotas or None, places["must_keep"], dropped)


def check_before_training(
    asked: PruneConfig, examples: Examples, counts: Sequence[int], pool: Pool | None, seen: Observations | None
) -> None:
    """Refuse rules that cannot be met and columns that are missing, before a warm-up is paid for."""
    n = len(examples.ids)
    if len(set(counts)) != len(counts):
        raise InputError(f"two budgets come to the same count: {', '.join(map(str, counts))} of {n}. Give each once.")
    if len(asked.must_keep) > min(counts):
        raise InputError(
            f"must_keep holds {len(asked.must_keep)} examples, the smallest budget is {min(counts)}. Raise the budget."
        )
    if pool is not None and asked.epochs and min(counts) < 2:
        raise InputError("a part of 1 example cannot be trained on. Keep 2 or more, or ask for epochs=0.")
    if seen is not None and asked.drop_suspects and (seen.probabilities is None or examples.labels is None):
        raise InputError("drop_suspects needs probabilities and labels; the observations lack one of them.")
    for method in asked.methods:
        rules = rulebook(asked, method, examples, max(counts))
        check_rules(rules.budget, n=n, **rules.arguments())
        if seen is not None:
            check_needs(method, seen)
