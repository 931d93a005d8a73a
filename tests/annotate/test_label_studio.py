"""Label Studio: what it is given, and what of its exports is told."""

import json
import random
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodgrain.annotate import (
    OOD,
    SKIP,
    UNSURE,
    Imported,
    Item,
    Session,
    export_tasks,
    import_annotations,
    label_studio_json,
    labeling_config,
)
from goodgrain.errors import GoodgrainError, InputError, UnknownName

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def session(tmp_path):
    items = [Item(name, path=f"{name} #1.png") for name in IDS]
    with Session.create(tmp_path / "session", items, ["cat", "dog"], budget=100) as one:
        yield one


@pytest.fixture
def asked(session):
    session.propose(IDS, [4, 3, 2, 1], strategy="any")
    session.ask(4, annotator="label-studio")
    return session


def annotation(label, by=1, at="2026-01-01T00:00:00Z", **more):
    """As Label Studio writes it; None is a skip."""
    result = [] if label is None else [{"from_name": "choice", "type": "choices", "value": {"choices": [label]}}]
    return {"completed_by": by, "was_cancelled": label is None, "result": result, "updated_at": at, **more}


def task(uid, *annotations):
    return {"id": 17, "data": {"image": "x", "uid": uid}, "annotations": list(annotations), "predictions": []}


def told(session):
    return [(answer.id, answer.annotator, answer.answer) for answer in session.history()]


class TestTasks:
    def test_the_first_has_the_lowest_score(self, session, tmp_path):
        session.propose(IDS, [1, 4, 3, 2], strategy="any")
        query = export_tasks(session, tmp_path / "tasks.json", 4, image_url="https://host/?d=")
        tasks = json.loads((tmp_path / "tasks.json").read_text())
        assert query.ids == ("b", "c", "d", "a")
        assert [one["data"]["uid"] for one in tasks] == ["b", "c", "d", "a"]
        assert [one["predictions"][0]["score"] for one in tasks] == [0, 0.25, 0.5, 0.75]
        assert tasks[0] == {
            "data": {"image": "https://host/?d=b%20%231.png", "uid": "b", "round": 0},
            "predictions": [{"model_version": "goodgrain", "score": 0.0, "result": []}],
        }

    def test_the_surest_guess_is_chosen(self, session, tmp_path):
        session.propose(IDS, [4, 3, 2, 1], strategy="any")
        guesses = {"a": {"cat": 0.25, OOD: 0.5}, "b": {}, "z": {"bird": 7}}  # z is not asked for
        export_tasks(session, tmp_path / "tasks.json", 2, image_url=lambda item: f"u/{item.id}", guesses=guesses)
        first, second = json.loads((tmp_path / "tasks.json").read_text())
        assert (first["data"]["image"], second["predictions"][0]["result"]) == ("u/a", [])
        assert first["predictions"][0]["result"] == [
            {
                "from_name": "choice",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [OOD]},
                "score": 0.5,
            }
        ]

    def test_nobody_else_is_asked_for_them(self, session, tmp_path):
        mine = export_tasks(session, tmp_path / "tasks.json", 2, image_url="").ids
        assert not set(mine) & set(session.ask(4).ids)
        assert export_tasks(session, tmp_path / "tasks.json", 2, image_url="").ids == mine

    def test_when_nothing_is_left_the_file_is_an_empty_list(self, session, tmp_path):
        session.ask(4)
        assert export_tasks(session, tmp_path / "tasks.json", 2, image_url="").short_of == "items"
        assert json.loads((tmp_path / "tasks.json").read_text()) == []

    def test_what_could_not_be_written_comes_again(self, session, tmp_path):
        with pytest.raises(InputError, match="tasks.json cannot be written: No such file or directory. Name a file"):
            export_tasks(session, tmp_path / "nowhere" / "tasks.json", 2, image_url="")
        held = session.status().held
        assert export_tasks(session, tmp_path / "tasks.json", 2, image_url="").ids
        assert session.status().held == held == 2
        assert not list(tmp_path.glob(".*.part"))

    @pytest.mark.parametrize("confidence", [float("nan"), -0.1, 1.1, "high"])
    def test_a_guess_is_a_confidence(self, session, tmp_path, confidence):
        guesses = {key: {"cat": confidence} for key in IDS}
        with pytest.raises(InputError, match=r"the guess of '.' for 'cat' should be in \[0, 1\]"):
            export_tasks(session, tmp_path / "tasks.json", 1, image_url="", guesses=guesses)
        with pytest.raises(UnknownName, match="no class 'dgo'. Did you mean 'dog'"):
            export_tasks(session, tmp_path / "tasks.json", 1, image_url="", guesses={key: {"dgo": 1} for key in IDS})
        assert not (tmp_path / "tasks.json").exists()

    def test_an_image_needs_an_address(self, tmp_path):
        with Session.create(tmp_path / "s", ["a"], ["cat"], budget=1) as session:
            with pytest.raises(InputError, match="item 'a' has no path, as its data is no folder of images"):
                export_tasks(session, tmp_path / "tasks.json", 1, image_url="https://host/")
            assert session.status().held == 0, "what was refused was not handed out"
            with pytest.raises(InputError, match="image_url of 'a' should be a string that is not blank; None came"):
                export_tasks(session, tmp_path / "tasks.json", 1, image_url=lambda _: None)
            with pytest.raises(InputError, match="queue should be a string that is not blank"):
                export_tasks(session, tmp_path / "tasks.json", 1, image_url="x", queue=" ")


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1)


