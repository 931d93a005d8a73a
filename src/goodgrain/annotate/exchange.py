"""What every import and export of a session shares: answers are all checked before one is told, files appear whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goodgrain.annotate.answers import check_answer, check_text
from goodgrain.annotate.progress import name_of
from goodgrain.annotate.session import Session
from goodgrain.errors import GoodgrainError, InputError
from goodgrain.files import whole_file

_SHOWN = 5  # problems in one error
_LENGTH = 300  # characters of one problem: a value can be of any size


@dataclass(frozen=True)
class Imported:
    """What an import brought.

    Args:
        told: answers that were new to the session.
        known: answers that stood already.
        skipped: rows or tasks without any answer.
        problems: what was left out and why, a sentence each; there are none where `strict` was left on.
    """

    told: int
    known: int
    skipped: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """One answer as it was read: whose, of which item, and where it stood."""

    id: str
    annotator: str
    answer: str
    where: str


def tell_all(
    session: Session,
    given: Sequence[Given],
    *,
    known: int = 0,
    skipped: int = 0,
    problems: Sequence[str] = (),
    strict: bool = True,
) -> Imported:
    """Check all answers, then tell them in this order.

    Args:
        session: what is told.
        given: the answers, each annotator a string that can be stored.
        known: answers that are counted as known beside those that turn out to be.
        skipped: what held no answer.
        problems: what could not be read.
        strict: tell nothing if there is any problem.

    Raises:
        InputError: there are problems, and strict.
        DiskFull: no room; what was told before stands, so that the same import can be repeated.
    """
    with session._store.look() as db:
        found = [_judge(db, session.classes, one) for one in given]
    taken = [one for one, problem in zip(given, found, strict=True) if problem is None]
    left_out = [*problems, *(problem for problem in found if problem)]
    if left_out and strict:
        raise InputError(_refusal(left_out, len(given) + len(problems)))
    told = sum(session.tell(one.id, one.answer, annotator=one.annotator) for one in taken)
    known += len(given) - told - sum(bool(problem) for problem in found)
    return Imported(told, known, skipped, tuple(left_out))


def problem_at(where: str, reason: object) -> str:
    """One problem as it is listed."""
    sentence = f"{where}: {str(reason).rstrip('.')}"
    return sentence if len(sentence) <= _LENGTH else f"{sentence[:_LENGTH]}..."


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """A file that takes its name once it is whole, and replaces what had this name.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path)
    try:
        with whole_file(target) as part:
            yield part
    except OSError as reason:
        raise InputError(
            f"{target} cannot be written: {reason.strerror or reason}. Name a file in a folder of yours that has room."
        ) from reason


def _judge(db: sqlite3.Connection, classes: Sequence[str], one: Given) -> str | None:
    """None where the answer can be told, "" where the session knew it from the start, else the problem."""
    try:
        row = db.execute(
            "SELECT known, class, EXISTS (SELECT 1 FROM query_items WHERE item = items.number) FROM items WHERE id = ?",
            (check_text("an id", one.id),),
        ).fetchone()
        check_answer(one.answer, classes)
    except GoodgrainError as reason:
        return problem_at(one.where, reason)
    if row is None:
        return problem_at(one.where, f"no item {one.id!r} in this session")
    kind, number, asked = row
    if asked:
        return None
    if kind is None:
        return problem_at(one.where, f"item {one.id!r} was never asked for")
    start = name_of(kind, number, classes)
    if start == one.answer:
        return ""
    return problem_at(one.where, f"item {one.id!r} was known to be {start!r} from the start and is not asked for")


def _refusal(problems: Sequence[str], total: int) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return (
        f"{len(problems)} of {total} answers cannot be taken, so none was told: {'; '.join(problems[:_SHOWN])}{more}. "
        "Repair these, or leave them out with strict=False (label import --no-strict)."
    )
