"""Label Studio as a place where a session's questions are answered: its tasks, its page, its exports."""

from __future__ import annotations

import json
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from goodgrain.annotate import rounds
from goodgrain.annotate.answers import OOD, SKIP, UNSURE, check_answer, check_classes, check_text
from goodgrain.annotate.exchange import Given, Imported, new_file, problem_at, tell_all
from goodgrain.annotate.label_studio_json import CHOICE, annotator_of, answer_of, open_task, read_tasks, time_of
from goodgrain.annotate.records import Item, Query
from goodgrain.annotate.session import Session
from goodgrain.errors import InputError

QUEUE: Final = "label-studio"
MODEL_VERSION: Final = "goodgrain"  # always the same: Label Studio orders tasks by the version that a project chose

_SHOWN = {OOD: "none of these", UNSURE: "unsure"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def export_tasks(
    session: Session,
    path: str | Path,
    n: int,
    *,
    image_url: str | Callable[[Item], str],
    queue: str = QUEUE,
    guesses: Mapping[str, Mapping[str, float]] | None = None,
) -> Query:
    """Hand out the next ids of the open round, and write them as tasks for Label Studio.

    They are asked for in the name of `queue`, so that nobody else is asked for them until the session's `lease` runs
    out: make the session with a lease as long as Label Studio keeps its tasks. What was exported before and is neither
    answered nor skipped comes again, first. A task's score is its rank / n, as "Uncertainty sampling" begins with the
    lowest.

    Args:
        session: with an open round, or none yet.
        path: a JSON file, replaced where it is there.
        n: how many tasks at most.
        image_url: where Label Studio finds an image: what stands before the path of an item ("https://host/images/",
            "/data/local-files/?d="; the path is quoted), or a function of the item.
        queue: the annotator who holds the items meanwhile.
        guesses: id -> answer -> confidence in [0, 1]; the surest answer is chosen already when the page opens.

    Returns:
        The query: what was handed out, and why there may be fewer than n.

    Raises:
        InputError: the last round is closed, an item has neither path nor URL, a confidence is out of [0, 1], or the
            file cannot be written. What was handed out then comes again with the next call.
        UnknownName: a guess is none of the classes.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> items = [Item("a", "cats/a 1.png"), Item("b", "b.png")]
        >>> with Session.create(folder, items, ["cat", "dog"], budget=1, lease=7 * 86400) as session:
        ...     export_tasks(session, folder / "tasks.json", 5, image_url="https://host/").ids
        ('a',)
        >>> json.loads((folder / "tasks.json").read_text())[0]["data"]
        {'image': 'https://host/cats/a%201.png', 'uid': 'a', 'round': 0}
    """
    check_text("queue", queue)
    if not callable(image_url):
        _url(session.item(str(session.labels()[0][0])), image_url)  # before anything is handed out
    query = session.ask(n, annotator=queue)
    tasks = []
    for rank, name in enumerate(query.ids):
        prediction = {
            "model_version": MODEL_VERSION,
            "score": rank / len(query.ids),
            "result": _prediction(name, (guesses or {}).get(name, {}), session.classes),
        }
        data = {"image": _url(session.item(name), image_url), "uid": name, "round": query.round}
        tasks.append({"data": data, "predictions": [prediction]})
    with new_file(path) as part:
        part.write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    return query


def labeling_config(classes: Sequence[str]) -> str:
    """The labelling interface of a project: an image, and one choice among the classes, "none of these" and "unsure".

    Args:
        classes: their names; whatever stands in them is text.

    Returns:
        XML for the project's settings. Answers come back as class names, OOD and UNSURE; Label Studio's own button
        "Skip" is SKIP.

    Raises:
        InputError: a name comes twice, is an answer of its own, or has a control character, which XML cannot hold.

    Example:
        >>> print(labeling_config(["cat", 'a "big" <dog>']))
        <View>
          <Image name="image" value="$image"/>
          <Choices name="choice" toName="image" choice="single" required="true">
            <Choice value="cat"/>
            <Choice value='a "big" &lt;dog&gt;'/>
            <Choice value="none of these" alias="__ood__"/>
            <Choice value="unsure" alias="__unsure__"/>
          </Choices>
        </View>
    """
    names = check_classes(classes)
    unfit = next((name for name in names if _NOT_XML.search(name)), None)
    if unfit is not None:
        raise InputError(f"the class {unfit!r} has a character that XML cannot hold. Give the class another name.")
    lines = [
        "<View>",
        '  <Image name="image" value="$image"/>',
        f'  <Choices name="{CHOICE}" toName="image" choice="single" required="true">',
        *(_choice(name.replace("$", "\uff04"), name) for name in names),  # "$word" would be replaced by data
        *(_choice(name if shown in names else shown, name) for name, shown in _SHOWN.items()),
        "  </Choices>",
        "</View>",
    ]
    return "\n".join(lines)


def import_annotations(
    session: Session,
    source: str | Path | Sequence[object],
    *,
    annotator: str | None = None,
    queue: str = QUEUE,
    strict: bool = True,
) -> Imported:
    """Tell the answers of a Label Studio export (JSON or JSON-MIN), all or none.

    Tasks are known by `data.uid`, so that tasks imported twice are one. Of each annotator and item the annotation with
    the latest `updated_at` counts; a skipped one is SKIP, and what everyone skipped is not exported to this queue
    again. Importing the same file once more changes nothing; several exports are imported in the order they were made.

    Args:
        session: which asked for these items.
        source: the file, or its tasks as a list.
        annotator: who answers; by default f"{queue}:{completed_by}", the number of a user of Label Studio (or the
            e-mail address where there is no number), and the queue itself where nothing is said.
        queue: as in `export_tasks`.
        strict: tell nothing if there is any problem; without it, the problems are left out and listed.

    Returns:
        How many answers were new, how many stood already, how many tasks had none, and what was left out.

    Raises:
        InputError: no such file, no list of tasks, or (strict) tasks without uid, annotations without a choice or with
            several, unknown labels, ids that were never asked for.
        DiskFull: no room; import the same again.

    Example:
        >>> import tempfile
        >>> with Session.create(tempfile.mkdtemp(), ["a"], ["cat"], budget=1) as session:
        ...     _ = session.ask(1, annotator="label-studio")
        ...     result = [{"from_name": "choice", "type": "choices", "value": {"choices": ["cat"]}}]
        ...     done = {"data": {"uid": "a"}, "annotations": [{"completed_by": 7, "result": result}]}
        ...     import_annotations(session, [done]), session.history()[0].annotator
        (Imported(told=1, known=0, skipped=0, problems=()), 'label-studio:7')
    """
    holder = check_text("queue", queue)
    name = None if annotator is None else check_text("annotator", annotator, empty=True)
    timed: list[tuple[float, Given]] = []
    problems: list[str] = []
    skipped = 0
    for place, task in enumerate(read_tasks(source), start=1):
        where = f"task {place}"
        try:
            uid, annotations = open_task(task)
        except InputError as reason:
            problems.append(problem_at(where, reason))
            continue
        skipped += not annotations
        for record in annotations:
            try:
                given = Given(uid, annotator_of(record, holder) if name is None else name, answer_of(record), where)
                timed.append((time_of(record), given))
            except InputError as reason:
                problems.append(problem_at(f"{where} ({uid!r})", reason))
    in_time = [given for _, given in sorted(timed, key=lambda pair: pair[0])]
    latest = {(given.id, given.annotator): given for given in in_time}
    imported = tell_all(session, list(latest.values()), skipped=skipped, problems=problems, strict=strict)
    _give_back(session, [given.id for given in latest.values() if given.answer == SKIP], holder)
    return imported


def _prediction(name: str, guess: Mapping[str, float], classes: Sequence[str]) -> list[dict[str, Any]]:
    """What is chosen already, as Label Studio writes it; nothing without a guess."""
    for answer, given in guess.items():
        check_answer(answer, classes, among=(OOD, UNSURE))
        confidence: Any = given  # NumPy's numbers are no float
        if not isinstance(confidence, numbers.Real) or not 0 <= float(confidence) <= 1:
            raise InputError(f"the guess of {name!r} for {answer!r} should be in [0, 1]; {confidence!r} came.")
    if not guess:
        return []
    best = max(guess, key=guess.__getitem__)
    value = {"choices": [best]}
    made = {"from_name": CHOICE, "to_name": "image", "type": "choices", "value": value, "score": float(guess[best])}
    return [made]


def _url(item: Item, image_url: str | Callable[[Item], str]) -> str:
    if callable(image_url):
        return check_text(f"image_url of {item.id!r}", image_url(item))
    if not item.path:
        raise InputError(
            f"Label Studio finds images by their address, and item {item.id!r} has no path, as its data is no folder "
            "of images. Give image_url as a function of the item, or have them labelled on the page (label serve)."
        )
    return check_text("image_url", image_url, empty=True) + quote(item.path)


def _choice(shown: str, name: str) -> str:
    """A choice whose answer is the name; an alias is written where it differs only, as "true" could not be one."""
    alias = "" if shown == name else f" alias={quoteattr(name)}"
    return f"    <Choice value={quoteattr(shown)}{alias}/>"


def _give_back(session: Session, skipped: Sequence[str], queue: str) -> None:
    """Skip in the name of the queue what it still holds: it would be exported first for ever, to those who skipped."""
    with session._store.look() as db:
        held = set(rounds.ids_of(db, (item for item, _ in rounds.held_by(db, queue))))
    for name in skipped:
        if name in held:
            session.tell(name, SKIP, annotator=queue)
