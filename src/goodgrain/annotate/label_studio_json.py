"""What stands in an export of Label Studio, JSON or JSON-MIN; nothing in it is trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from goodgrain.annotate.answers import SKIP, check_text
from goodgrain.errors import InputError

CHOICE: Final = "choice"  # the tag that answers come from; in JSON-MIN a key

_MOST_BYTES = 1 << 30
_KINDS = {dict: "an object", list: "a list", str: "a string"}

T = TypeVar("T", dict[str, Any], list[Any], str)


def read_tasks(source: str | Path | Sequence[object]) -> Sequence[object]:
    """The tasks of a file, or those that came as a list.

    Raises:
        InputError: no such file, larger than 1 GiB, no JSON, or no list.
    """
    tasks = _read(Path(source)) if isinstance(source, str | Path) else source
    if not isinstance(tasks, Sequence) or isinstance(tasks, str | bytes):
        raise InputError(
            f"a Label Studio export should be a list of tasks; {type(tasks).__name__} came. "
            "Export the project as JSON or JSON-MIN."
        )
    return tasks


def open_task(task: object) -> tuple[str, list[Any]]:
    """A task's uid and annotations; a task of JSON-MIN has all of its one annotation beside the data."""
    record = _take(dict, task, "a task")
    minimal = "data" not in record
    data = record if minimal else _take(dict, record["data"], "data")
    if "uid" not in data:
        raise InputError("there is no data.uid. Import tasks that export_tasks wrote")
    uid = _take(str, data["uid"], "data.uid")
    if minimal:
        return uid, [record] if CHOICE in record else []
    return uid, _take(list, record.get("annotations") or [], "annotations")


def answer_of(record: object) -> str:
    """The one choice of an annotation, or SKIP."""
    annotation = _take(dict, record, "an annotation")
    cancelled = annotation.get("was_cancelled")
    if cancelled not in (True, False, None):
        raise InputError(f"was_cancelled should be true or false; {type(cancelled).__name__} came")
    if cancelled:
        return SKIP
    if CHOICE in annotation:
        chosen = annotation[CHOICE]
        values = [{"choices": [chosen]} if isinstance(chosen, str) else chosen]
    else:
        parts = [_take(dict, part, "a result") for part in _take(list, annotation.get("result") or [], "result")]
        choices = [part for part in parts if part.get("type") == "choices"]
        ours = [part for part in choices if part.get("from_name") == CHOICE]
        values = [part.get("value") for part in ours or choices]
    answers: list[Any] = []
    for value in values:
        answers += _take(list, _take(dict, value, "a choice").get("choices"), "choices")
    if len(answers) != 1:
        raise InputError(f"there should be one choice; {len(answers)} came" if answers else "nothing was chosen")
    return _take(str, answers[0], "a choice")


def annotator_of(record: object, queue: str) -> str:
    """In whose name an annotation is told."""
    annotation = _take(dict, record, "an annotation")
    who = annotation.get("completed_by", annotation.get("annotator"))  # of JSON, of JSON-MIN
    if isinstance(who, dict):
        who = who.get("email") if who.get("id") is None else who["id"]
    if who is None:
        return queue
    if isinstance(who, bool) or not isinstance(who, int | str) or (isinstance(who, int) and abs(who) >= 2**63):
        raise InputError(f"completed_by should be a number or an e-mail address; {type(who).__name__} came")
    return f"{queue}:{check_text('completed_by', str(who))}"


def time_of(record: object) -> float:
    """Seconds since 1970 of the last change; what has no time is older than all that has."""
    annotation = _take(dict, record, "an annotation")
    stated = annotation.get("updated_at") or annotation.get("created_at")
    if stated is None:
        return -math.inf
    text = _take(str, stated, "updated_at")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as reason:
        raise InputError(f"updated_at should be a time such as 2026-01-31T12:00:00Z; {text!r} came") from reason
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read(path: Path) -> object:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as reason:
        raise InputError(f"{path} cannot be read: {reason.strerror}. Give a JSON export of Label Studio.") from reason
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} has more than the {_MOST_BYTES} bytes that are read. Export it in parts.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as reason:
        raise InputError(f"{path} is no JSON ({reason}). Export the project as JSON or JSON-MIN.") from reason


def _take(kind: type[T], value: object, what: str) -> T:
    if not isinstance(value, kind):
        raise InputError(f"{what} should be {_KINDS[kind]}; {type(value).__name__} came")
    return value
