"""What people can answer, what their answers cost, and what several of them say together."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from goodgrain.errors import InputError, UnknownName

OOD: Final = "__ood__"  # belongs to none of the classes
UNSURE: Final = "__unsure__"  # looked at, and the annotator cannot tell
SKIP: Final = "__skip__"  # not judged by this annotator
UNRESOLVED: Final = "__unresolved__"  # annotators contradict each other; nobody can answer this

KINDS: Final = {OOD: "ood", UNSURE: "unsure", SKIP: "skip"}  # as the file calls them; a class is "class"
RESERVED: Final = (OOD, UNSURE, SKIP, UNRESOLVED)


@dataclass(frozen=True)
class Answer:
    """One answer as it was given.

    Args:
        number: 1, 2, ... in the order of arrival.
        id: the item's id.
        annotator: who gave it.
        answer: a class name, OOD, UNSURE or SKIP.
        round: the round that asked for it, and that pays.
        query: the number of the query that asked for it.
        time: seconds since 1970.
        undone: whether it was taken back.
    """

    number: int
    id: str
    annotator: str
    answer: str
    round: int
    query: int
    time: float
    undone: bool


@dataclass(frozen=True)
class Costs:
    """What one answer costs, in the unit of the budget; a SKIP costs nothing.

    Args:
        c_in: a class.
        c_ood: OOD.
        c_unsure: UNSURE; as much as a class by default.

    Raises:
        InputError: a cost below 0 or not finite, or all are 0.

    Example:
        >>> Costs(1, 2).total({"class": 3, "ood": 1, "skip": 7})
        Fraction(5, 1)
    """

    c_in: float = 1.0
    c_ood: float = 1.0
    c_unsure: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        for name in ("c_in", "c_ood", "c_unsure"):
            cost = getattr(self, name)
            if cost is None and name == "c_unsure":
                continue
            if isinstance(cost, bool) or not isinstance(cost, numbers.Real) or not 0 <= float(cost) < math.inf:
                raise InputError(f"{name} should be a number, 0 or more; {cost!r} came.")
            object.__setattr__(self, name, float(cost))
        if not self.most:
            raise InputError("all costs are 0, so that no budget would ever be spent. Give at least one above 0.")

    @property
    def each(self) -> dict[str, Fraction]:
        """Kind of answer -> its price, as the decimal number that was written: ten times 0.1 is 1."""
        unsure = self.c_in if self.c_unsure is None else self.c_unsure
        return {"class": exact(self.c_in), "ood": exact(self.c_ood), "unsure": exact(unsure), "skip": Fraction(0)}

    @property
    def most(self) -> Fraction:
        """What an answer can cost at most: it is known only after the answer."""
        return max(self.each.values())

    def total(self, counts: Mapping[str, int]) -> Fraction:
        """What so many answers of each kind cost together."""
        prices = self.each
        return sum((prices[kind] * count for kind, count in counts.items()), Fraction(0))


def exact(value: float) -> Fraction:
    """The decimal number as it is written.

    Example:
        >>> exact(0.1) * 3
        Fraction(3, 10)
    """
    return Fraction(repr(float(value)))


def verdict(answers: Iterable[str]) -> str:
    """What several annotators say together of one item: the majority of those who decided.

    Args:
        answers: one of each annotator, at least one.

    Returns:
        The class or OOD that most annotators gave, UNRESOLVED where two are given equally often. Those who were unsure
        have no vote: UNSURE and, after it, SKIP come out only where nobody decided.

    Example:
        >>> verdict(["cat", OOD, "cat", UNSURE]), verdict(["cat", "dog"]), verdict([SKIP, UNSURE])
        ('cat', '__unresolved__', '__unsure__')
    """
    given = Counter(answers)
    decided = [(count, name) for name, count in given.items() if name not in (UNSURE, SKIP)]
    if not decided:
        return UNSURE if UNSURE in given else SKIP
    most = max(count for count, _ in decided)
    winners = [name for count, name in decided if count == most]
    return winners[0] if len(winners) == 1 else UNRESOLVED


def check_answer(answer: object, classes: Sequence[str], *, among: Sequence[str] = (OOD, UNSURE, SKIP)) -> str:
    """A class name or one of the other answers.

    Raises:
        InputError: no string.
        UnknownName: none of the classes; the nearest is offered.
    """
    if not isinstance(answer, str):
        raise InputError(
            f"an answer should be a class name or one of goodgrain.annotate's OOD, UNSURE, SKIP; {answer!r} came."
        )
    if answer not in classes and answer not in among:
        raise UnknownName("class", answer, [*classes, *among])
    return answer


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes: at least one, each once, none that could be taken for another answer."""
    if isinstance(classes, str):
        raise InputError(f"classes should be a list of names; the single string {classes!r} came.")
    names = tuple(check_text("a class name", name) for name in classes)
    if not names:
        raise InputError("there are no classes. Give at least one name.")
    for name in names:
        if name.strip().casefold() in RESERVED:
            raise InputError(
                f"no class can be called {name!r}: this is an answer of its own. Give the class another name."
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"the class {twice[0]!r} comes twice. Give each class once.")
    return names


def check_text(name: str, value: object, *, empty: bool = False) -> str:
    """A string that can be stored; a blank one only where that is allowed."""
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise InputError(f"{name} should be a string that is not blank; {value!r} came.")
    if "\0" in value or value.encode(errors="ignore").decode() != value:  # lone surrogates: bytes that were no UTF-8
        raise InputError(f"{name} {value!r} is no text that can be stored as UTF-8. Give it another name.")
    return value
