"""What a session has brought, read from an open transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from goodgrain.annotate.answers import KINDS, OOD, SKIP, UNRESOLVED, UNSURE, Answer, Costs, verdict
from goodgrain.annotate.records import RoundStatus, Status

_NAMES = {kind: name for name, kind in KINDS.items()}


def name_of(kind: str, number: int | None, classes: Sequence[str]) -> str:
    """An answer as people give it, from the kind and the class that the file has."""
    return _NAMES[kind] if number is None else classes[number]


def votes(db: sqlite3.Connection, classes: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """Id -> (round, answer) of each annotator whose answer stands, the oldest first."""
    standing: dict[str, list[tuple[int, str]]] = {}
    for item, number, kind, chosen in db.execute(
        "SELECT i.id, s.round, s.kind, s.class FROM standing s JOIN items i ON i.number = s.item "
        "ORDER BY s.item, s.number"
    ):
        standing.setdefault(item, []).append((number, name_of(kind, chosen, classes)))
    return standing


def round_of(given: Sequence[tuple[int, str]]) -> int:
    """The round that an item's answers are credited to: of the first that says something, or else of the first skip.

    Example:
        >>> round_of([(1, SKIP), (2, "cat"), (3, "cat")])
        2
    """
    return next((number for number, answer in given if answer != SKIP), given[0][0])


def history(db: sqlite3.Connection, classes: Sequence[str]) -> tuple[Answer, ...]:
    """Every answer ever given."""
    rows = db.execute(
        "SELECT a.number, i.id, a.annotator, a.kind, a.class, a.round, a.query, a.time, u.answer IS NOT NULL "
        "FROM answers a JOIN items i ON i.number = a.item LEFT JOIN undone u ON u.answer = a.number ORDER BY a.number"
    )
    return tuple(
        Answer(number, item, annotator, name_of(kind, chosen, classes), asked_in, query, time, bool(undone))
        for number, item, annotator, kind, chosen, asked_in, query, time, undone in rows
    )


def status(db: sqlite3.Connection, classes: Sequence[str], costs: Costs) -> Status:
    """Counts of items by what is known of them, in all and in each round."""
    found: dict[int, Counter[str]] = {}
    answered = votes(db, classes)
    for given in answered.values():
        found.setdefault(round_of(given), Counter())[verdict(answer for _, answer in given)] += 1
    paid: dict[int, dict[str, int]] = {}
    for number, kind, count in db.execute("SELECT round, kind, count(*) FROM standing GROUP BY round, kind"):
        paid.setdefault(number, {})[kind] = count
    rounds = []
    for number, strategy, state, budget in db.execute(
        "SELECT number, strategy, state, budget FROM rounds ORDER BY number"
    ):
        counts = found.get(number, Counter[str]())
        rounds.append(
            RoundStatus(
                number=number,
                strategy=strategy,
                state=state,
                budget=budget,
                spent=float(costs.total(paid.get(number, {}))),
                in_distribution=sum(counts[name] for name in classes),
                ood=counts[OOD],
                unsure=counts[UNSURE],
                unresolved=counts[UNRESOLVED],
                skipped=counts[SKIP],
            )
        )
    items, known = db.execute("SELECT count(*), count(known) FROM items").fetchone()
    (held,) = db.execute("SELECT count(*) FROM leases").fetchone()
    return Status(items, known, items - known - len(answered), held, tuple(rounds))
