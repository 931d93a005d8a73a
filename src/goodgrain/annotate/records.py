"""What goes into a session and what comes out: items, queries, rounds, and where everything stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from goodgrain.annotate.answers import KINDS, OOD, check_answer, check_text
from goodgrain.errors import InputError

ShortOf = Literal["", "budget", "items"]


@dataclass(frozen=True)
class Item:
    """Something to be labelled.

    Args:
        id: its name, stable whatever else joins or leaves the pool.
        path: where it lies below the session's data, with "/"; "" where there is no file.
        content_hash: of its bytes; "" where nobody computed one.
        known: the class or OOD that was known from the start; never asked for.

    Raises:
        InputError: a blank id, a path that leads out of the data, or text that cannot be stored.

    Example:
        >>> Item("cat 1", path="cats/1.png").path
        'cats/1.png'
    """

    id: str
    path: str = ""
    content_hash: str = ""
    known: str | None = None

    def __post_init__(self) -> None:
        """Refuse paths that lead elsewhere."""
        check_text("an id", self.id)
        check_text(f"path of {self.id!r}", self.path, empty=True)
        check_text(f"content_hash of {self.id!r}", self.content_hash, empty=True)
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or "\\" in self.path or "\0" in self.path:
            raise InputError(f"path of {self.id!r} should be relative, with '/' and without '..'; {self.path!r} came.")


@dataclass(frozen=True)
class Query:
    """What one annotator was handed out.

    Args:
        number: 1, 2, ...; 0 where nothing was handed out.
        ids: what to answer, in this order: first what this annotator held already.
        round: the round that pays.
        short_of: why there are fewer ids than were asked for: "budget" (the rest is spent or held back for answers
            under way), "items" (the rest is answered, held by others or was skipped by this annotator), or "".
    """

    number: int
    ids: tuple[str, ...]
    round: int
    short_of: ShortOf = ""


@dataclass(frozen=True)
class Round:
    """One round: a ranking, and money to ask for its best.

    Args:
        number: 0, 1, ...
        strategy: what ranked.
        parameters: of the strategy.
        model_hash: of the model that was asked; "" without one.
        random_state: what random numbers started from.
        budget: what its answers may cost.
        state: "open" or "closed".
    """

    number: int
    strategy: str
    parameters: Mapping[str, Any]
    model_hash: str
    random_state: Any
    budget: float
    state: str


@dataclass(frozen=True)
class RoundStatus:
    """What a round has brought so far. An item counts in the round that paid for its first standing answer.

    Args:
        number: of the round.
        strategy: what ranked.
        state: "open" or "closed".
        budget: what its answers may cost.
        spent: what they cost.
        in_distribution: items that belong to a class.
        ood: items that belong to none.
        unsure: items that nobody could judge.
        unresolved: items of which annotators contradict each other.
        skipped: items that were only skipped.
    """

    number: int
    strategy: str
    state: str
    budget: float
    spent: float
    in_distribution: int
    ood: int
    unsure: int
    unresolved: int
    skipped: int

    @property
    def purity(self) -> float | None:
        """Share of the classes among what was decided (%IN / 100); None before anything was."""
        decided = self.in_distribution + self.ood
        return self.in_distribution / decided if decided else None


@dataclass(frozen=True)
class Status:
    """Where a session stands.

    Args:
        items: how many there are.
        known: those whose label was known from the start.
        unseen: those that have neither label nor answer, held ones included.
        held: those that wait for an answer.
        rounds: what each has brought.
    """

    items: int
    known: int
    unseen: int
    held: int
    rounds: tuple[RoundStatus, ...]

    @property
    def spent(self) -> float:
        """What all answers cost."""
        return sum(one.spent for one in self.rounds)


def item_rows(items: Iterable[Item | str], classes: Sequence[str], known: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """Rows of the table of items, each label among the classes."""
    rows: dict[str, tuple[Any, ...]] = {}
    for given in items:
        item = Item(given) if isinstance(given, str) else given
        if item.id in rows:
            raise InputError(f"the id {item.id!r} comes twice. Ids must be unique.")
        label = known.get(item.id, item.known)
        if label is not None:
            check_answer(label, classes, among=(OOD,))
        kind = None if label is None else KINDS.get(label, "class")
        chosen = classes.index(label) if label is not None and kind == "class" else None
        rows[item.id] = (len(rows), item.id, item.path, item.content_hash, kind, chosen)
    if not rows:
        raise InputError("there are no items. Give at least one.")
    strange = [name for name in known if name not in rows]
    if strange:
        raise InputError(f"known names {strange[0]!r}, which is no item. Give labels of items only.")
    return list(rows.values())