class TestConfig:
    @given(st.lists(NAMES.filter(str.strip), min_size=1, max_size=5, unique=True))
    def test_every_name_comes_back_as_it_is(self, names):
        try:
            text = labeling_config(names)
        except InputError as reason:
            assert "answer of its own" in str(reason)  # noqa: PT017
            return
        choices = ET.fromstring(text).findall("Choices/Choice")
        assert [one.get("alias", one.get("value")) for one in choices] == [*names, OOD, UNSURE]

    def test_names_are_text(self):
        nasty = ['"/><script>', "a & b", "it's", "two\nlines\t", "&lt;", "true", "$uid", "none of these"]
        choices = ET.fromstring(labeling_config(nasty)).findall("Choices/Choice")
        assert len(choices) == len(nasty) + 2
        shown = {one.get("alias", one.get("value")): one.get("value") for one in choices}
        assert [*shown] == [*nasty, OOD, UNSURE]
        assert "$" not in shown["$uid"]  # Label Studio would show the task's uid
        assert shown[OOD] == OOD  # "none of these" is a class here
        assert choices[5].attrib == {"value": "true"}  # an alias "true" would be no string there

    def test_choices_answer_the_image(self):
        root = ET.fromstring(labeling_config(["cat"]))
        assert root.find("Image").attrib == {"name": "image", "value": "$image"}
        choices = root.find("Choices").attrib
        assert (choices["name"], choices["toName"], choices["choice"]) == ("choice", "image", "single")

    def test_control_characters_are_refused(self):
        with pytest.raises(InputError, match=r"the class 'bell\\x07' has a character that XML cannot hold. Give"):
            labeling_config(["cat", "bell\x07"])


