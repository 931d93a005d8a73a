"""Labels that exist before a labelling run does: a table of them, or those that the data itself has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from goodgrain.annotate import OOD as OOD_ANSWER
from goodgrain.annotate import SKIP, UNRESOLVED, UNSURE, SessionView
from goodgrain.annotate.exchange import problem_at
from goodgrain.annotate.records import item_rows
from goodgrain.annotate.tables import as_id, as_label, id_and_label
from goodgrain.data.pool import OOD
from goodgrain.errors import InputError

Known = Mapping[str, str] | str | Path | None
"""Labels that exist already: id -> class or OOD, a file of them, "data", or none."""

OWN = "data"


def known_of(known: Known, *, ids: Sequence[str], classes: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """Id -> class or OOD, of every image whose label is known from the start.

    Args:
        known: what was given.
        ids: all images.
        classes: c names.
        own: id -> the label that the data itself has.

    Raises:
        InputError: a file without such labels, or labels of images that are not there.
        UnknownName: a label that is none of the classes.
    """
    if known is None:
        start = {}
    elif known == OWN:
        start = {name: told if told in classes else OOD_ANSWER for name, told in own.items()}
        if not start:
            raise InputError("the data labels none of its images. Give a file of known labels, or leave known out.")
    else:
        start = dict(known) if isinstance(known, Mapping) else read_known(known, classes)
    item_rows(ids, classes, start)  # what a session would refuse leaves no folder behind
    return start


def read_known(path: str | Path, classes: Sequence[str] = ()) -> dict[str, str]:
    """Id -> class or OOD, of a table of labels; rows without either are left out.

    Args:
        path: FILE.csv, FILE.parquet or FILE.jsonl with columns such as id and label, as `export_labels` writes it too.
        classes: what integers count; without them, an integer is a name.

    Raises:
        InputError: no such file or column, an id or a label that is none, ids with two labels, or no label at all.
    """
    known: dict[str, str] = {}
    for row, (key, value) in enumerate(zip(*id_and_label(Path(path)), strict=True), start=1):
        try:
            label = as_label(value, classes)
            if label is None or label in (UNSURE, SKIP, UNRESOLVED):
                continue
            name = as_id(key)
            if known.setdefault(name, label) != label:
                raise InputError(f"{name!r} is {label!r} here and {known[name]!r} in an earlier row")
        except InputError as reason:
            raise InputError(f"{problem_at(f'{path}, row {row}', reason)}. Repair the table.") from reason
    if not known:
        raise InputError(f"{path} holds no labels. Fill its column of labels, or leave the file out.")
    return known


def check_known(session: SessionView, now: Mapping[str, str]) -> None:
    """Refuse known labels that changed since a run was begun: its session would leave them aside.

    Args:
        session: of the run.
        now: id -> class or OOD.

    Raises:
        InputError: there are more or fewer of them, or one is another.
    """
    ids, labels = session.labels()
    place = {name: row for row, name in enumerate(ids.tolist())}
    then = session.status().known
    number = {name: j for j, name in enumerate(session.classes)} | {OOD_ANSWER: OOD}
    differ = sum(labels[place[name]] != number[label] for name, label in now.items())
    if differ or then != len(now):
        raise InputError(
            f"the known labels are not those that this run was begun with: {then:,} of them then, {len(now):,} now. "
            "Bring them back, or begin a new run with all labels; answers to images that this one asked for come in "
            "with import."
        )
