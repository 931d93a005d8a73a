"""A labelling session: ask for the best, be told, and forget nothing."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from goodgrain.annotate import rounds
from goodgrain.annotate.answers import KINDS, Costs, check_answer, check_classes, check_text
from goodgrain.annotate.records import Item, Query, Round, ShortOf, item_rows
from goodgrain.annotate.store import Store, settings
from goodgrain.annotate.view import SessionView
from goodgrain.checks import check_count, check_scores, check_within
from goodgrain.errors import InputError

Clock = Callable[[], float]


class Session(SessionView):
    """A pool that is being labelled, in a folder of its own: items, rounds, queries and every answer.

    What a method returns is on disk. Many threads may share a session; one process at a time writes it. A SKIP or an
    UNSURE is kept apart from what nobody has seen. `Session.create` makes one, `Session.open` goes on with it.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import OOD
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

    def __init__(self, store: Store, clock: Clock = time.time) -> None:
        super().__init__(store)
        self._clock = clock

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
    ) -> Self:
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
        rows = item_rows(items, names, known or {})
        kept = {
            "costs": {"c_in": price.c_in, "c_ood": price.c_ood, "c_unsure": price.c_unsure},
            "budget": rounds.check_budget(budget, price),
            "seed": check_count("seed", seed, least=0, most=2**63 - 1),
            "lease": check_within("lease", lease, above=0),
            "key": secrets.token_hex(8),  # tells it from another session of the same images, begun alike
        }

        def fill(db: sqlite3.Connection) -> None:
            settings(db, kept)
            db.executemany("INSERT INTO classes VALUES (?, ?)", enumerate(names))
            db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

        Store.create(Path(path), fill)
        return cls.open(path, clock=clock)

    @classmethod
    def open(cls, path: str | Path, *, clock: Clock = time.time) -> Self:
        """Go on with a session.

        Args:
            path: its folder.
            clock: seconds since 1970.

        Raises:
            InputError: there is no session, it is open already, of another version, or damaged.
        """
        return cls(Store(Path(path)), clock)

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
            return rounds.open_round(db, new, [(ranking[i], float(values[i])) for i in order])

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
            now_open = rounds.open_now(db, self.seed, self.budget)
            number = now_open.number
            rounds.let_go(db, now, of_all_but=name)
            rounds.renew(db, name, now + self.lease)
            held = rounds.held_by(db, name)[:count]
            wanted = count - len(held)
            room = rounds.affordable(db, now_open, self.costs)
            new = rounds.best(db, number, name, min(wanted, room, self.size))
            short: ShortOf = "" if len(new) == wanted else "budget" if len(new) == room else "items"
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
            asked = rounds.asked_for(db, item, name)
            if asked is None:
                raise InputError(f"item {id!r} was never asked for. Tell only ids that ask gave.")
            rounds.renew(db, name, now + self.lease)
            if rounds.stands(db, item, name) == (kind, chosen):
                return False
            rounds.keep(db, item, name, kind, chosen, now, *asked)
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
            last = rounds.last_answer(db, name)
            if last is None:
                raise InputError(f"annotator {name!r} has no answer to take back.")
            number, item, query, paid_by = last
            db.execute("INSERT INTO undone VALUES (?, ?)", (number, now))
            rounds.give_back(db, item, name, query, paid_by, now, now + self.lease)
            return rounds.ids_of(db, [item])[0]

    def close_round(self) -> None:
        """Ask for nothing more in this round; answers to what was asked for are still taken.

        Raises:
            InputError: no round is open.
        """
        with self._store.step() as db:
            rounds.close_round(db)