class TestImport:
    def test_who_said_what(self, asked):
        tasks = [
            task("a", annotation("cat", 7), annotation("dog", {"id": 9, "email": "x@y"})),
            task("b", annotation(OOD, {"email": "x@y"}), annotation(None, 7)),
            task("c", annotation(UNSURE, None)),
            task("d"),
        ]
        assert import_annotations(asked, tasks) == Imported(told=5, known=0, skipped=1, problems=())
        assert sorted(told(asked)) == [
            ("a", "label-studio:7", "cat"),
            ("a", "label-studio:9", "dog"),
            ("b", "label-studio:7", SKIP),
            ("b", "label-studio:x@y", OOD),
            ("c", "label-studio", UNSURE),
        ]
        assert asked.answers() == {"a": "__unresolved__", "b": OOD, "c": UNSURE}

    def test_the_same_file_again_changes_nothing(self, asked, tmp_path):
        tasks = [task("a", annotation("cat")), task("b", annotation(None)), task("a", annotation("cat"))]
        (tmp_path / "export.json").write_text(json.dumps(tasks))
        assert import_annotations(asked, tmp_path / "export.json") == Imported(2, 0, 0, ())
        before, status = asked.history(), asked.status()
        assert import_annotations(asked, str(tmp_path / "export.json")) == Imported(0, 2, 0, ())
        assert (asked.history(), asked.status()) == (before, status)

    def test_the_latest_of_each_annotator_counts(self, asked):
        tasks = [
            task("a", annotation("dog", at="2026-01-03T00:00:00+02:00"), annotation("cat", 2)),
            task("a", annotation("cat", at="2026-01-02T23:00:00.5Z"), annotation("dog", 2, at=None)),
            task("b", annotation("cat", at=None, created_at="2026-01-01"), annotation("dog", at=None)),
            task("c", annotation("cat", at=None), annotation("dog", at=None)),
        ]
        import_annotations(asked, tasks)
        assert sorted(told(asked)) == [
            ("a", "label-studio:1", "cat"),  # 23:00 UTC is after 22:00 UTC
            ("a", "label-studio:2", "cat"),  # no time is older than any
            ("b", "label-studio:1", "cat"),
            ("c", "label-studio:1", "dog"),  # without times, the last in the file
        ]

    def test_a_time_without_a_zone_is_utc(self, asked, monkeypatch):
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours ahead
        time.tzset()
        try:
            first, last = annotation("dog", at="2026-01-01T12:00:00Z"), annotation("cat", at="2026-01-01T13:00:00")
            import_annotations(asked, [task("a", last, first)])
        finally:
            monkeypatch.undo()
            time.tzset()
        assert asked.answers() == {"a": "cat"}

    @pytest.mark.parametrize("seed", range(20))
    def test_equals_a_search_for_the_latest(self, asked, seed):
        draw = random.Random(seed)
        seconds = draw.sample(range(10, 60), 30)
        rows = [(draw.choice(IDS), draw.randint(1, 2), draw.choice(["cat", "dog", OOD]), at) for at in seconds]
        tasks = [task(uid, annotation(label, by, f"2026-01-01T00:00:{at}Z")) for uid, by, label, at in rows]
        import_annotations(asked, tasks)
        expected = {
            (uid, f"label-studio:{by}", label)
            for uid, by, label, at in rows
            if not any(other[:2] == (uid, by) and other[3] > at for other in rows)
        }
        assert set(told(asked)) == expected
        assert len(told(asked)) == len(expected)

    def test_one_name_for_all(self, asked):
        import_annotations(
            asked, [task("a", annotation("cat", 1), annotation("dog", 2, "2026-02-01"))], annotator="ann"
        )
        assert told(asked) == [("a", "ann", "dog")]

    def test_a_later_export_corrects(self, asked):
        import_annotations(asked, [task("a", annotation("cat"))])
        assert import_annotations(asked, [task("a", annotation("dog", at="2026-01-02"))]) == Imported(1, 0, 0, ())
        assert (asked.answers(), asked.spent) == ({"a": "dog"}, 1)

    def test_choices_beside_ours_are_left_alone(self, asked):
        other = {"from_name": "blurred", "type": "choices", "value": {"choices": ["yes"]}}
        box = {"from_name": "box", "type": "rectanglelabels", "value": {"x": 1}}
        both = annotation("cat")
        both["result"] += [other, box]
        import_annotations(asked, [task("a", both)])
        own = annotation("dog")
        own["result"][0]["from_name"] = "their own config"
        import_annotations(asked, [task("b", own)])
        assert asked.answers() == {"a": "cat", "b": "dog"}

    def test_a_small_export(self, asked):
        rows = [
            {"image": "x", "uid": "a", "id": 1, "choice": "cat", "annotator": 3, "updated_at": "2026-01-01T00:00:00Z"},
            {"image": "x", "uid": "b", "id": 2, "choice": {"choices": [OOD]}, "annotator": "x@y"},
            {"image": "x", "uid": "c", "id": 3},
        ]
        assert import_annotations(asked, rows) == Imported(2, 0, 1, ())
        assert sorted(told(asked)) == [("a", "label-studio:3", "cat"), ("b", "label-studio:x@y", OOD)]

    def test_what_was_skipped_does_not_come_for_ever(self, session, tmp_path):
        """One person who skips all that is too hard still gets to the end, and the page is asked for the rest."""
        labelled = set()
        for _ in range(4):
            ids = export_tasks(session, tmp_path / "tasks.json", 2, image_url="").ids
            tasks = [task(uid, annotation(None if uid in "ab" else "cat")) for uid in ids]
            import_annotations(session, tasks)
            labelled |= set(ids)
        assert labelled == set(IDS)
        assert set(session.ask(4).ids) == {"a", "b"}

    def test_a_skip_takes_nothing_from_others(self, session):
        """Whoever holds the item by now keeps it, and keeps what they said."""
        ids = session.ask(2, annotator="label-studio").ids
        session.close_round()
        session.propose(ids, [2, 1], strategy="any")
        session.ask(2, annotator="ann")
        session.tell(ids[0], "cat", annotator="ann")
        import_annotations(session, [task(uid, annotation(None)) for uid in ids])
        assert session.ask(2, annotator="ann").ids == (ids[1],)
        assert [who for _, who, _ in told(session)] == ["ann", "label-studio:1", "label-studio:1"]

    def test_there_and_back_is_as_if_told_here(self, session, tmp_path):
        truth = {"a": "cat", "b": OOD, "c": "dog", "d": UNSURE}
        export_tasks(session, tmp_path / "tasks.json", 4, image_url="")
        tasks = json.loads((tmp_path / "tasks.json").read_text())
        export = [{**one, "annotations": [annotation(truth[one["data"]["uid"]])]} for one in tasks]
        import_annotations(session, export)
        with Session.create(tmp_path / "other", IDS, ["cat", "dog"], budget=100) as other:
            for name in other.ask(4).ids:
                other.tell(name, truth[name])
            assert session.answers() == other.answers()
            assert session.labels()[1].tolist() == other.labels()[1].tolist()


