"""The rules of a round, on an open transaction: which items come next, who holds them, and whether they can be paid."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from goodgrain.annotate.answers import Costs, exact
from goodgrain.annotate.records import Round
from goodgrain.checks import check_within
from goodgrain.errors import InputError


@dataclass(frozen=True)
class NewRound:
    """What a round starts from, checked; parameters and random_state are JSON."""

    strategy: str
    parameters: str
    model_hash: str
    random_state: str
    budget: float


def check_budget(budget: float, costs: Costs) -> float:
    """A budget that pays for one answer at least, whatever that turns out to be."""
    value = check_within("budget", budget, above=0)
    if exact(value) < costs.most:
        raise InputError(
            f"budget={value:g} pays for no answer: one can cost {float(costs.most):g}. Give at least that much."
        )
    return value


def as_json(name: str, value: object) -> str:
    """The value as JSON, to be kept with a round."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise InputError(
            f"{name} cannot be kept as JSON: {reason}. Give plain numbers, strings, lists and dicts."
        ) from reason


def numbers_of(db: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """The rows of items by their ids, each at most once."""
    numbers: dict[int, None] = {}
    for name in ids:
        row = db.execute("SELECT number FROM items WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise InputError(f"no item {name!r} in this session. Give ids of its items.")
        if row[0] in numbers:
            raise InputError(f"the id {name!r} comes twice. Give each id once.")
        numbers[row[0]] = None
    return list(numbers)


def ids_of(db: sqlite3.Connection, numbers: Iterable[int]) -> tuple[str, ...]:
    """Ids of items by their rows."""
    return tuple(db.execute("SELECT id FROM items WHERE number = ?", (number,)).fetchone()[0] for number in numbers)


def last_round(db: sqlite3.Connection) -> Round | None:
    """The newest round."""
    row = db.execute(
        "SELECT number, strategy, parameters, model_hash, random_state, budget, state FROM rounds "
        "ORDER BY number DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    number, strategy, parameters, model_hash, random_state, budget, state = row
    return Round(number, strategy, json.loads(parameters), model_hash, json.loads(random_state), budget, state)


def open_round(db: sqlite3.Connection, new: NewRound, ranking: Iterable[tuple[int, float | None]]) -> Round:
    """Open a round with a ranking of (item, score), the first to be asked for first."""
    last = last_round(db)
    if last is not None and last.state == "open":
        raise InputError(f"round {last.number} is still open. Close it before the next is proposed.")
    number = 0 if last is None else last.number + 1
    db.execute(
        "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?, 'open')",
        (number, new.strategy, new.parameters, new.model_hash, new.random_state, new.budget),
    )
    db.executemany(
        "INSERT INTO ranking VALUES (?, ?, ?, ?)",
        ((number, place, item, score) for place, (item, score) in enumerate(ranking)),
    )
    parameters, random_state = json.loads(new.parameters), json.loads(new.random_state)
    return Round(number, new.strategy, parameters, new.model_hash, random_state, new.budget, "open")


def open_now(db: sqlite3.Connection, seed: int, budget: float) -> Round:
    """The open round; the very first is opened in an order drawn with the seed."""
    last = last_round(db)
    if last is None:
        items = [item for (item,) in db.execute("SELECT number FROM items WHERE known IS NULL ORDER BY number")]
        drawn = np.random.default_rng(seed).permutation(len(items))
        new = NewRound("random", "{}", "", json.dumps(seed), budget)
        return open_round(db, new, [(items[i], None) for i in drawn])
    if last.state == "closed":
        raise InputError(f"round {last.number} is closed. Propose the next one.")
    return last


def close_round(db: sqlite3.Connection) -> None:
    """Close the open round and free all that is held."""
    last = last_round(db)
    if last is None or last.state == "closed":
        raise InputError("no round is open. Ask or propose first.")
    db.execute("UPDATE rounds SET state = 'closed' WHERE number = ?", (last.number,))
    db.execute("DELETE FROM leases")


def spent(db: sqlite3.Connection, number: int, costs: Costs) -> Fraction:
    """What the answers of a round cost that stand."""
    kinds = db.execute("SELECT kind, count(*) FROM standing WHERE round = ? GROUP BY kind", (number,))
    return costs.total(dict(kinds))


def affordable(db: sqlite3.Connection, now_open: Round, costs: Costs) -> int:
    """How many more items may be handed out if they, and all that are held, turn out as dear as can be."""
    held: int = db.execute("SELECT count(*) FROM leases").fetchone()[0]
    return max(0, math.floor((exact(now_open.budget) - spent(db, now_open.number, costs)) / costs.most) - held)


def held_by(db: sqlite3.Connection, annotator: str) -> list[tuple[int, int]]:
    """(item, query) of what an annotator holds, in the order it was handed out."""
    return db.execute(
        "SELECT l.item, l.query FROM leases l JOIN query_items i ON i.item = l.item AND i.query = l.query "
        "WHERE l.annotator = ? ORDER BY l.query, i.place",
        (annotator,),
    ).fetchall()


def best(db: sqlite3.Connection, number: int, annotator: str, most: int) -> list[int]:
    """The first items of a round's ranking that this annotator may be asked for."""
    rows = db.execute(
        "SELECT r.item FROM ranking r JOIN items i ON i.number = r.item "
        "WHERE r.round = ? AND i.known IS NULL AND r.item NOT IN (SELECT item FROM leases) AND NOT EXISTS ("
        "SELECT 1 FROM standing s WHERE s.item = r.item AND (s.kind != 'skip' OR s.annotator = ?)"
        ") ORDER BY r.place LIMIT ?",
        (number, annotator, most),
    )
    return [item for (item,) in rows]


def hand_out(
    db: sqlite3.Connection, number: int, annotator: str, items: Sequence[int], now: float, until: float
) -> int:
    """Write a query and its leases; returns the query's number."""
    query = db.execute(
        "INSERT INTO queries (round, annotator, time) VALUES (?, ?, ?)", (number, annotator, now)
    ).lastrowid
    assert query is not None
    db.executemany(
        "INSERT INTO query_items VALUES (?, ?, ?)", ((query, place, item) for place, item in enumerate(items))
    )
    db.executemany("INSERT INTO leases VALUES (?, ?, ?, ?)", ((item, annotator, query, until) for item in items))
    return query


def let_go(db: sqlite3.Connection, now: float, *, of_all_but: str) -> None:
    """Free what others have held for too long."""
    db.execute("DELETE FROM leases WHERE until <= ? AND annotator != ?", (now, of_all_but))


def renew(db: sqlite3.Connection, annotator: str, until: float) -> None:
    """A sign of life: all that an annotator holds stays theirs."""
    db.execute("UPDATE leases SET until = ? WHERE annotator = ?", (until, annotator))


def asked_for(db: sqlite3.Connection, item: int, annotator: str) -> tuple[int, int] | None:
    """(query, round) that an answer belongs to: the last query of this annotator with the item, else of anyone."""
    row: tuple[int, int] | None = db.execute(
        "SELECT q.number, q.round FROM query_items i JOIN queries q ON q.number = i.query "
        "WHERE i.item = ? ORDER BY q.annotator = ? DESC, q.number DESC LIMIT 1",
        (item, annotator),
    ).fetchone()
    return row


def stands(db: sqlite3.Connection, item: int, annotator: str) -> tuple[str, int | None] | None:
    """(kind, class) of the answer of one annotator that counts now."""
    row: tuple[str, int | None] | None = db.execute(
        "SELECT kind, class FROM standing WHERE item = ? AND annotator = ?", (item, annotator)
    ).fetchone()
    return row


def keep(
    db: sqlite3.Connection,
    item: int,
    annotator: str,
    kind: str,
    chosen: int | None,
    now: float,
    query: int,
    number: int,
) -> None:
    """Add an answer. A SKIP frees the item of this annotator, any other answer of everyone."""
    db.execute(
        "INSERT INTO answers (item, annotator, kind, class, time, query, round) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (item, annotator, kind, chosen, now, query, number),
    )
    db.execute("DELETE FROM leases WHERE item = ? AND (annotator = ? OR ? != 'skip')", (item, annotator, kind))


def last_answer(db: sqlite3.Connection, annotator: str) -> tuple[int, int, int, int] | None:
    """(answer, item, query, round) of the last answer of an annotator that was not taken back."""
    row: tuple[int, int, int, int] | None = db.execute(
        "SELECT number, item, query, round FROM answers WHERE annotator = ? "
        "AND number NOT IN (SELECT answer FROM undone) ORDER BY number DESC LIMIT 1",
        (annotator,),
    ).fetchone()
    return row


def give_back(
    db: sqlite3.Connection, item: int, annotator: str, query: int, number: int, now: float, until: float
) -> None:
    """After an answer was taken back: whose turn the item is now."""
    kinds = dict(db.execute("SELECT annotator, kind FROM standing WHERE item = ?", (item,)))
    if any(kind != "skip" for kind in kinds.values()):  # an older answer counts again, or there are others
        db.execute("DELETE FROM leases WHERE item = ?", (item,))
        return
    last = last_round(db)
    assert last is not None
    if annotator in kinds or number != last.number or last.state == "closed":
        return
    db.execute("DELETE FROM leases WHERE item = ? AND until <= ?", (item, now))
    db.execute("INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?)", (item, annotator, query, until))
