"""Labels and answers as tables: CSV, Parquet or JSON lines, by the ending of the file's name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goodgrain.annotate.answers import OOD, RESERVED, UNRESOLVED, check_text, verdict
from goodgrain.annotate.exchange import Given, Imported, new_file, problem_at, tell_all
from goodgrain.annotate.progress import name_of, round_of
from goodgrain.annotate.session import Session
from goodgrain.annotate.view import SessionView
from goodgrain.data.pool import OOD as OOD_LABEL
from goodgrain.data.pool import UNLABELED
from goodgrain.data.read.listing import ID_COLUMNS, check_column, find_column, plain_labels
from goodgrain.data.read.parquet import class_names, named_values, read_schema, read_table
from goodgrain.errors import GoodgrainError, InputError

Values = Callable[[str], Sequence[object]]  # of a column, by its name

_LABEL_COLUMNS = ("label", "class")
_LABELS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "path": pa.string(),
    "label": pa.string(),
    "source": pa.string(),
    "annotators": pa.list_(pa.string()),
    "round": pa.int64(),
    "time": pa.float64(),
}
_HISTORY: dict[str, pa.DataType] = {
    "number": pa.int64(),
    "id": pa.string(),
    "annotator": pa.string(),
    "answer": pa.string(),
    "round": pa.int64(),
    "query": pa.int64(),
    "time": pa.float64(),
    "undone": pa.bool_(),
}


def export_labels(session: SessionView, path: str | Path) -> None:
    """Write one row per item: what is known of it, from whom and since when.

    Text is written as it is, also where a spreadsheet would take it for a formula (it begins with =, +, - or @): ids
    have to come back as they were. Open a CSV file of ids that others chose as text, or write Parquet.

    Args:
        session: or a view of it.
        path: FILE.csv, FILE.parquet or FILE.jsonl, replaced where it is there. Columns: id; path; label (a class name,
            "__ood__", "__unsure__", "__skip__", "__unresolved__", or "" where nobody was asked); source ("known" from
            the start, "answer", or ""); annotators whose answers stand, a list (as JSON in CSV); round that paid for
            the first of them; time of the last, in seconds since 1970.

    Raises:
        InputError: another ending, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with Session.create(folder, ["a", "b"], ["cat"], budget=1, known={"b": OOD}) as session:
        ...     export_labels(session, folder / "labels.csv")
        >>> print((folder / "labels.csv").read_text())
        "id","path","label","source","annotators","round","time"
        "a","","","","[]","",""
        "b","","__ood__","known","[]","",""
        <BLANKLINE>
    """
    rows: dict[str, dict[str, Any]] = {}
    empty = {"source": "", "round": None, "time": None}
    given: dict[str, list[tuple[int, str]]] = {}
    with session._store.look() as db:
        for item, file, known, chosen in db.execute("SELECT id, path, known, class FROM items ORDER BY number"):
            label = "" if known is None else name_of(known, chosen, session.classes)
            rows[item] = {"id": item, "path": file, "label": label, "annotators": [], **empty}
            if label:
                rows[item]["source"] = "known"
        for item, annotator, kind, chosen, number, time in db.execute(
            "SELECT i.id, s.annotator, s.kind, s.class, s.round, s.time FROM standing s "
            "JOIN items i ON i.number = s.item ORDER BY s.item, s.number"
        ):
            answers = given.setdefault(item, [])
            answers.append((number, name_of(kind, chosen, session.classes)))
            row = rows[item]
            row["annotators"].append(annotator)
            label = verdict(answer for _, answer in answers)
            row.update(label=label, source="answer", round=round_of(answers), time=time)
    _write(path, _LABELS, list(rows.values()))


def export_history(session: SessionView, path: str | Path) -> None:
    """Write every answer ever given in the order of arrival, with the columns of `Answer`.

    Those that were taken back have `undone` true. Text is written as it is, as in `export_labels`.

    Args:
        session: or a view of it.
        path: FILE.csv, FILE.parquet or FILE.jsonl, replaced where it is there.

    Raises:
        InputError: another ending, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with Session.create(folder, ["a"], ["cat"], budget=1, clock=lambda: 5.0) as session:
        ...     _ = session.ask(1), session.tell("a", "cat"), session.undo()
        ...     export_history(session, folder / "history.jsonl")
        >>> row = json.loads((folder / "history.jsonl").read_text())
        >>> row["id"], row["answer"], row["time"], row["undone"]
        ('a', 'cat', 5.0, True)
    """
    _write(path, _HISTORY, [{name: getattr(answer, name) for name in _HISTORY} for answer in session.history()])


def import_labels(
    session: Session,
    path: str | Path,
    *,
    annotator: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    strict: bool = True,
) -> Imported:
    r"""Tell the labels of a table, all or none; only items that were asked for can be told.

    Labels that exist before a session does belong to the `known` of `Session.create`.

    Args:
        session: which asked for these items.
        path: FILE.csv, FILE.parquet or FILE.jsonl, as `export_labels` writes it or with any other columns.
        annotator: whose opinions these are. By default nobody's: what the session says already is not told again,
            and the rest is told as "import".
        id_column: of the ids; by default the first there is of id, index, file, filename, ...
        label_column: of class names, OOD, UNSURE and SKIP, or of integers as in a Pool: positions into the classes,
            -1 for no label, -2 for OOD. By default "label" or "class".
        strict: tell nothing if there is any problem; without it, the problems are left out and listed.

    Returns:
        How many labels were new, how many stood already, how many rows had none, and what was left out.

    Raises:
        InputError: no such file or column, or (strict) unknown ids or labels, ids that were never asked for, ids with
            two labels.
        DiskFull: no room; import the same again.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "labels.csv").write_text("id,label\na,cat\nb,\n")
        >>> with Session.create(folder, ["a", "b"], ["cat"], budget=2) as session:
        ...     _ = session.ask(2)
        ...     import_labels(session, folder / "labels.csv"), session.answers()
        (Imported(told=1, known=0, skipped=1, problems=()), {'a': 'cat'})
    """
    name = "import" if annotator is None else check_text("annotator", annotator, empty=True)
    ids, labels = id_and_label(Path(path), id_column, label_column)
    said = session.answers() if annotator is None else {}
    seen: dict[str, str] = {}
    given: list[Given] = []
    problems: list[str] = []
    known = skipped = 0
    for row, (key, value) in enumerate(zip(ids, labels, strict=True), start=1):
        try:
            label = as_label(value, session.classes)
            if label is None or label == UNRESOLVED:
                skipped += 1
                continue
            item = as_id(key)
            if seen.setdefault(item, label) != label:
                raise InputError(f"{item!r} is {label!r} here and {seen[item]!r} in an earlier row")
        except GoodgrainError as reason:
            problems.append(problem_at(f"row {row}", reason))
            continue
        if said.get(item) == label:
            known += 1
        else:
            given.append(Given(item, name, label, f"row {row}"))
    return tell_all(session, given, known=known, skipped=skipped, problems=problems, strict=strict)


def as_id(value: object) -> str:
    """An id as a table has it; numbers become text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"an id should be text or a whole number; {type(value).__name__} came")
    return check_text("an id", str(value))