PROBLEMS = [
    (task("a", annotation("dgo")), "task 2: no class 'dgo'. Did you mean 'dog'? Known: __ood__"),
    (task("a", annotation(" cat")), "task 2: no class ' cat'. Did you mean 'cat'"),
    (task("a", annotation("__unresolved__")), "task 2: no class '__unresolved__'"),
    (task("z", annotation("cat")), "task 2: no item 'z' in this session"),
    (task("\ud800", annotation("cat")), "is no text that can be stored as UTF-8"),
    (task(5, annotation("cat")), "task 2: data.uid should be a string; int came"),
    (task(float("nan"), annotation("cat")), "task 2: data.uid should be a string; float came"),
    ({"data": {}, "annotations": []}, "there is no data.uid. Import tasks that export_tasks wrote"),
    ({"data": [], "annotations": []}, "task 2: data should be an object; list came"),
    ({"data": {"uid": "a"}, "annotations": {"x": 1}}, "task 2: annotations should be a list; dict came"),
    (task("a", 3), "task 2 ('a'): an annotation should be an object; int came"),
    ("a", "task 2: a task should be an object; str came"),
    (task("a", {**annotation("cat"), "result": []}), "task 2 ('a'): nothing was chosen"),
    (task("a", {**annotation("cat"), "result": {"x": 1}}), "result should be a list; dict came"),
    (task("a", {**annotation("cat"), "result": [1]}), "a result should be an object; int came"),
    (task("a", {**annotation("cat"), "result": [{"type": "choices"}]}), "a choice should be an object; NoneType came"),
    (task("a", annotation(["cat"])), "a choice should be a string; list came"),
    (task("a", {**annotation("cat"), "choice": {"choices": ["cat", "dog"]}}), "there should be one choice; 2 came"),
    (task("a", {**annotation("cat"), "was_cancelled": "false"}), "was_cancelled should be true or false; str came"),
    (task("a", annotation("cat", by=True)), "completed_by should be a number or an e-mail address; bool came"),
    (task("a", annotation("cat", by=" ")), "completed_by should be a string that is not blank; ' ' came"),
    (task("a", annotation("cat", at="yesterday")), "updated_at should be a time such as 2026-01-31T12:00:00Z"),
    (task("a", annotation("cat", at=5)), "updated_at should be a string; int came"),
]


