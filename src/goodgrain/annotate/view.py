"""A session as one looks at it: items, rounds, answers and labels, nothing changed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from goodgrain.annotate import progress, rounds
from goodgrain.annotate.answers import OOD, Answer, Costs, check_text, exact, verdict
from goodgrain.annotate.records import Item, Round, Status
from goodgrain.annotate.store import Store, setting
from goodgrain.checks import Positions
from goodgrain.data.pool import OOD as OOD_LABEL
from goodgrain.data.pool import UNLABELED


class SessionView:
    """What can be read of a labelling session, also while another process works on it; `SessionView.open` gives one.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import Session
        >>> folder = tempfile.mkdtemp()
        >>> with Session.create(folder, ["a", "b"], ["cat"], budget=5) as session, SessionView.open(folder) as view:
        ...     session.tell(session.ask(1).ids[0], "cat"), view.spent, view.left
        (True, 1.0, 4.0)
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.look() as db:
            self.classes: tuple[str, ...] = tuple(
                name for (name,) in db.execute("SELECT name FROM classes ORDER BY number")
            )
            self.size: int = db.execute("SELECT count(*) FROM items").fetchone()[0]
            self.costs = Costs(**setting(db, "costs"))
            self.budget: float = setting(db, "budget")
            self.seed: int = setting(db, "seed")
            self.lease: float = setting(db, "lease")
            self.key: str = setting(db, "key", "")

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Look at a session.

        Args:
            path: its folder.

        Raises:
            InputError: there is no session, it is of another version, or damaged.
        """
        return cls(Store(Path(path), read_only=True))

    def close(self) -> None:
        """Leave it; every answer is on disk already."""
        self._store.close()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

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
            row = db.execute(
                "SELECT path, content_hash, known, class FROM items WHERE number = ?", (number,)
            ).fetchone()
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
            for item, rows in progress.votes(db, self.classes).items():
                start[item] = number.get(verdict(given for _, given in rows), UNLABELED)
        return np.array(list(start), dtype=np.str_), np.array(list(start.values()), dtype=np.int64)

    def history(self) -> tuple[Answer, ...]:
        """Every answer ever given, in the order of arrival."""
        with self._store.look() as db:
            return progress.history(db, self.classes)

    def credited(self) -> dict[str, int]:
        """Id -> the round that its answers are credited to, of every item with one."""
        with self._store.look() as db:
            return {item: progress.round_of(given) for item, given in progress.votes(db, self.classes).items()}

    def status(self) -> Status:
        """Where the session stands: what is labelled, held and unseen, and what each round has brought."""
        with self._store.look() as db:
            return progress.status(db, self.classes, self.costs)