def as_label(value: object, classes: Sequence[str]) -> str | None:
    """An answer by its name, or by a number as a Pool has it; None where there is no label."""
    if isinstance(value, bool | list | dict):
        raise InputError(f"a label should be a class name or a whole number; {type(value).__name__} came")
    if isinstance(value, str):
        if value in classes or value in RESERVED:
            return value
        value = value.strip()
    (label,) = plain_labels([value], "the label column")
    if label is None or label == UNLABELED:
        return None
    if label == OOD_LABEL:
        return OOD
    if isinstance(label, int) and all(name.isdecimal() for name in classes):  # 10 is the name then, not the place
        label = next((name for name in classes if int(name) == label), str(label))
    if isinstance(label, int) and 0 <= label < len(classes):
        return classes[label]
    if isinstance(label, int):
        raise InputError(f"label {label} should be 0..{len(classes) - 1}, {UNLABELED} (none) or {OOD_LABEL} (OOD)")
    return label


def id_and_label(
    path: Path, id_column: str | None = None, label_column: str | None = None
) -> tuple[Sequence[object], Sequence[object]]:
    """The two columns of a table that labels are read from."""
    columns, values = _READ[_ending(path)](path)
    found = {}
    for what, asked, usual in (("id", id_column, ID_COLUMNS), ("label", label_column, _LABEL_COLUMNS)):
        name = find_column(columns, usual) if asked is None else check_column(asked, columns, path.name)
        if name is None:
            raise InputError(
                f"{path.name} has no column of {what}s ({' or '.join(usual)}). Its columns are {', '.join(columns)}; "
                f"say which with {what}_column (label import --{what}-column), or call it {what!r}."
            )
        if columns.count(name) > 1:
            raise InputError(f"{path.name} has several columns {name!r}. Give each a name of its own.")
        found[what] = name
    if found["id"] == found["label"]:
        raise InputError(f"column {found['id']!r} of {path.name} cannot be both ids and labels. Name two columns.")
    return values(found["id"]), values(found["label"])


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in _READ:
        raise InputError(f"{path} is no table: a name that ends in {', '.join(_READ)} is needed.")
    return ending


def _write(path: str | Path, columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> None:
    ending = _ending(Path(path))
    with new_file(path) as part:
        if ending == ".parquet":
            pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(columns)), part)
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            if ending == ".jsonl":
                file.writelines(json.dumps({name: row[name] for name in columns}) + "\n" for row in rows)
                return
            table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # quotes keep the spaces of text
            table.writerow(columns)
            table.writerows([_cell(row[name]) for name in columns] for row in rows)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | bool) else value


def _read_csv(path: Path) -> tuple[list[str], Values]:
    """Unlike the tables of a dataset, text in quotes is kept to the last space: ids have to come back as they were."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise InputError(f"{path} cannot be read as a CSV file in UTF-8: {reason}.") from reason
    if not rows:
        raise InputError(f"{path} is empty: a line with column names and one line per label are needed.")
    columns = [name.strip() for name in rows[0]]

    def values(name: str) -> list[object]:
        place = columns.index(name)
        return [row[place] if place < len(row) else "" for row in rows[1:]]

    return columns, values


def _read_jsonl(path: Path) -> tuple[list[str], Values]:
    rows: list[dict[str, object]] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError(f"{path}, line {number}, should be an object; {type(row).__name__} came.")
                rows.append(row)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as reason:
        raise InputError(f"{path} cannot be read as JSON lines in UTF-8: {reason}.") from reason
    return list(dict.fromkeys(name for row in rows for name in row)), lambda name: [row.get(name) for row in rows]


def _read_parquet(path: Path) -> tuple[list[str], Values]:
    schema = read_schema(path)
    return schema.names, lambda name: named_values(
        read_table(path, [name]).column(0).to_pylist(), class_names(schema, name)
    )


_READ = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