class TestRefusals:
    @pytest.mark.parametrize(("bad", "sentence"), PROBLEMS, ids=range(len(PROBLEMS)))
    def test_one_problem_and_nothing_is_told(self, asked, bad, sentence):
        tasks = [task("b", annotation("cat")), bad]
        with pytest.raises(InputError) as refusal:
            import_annotations(asked, tasks)
        assert "1 of 2 answers cannot be taken, so none was told: task 2" in str(refusal.value)
        assert sentence in str(refusal.value)
        assert str(refusal.value).endswith(
            ". Repair these, or leave them out with strict=False (label import --no-strict)."
        )
        assert told(asked) == []
        imported = import_annotations(asked, tasks, strict=False)
        assert (imported.told, len(imported.problems)) == (1, 1)
        assert sentence in imported.problems[0]
        assert asked.answers() == {"b": "cat"}

    def test_ids_never_asked_for_are_named(self, session):
        one = session.ask(1).ids[0]
        others = [name for name in IDS if name != one]
        with pytest.raises(InputError) as refusal:
            import_annotations(session, [task(name, annotation("cat")) for name in IDS])
        for name in others:
            assert f"item {name!r} was never asked for" in str(refusal.value)
        assert import_annotations(session, [task(one, annotation("cat"))]).told == 1

    def test_a_skip_that_is_refused_gives_nothing_back(self, asked):
        tasks = [task("a", annotation(None)), task("z", annotation("cat"))]
        with pytest.raises(InputError, match="no item 'z'"):
            import_annotations(asked, tasks)
        assert (told(asked), asked.status().held) == ([], 4)

    def test_many_problems_are_counted_and_huge_ones_cut(self, asked):
        tasks = [task(f"{i}{'z' * 1000}", annotation("cat")) for i in range(9)]
        with pytest.raises(InputError, match=r"9 of 9 .*\.\.\.; and 4 more\. Repair") as refusal:
            import_annotations(asked, tasks)
        assert len(str(refusal.value)) < 2000

    def test_files_that_are_none(self, session, tmp_path, monkeypatch):
        path = tmp_path / "export.json"
        with pytest.raises(InputError, match="export.json cannot be read: No such file or directory. Give a JSON"):
            import_annotations(session, path)
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            import_annotations(session, tmp_path)
        for content in (b"", b"\xff\xfe\xff", b"[1,", b"[" * 100_000, b"[" + b"9" * 5000 + b"]"):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"export.json is no JSON \(.*\). Export the project as JSON"):
                import_annotations(session, path)
        path.write_text('{"tasks": []}')
        with pytest.raises(InputError, match="should be a list of tasks; dict came. Export the project as JSON"):
            import_annotations(session, path)
        monkeypatch.setattr(label_studio_json, "_MOST_BYTES", 5)
        with pytest.raises(InputError, match="export.json has more than the 5 bytes that are read. Export it in parts"):
            import_annotations(session, path)
        path.write_text("[]")
        assert import_annotations(session, path) == Imported(0, 0, 0, ())


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["a", "b", "cat", OOD, "choices"])
)
NAMED = "data uid annotations result value choices type from_name choice was_cancelled completed_by annotator id email"
KEYS = st.sampled_from([*NAMED.split(), "updated_at", "created_at"])
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner), max_leaves=20)
RESULTS = st.fixed_dictionaries(
    {"type": st.just("choices") | ANY, "value": st.fixed_dictionaries({"choices": st.lists(LEAVES) | ANY}) | ANY}
)
ANNOTATIONS = st.fixed_dictionaries(
    {"result": st.lists(RESULTS | ANY) | ANY},
    optional={
        "was_cancelled": st.booleans() | ANY,
        "completed_by": st.integers() | ANY,
        "updated_at": st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str) | ANY,
    },
)
TASKS = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"uid": st.sampled_from(["a", "b"]) | ANY}) | ANY},
    optional={"annotations": st.lists(ANNOTATIONS | ANY) | ANY},
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(export=st.lists(TASKS | ANY) | ANY, strict=st.booleans())
def test_any_json_is_told_or_refused_in_a_sentence(asked, tmp_path, export, strict):
    path = tmp_path / "export.json"
    path.write_text(json.dumps(export))
    before = asked.history()
    try:
        imported = import_annotations(asked, path, strict=strict)
    except GoodgrainError as reason:
        assert type(reason) in (InputError, UnknownName)  # noqa: PT017
        assert asked.history() == before
        return
    assert isinstance(export, list)
    assert not (strict and imported.problems)
    assert import_annotations(asked, path, strict=strict).told == 0


def test_any_nesting_is_refused_in_a_sentence(asked):
    """Values that came through the reader, but that Python could not write out again."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (task(deep), {"data": deep}, task("a", {**annotation("cat"), "was_cancelled": deep}), task("a", deep)):
        assert len(import_annotations(asked, [bad], strict=False).problems) in (0, 1)
    while deep:
        deep = deep.pop()
