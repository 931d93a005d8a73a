"""A labelling session: ask for the best, be told, and forget nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.annotate import progress, rounds
from goodgrain.annotate.answers import (
    KINDS,
    OOD,
    Answer,
    Costs,
    check_answer,
    check_classes,
    check_text,
    exact,
    verdict,
)
from goodgrain.annotate.records import Item, Query, Round, Status
from goodgrain.annotate.store import Store, setting, settings
from goodgrain.checks import Positions, check_count, check_scores, check_within
from goodgrain.data.pool import OOD as OOD_LABEL
from goodgrain.data.pool import UNLABELED
from goodgrain.errors import InputError

Clock = Callable[[], float]


class Session:
    """A pool that is being labelled, in a folder of its own: items, rounds, queries and every answer.

    What a method returns is on disk. Many threads may share a session; one process at a time writes it. A SKIP or an
    UNSURE is kept apart from what nobody has seen. `Session.create` makes one, `Session.open` goes on with it.

    Example:
        >>> import tempfile
        >>> session = Session.create(tempfile.mkdtemp(), ["a", "b", "c"], ["cat", "dog"], budget=2, seed=0)
        >>> query = session.ask(5)
        >>> query.ids, query.short_of
        (('c', 'a'), 'budget')
        >>> session.tell("c", "dog"), session.tell("a", OOD), session.tell("a", OOD)
        (True, True, False)
        >>> session.labels()[1], session.left
        (array([-2, -1,  1]), 0.0)
        >>> session.close()
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        with store.look() as db:
            self.classes: tuple[str, ...] = tuple(
                name for (name,) in db.execute("SELECT name FROM classes ORDER BY number")
            )
            self.costs = Costs(**setting(db, "costs"))
            self.budget: float = setting(db, "budget")
            self.seed: int = setting(db, "seed")
            self.lease: float = setting(db, "lease")

    @classmethod
    def create(
        cls,
        path: str | Path,
        items: Iterable[Item | str],
        classes: Sequence[str],
        *,
        budget: float,
        costs: Costs | None = None,
        seed: int = 0,
        known: Mapping[str, str] | None = None,
        lease: float = 1800.0,
        clock: Clock = time.time,
    ) -> Session:
        """Make a session and open it.

        Args:
            path: its folder; made if it is not there.
            items: what may be labelled; a string is an id alone.
            classes: c names; class k of the labels is the k-th.
            budget: what the answers of a round may cost.
            costs: what answers cost; 1 each by default.
            seed: of the order of round 0, if no strategy proposes one.
            known: id -> class or OOD, labels that exist already; items may bring their own too.
            lease: seconds after which an item may go to somebody else, counted from its annotator's last sign of life.
            clock: seconds since 1970.

        Raises:
            InputError: there is a session already, or items, classes, budget or lease are not as above.
            UnknownName: a known label is none of the classes.
            DiskFull: no room.
        """
        names = check_classes(classes)
        price = costs or Costs()
        rows = _item_rows(items, names, known or {})
        kept = {
            "costs": {"c_in": price.c_in, "c_ood": price.c_ood, "c_unsure": price.c_unsure},
            "budget": rounds.check_budget(budget, price),
            "seed": check_count("seed", seed, least=0, most=2**63 - 1),
            "lease": check_within("lease", lease, above=0),
        }

        def fill(db: sqlite3.Connection) -> None:
            settings(db, kept)
            db.executemany("INSERT INTO classes VALUES (?, ?)", enumerate(names))
            db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

        Store.create(Path(path), fill)
        return cls.open(path, clock=clock)

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, clock: Clock = time.time) -> Session:
        """Go on with a session.

        Args:
            path: its folder.
            read_only: only look, also while another process writes.
            clock: seconds since 1970.

        Raises:
            InputError: there is no session, it is open already, of another version, or damaged.
        """
        return cls(Store(Path(path), read_only=read_only), clock)

    def close(self) -> None:
        """Let another process open it; every answer is on disk already."""
        self._store.close()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def propose(
        self,
        ids: Sequence[str],
        scores: ArrayLike,
        *,
        strategy: str,
        parameters: Mapping[str, Any] | None = None,
        model_hash: str = "",
        random_state: Any = None,
        budget: float | None = None,
    ) -> Round:
        """Open the next round with a ranking; what is labelled already may be in it and is not asked for.

        Args:
            ids: what may be asked for.
            scores: (len(ids),) the highest is asked for first, equals in the order of ids.
            strategy: what ranked.
            parameters: of the strategy, as JSON can hold them.
            model_hash: of the model that was asked.
            random_state: what random numbers started from, as JSON can hold it.
            budget: what the answers of this round may cost; the session's by default.

        Raises:
            InputError: the last round is still open, an id is unknown or comes twice, or scores are not finite.
        """
        names = [check_text("an id", name) for name in ids]
        values = check_scores(scores, n=len(names))
        new = rounds.NewRound(
            check_text("strategy", strategy),
            rounds.as_json("parameters", dict(parameters or {})),
            check_text("model_hash", model_hash, empty=True),
            rounds.as_json("random_state", random_state),
            self.budget if budget is None else rounds.check_budget(budget, self.costs),
        )
        order = np.argsort(-values, kind="stable")
        with self._store.step() as db:
            ranking = rounds.numbers_of(db, names)
            rounds.open_round(db, new, [(ranking[i], float(values[i])) for i in order])
        opened = self.round
        assert opened is not None
        return opened

    def ask(self, n: int, *, annotator: str = "") -> Query:
        """Hand out the best items that are neither answered, nor held by others, nor skipped by this annotator.

        What the annotator holds already comes first, so that asking again after a crash gives the same again. New
        items are handed out while the round could pay for all that is under way even if each answer were the dearest.

        Args:
            n: how many ids at most.
            annotator: who asks.

        Raises:
            InputError: the last round is closed, or n is no count.
            DiskFull: no room; nothing was handed out.
        """
        count, name = check_count("n", n), check_text("annotator", annotator, empty=True)
        now = self._clock()
        with self._store.step() as db:
            number, budget = rounds.open_now(db, self.seed, self.budget)
            db.execute("DELETE FROM leases WHERE until <= ? AND annotator != ?", (now, name))
            db.execute("UPDATE leases SET until = ? WHERE annotator = ?", (now + self.lease, name))
            held = rounds.held_by(db, name)[:count]
            wanted = count - len(held)
            room = rounds.affordable(db, number, budget, self.costs)
            new = rounds.best(db, number, name, min(wanted, room))
            short = "" if len(new) == wanted else "budget" if len(new) == room else "items"
            query = max((given for _, given in held), default=0)
            if new:
                query = rounds.hand_out(db, number, name, new, now, now + self.lease)
            return Query(query, rounds.ids_of(db, [*(item for item, _ in held), *new]), number, short)

    def tell(self, id: str, answer: str, *, annotator: str = "") -> bool:  # noqa: A002  (the field's own word)
        """Keep an answer; the last one that an annotator gives of an item counts, the others stay as history.

        Args:
            id: of an item that was asked for, by anyone, in any round.
            answer: a class name, OOD, UNSURE or SKIP.
            annotator: who answers.

        Returns:
            Whether it is new; False where the same answer of the same annotator stands already.

        Raises:
            InputError: an unknown id, or one that was never asked for.
            UnknownName: no such class; the nearest is offered.
            DiskFull: no room; the answer was not kept.
        """
        check_answer(answer, self.classes)
        check_text("an id", id)
        name, now = check_text("annotator", annotator, empty=True), self._clock()
        kind = KINDS.get(answer, "class")
        chosen = self.classes.index(answer) if kind == "class" else None
        with self._store.step() as db:
            (item,) = rounds.numbers_of(db, [id])
            asked = db.execute(
                "SELECT q.number, q.round FROM query_items i JOIN queries q ON q.number = i.query "
                "WHERE i.item = ? ORDER BY q.annotator = ? DESC, q.number DESC LIMIT 1",
                (item, name),
            ).fetchone()
            if asked is None:
                raise InputError(f"item {id!r} was never asked for. Tell only ids that ask gave.")
            query, number = asked
            db.execute("UPDATE leases SET until = ? WHERE annotator = ?", (now + self.lease, name))
            standing = "SELECT kind, class FROM standing WHERE item = ? AND annotator = ?"
            if db.execute(standing, (item, name)).fetchone() == (kind, chosen):
                return False
            db.execute(
                "INSERT INTO answers (item, annotator, kind, class, time, round, query) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (item, name, kind, chosen, now, number, query),
            )
            db.execute("DELETE FROM leases WHERE item = ? AND (annotator = ? OR ? != 'skip')", (item, name, kind))
            return True

    def undo(self, annotator: str = "") -> str:
        """Take back the last answer of an annotator; the one before it counts again, or the item is open again.

        An item of the open round that is open again goes back to this annotator, unless somebody else holds it.

        Returns:
            The item's id.

        Raises:
            InputError: this annotator has no answer left to take back.
        """
        name, now = check_text("annotator", annotator, empty=True), self._clock()
        with self._store.step() as db:
            last = db.execute(
                "SELECT number, item, round, query FROM answers WHERE annotator = ? "
                "AND number NOT IN (SELECT answer FROM undone) ORDER BY number DESC LIMIT 1",
                (name,),
            ).fetchone()
            if last is None:
                raise InputError(f"annotator {name!r} has no answer to take back.")
            number, item, asked_in, query = last
            db.execute("INSERT INTO undone VALUES (?, ?)", (number, now))
            rounds.give_back(db, item, name, asked_in, query, now, now + self.lease)
            return rounds.ids_of(db, [item])[0]

    def close_round(self) -> Round:
        """Ask for nothing more in this round; answers to what was asked for are still taken.

        Raises:
            InputError: no round is open.
        """
        with self._store.step() as db:
            number, _ = rounds.open_now(db, self.seed, self.budget)
            db.execute("UPDATE rounds SET state = 'closed' WHERE number = ?", (number,))
            db.execute("DELETE FROM leases")
        closed = self.round
        assert closed is not None
        return closed

    @property
    def round(self) -> Round | None:
        """The last round, open or closed; None before the first ask or proposal."""
        with self._store.look() as db:
            return rounds.last_round(db)

    @property
    def spent(self) -> float:
        """What the answers of the last round cost."""
        with self._store.look() as db:
            last = rounds.last_round(db)
            return 0.0 if last is None else float(rounds.spent(db, last.number, self.costs))

    @property
    def left(self) -> float:
        """What is left of the last round's budget; below 0 where corrections or second opinions cost more."""
        with self._store.look() as db:
            last = rounds.last_round(db)
            if last is None:
                return self.budget
            return float(exact(last.budget) - rounds.spent(db, last.number, self.costs))

    def item(self, id: str) -> Item:  # noqa: A002
        """One item by its id.

        Raises:
            InputError: an unknown id.
        """
        with self._store.look() as db:
            (number,) = rounds.numbers_of(db, [check_text("an id", id)])
            row = db.execute("SELECT path, content_hash, known, class FROM items WHERE number = ?", (number,)).fetchone()
        path, content_hash, known, chosen = row
        return Item(id, path, content_hash, None if known is None else progress.name_of(known, chosen, self.classes))

    def answers(self) -> dict[str, str]:
        """Id -> what all annotators say together (`verdict`), for every item with an answer that stands."""
        with self._store.look() as db:
            votes = progress.votes(db, self.classes)
        return {item: verdict(given for _, given in rows) for item, rows in votes.items()}

    def labels(self) -> tuple[NDArray[np.str_], Positions]:
        """Ids (n,) and labels (n,) int64 of all items, as a Pool has them: 0..c-1, UNLABELED = -1, OOD = -2."""
        number = {OOD: OOD_LABEL, **{name: k for k, name in enumerate(self.classes)}}
        with self._store.look() as db:
            start = {
                item: UNLABELED if known is None else OOD_LABEL if known == "ood" else chosen
                for item, known, chosen in db.execute("SELECT id, known, class FROM items ORDER BY number")
            }
            for item, given in self.answers().items():
                start[item] = number.get(given, UNLABELED)
        return np.array(list(start), dtype=np.str_), np.array(list(start.values()), dtype=np.int64)

    def history(self) -> tuple[Answer, ...]:
        """Every answer ever given, in the order of arrival."""
        with self._store.look() as db:
            return progress.history(db, self.classes)

    def status(self) -> Status:
        """Where the session stands: what is labelled, held and unseen, and what each round has brought."""
        with self._store.look() as db:
            return progress.status(db, self.classes, self.costs)
