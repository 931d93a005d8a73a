"""Labels as tables: what is written, what is told, and that the way out and back changes nothing."""

import csv
import json
import math
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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
    SessionView,
    export_history,
    export_labels,
    import_labels,
)
from goodgrain.errors import GoodgrainError, InputError, UnknownName

ENDINGS = [".csv", ".parquet", ".jsonl"]
IDS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture
def session(tmp_path):
    """Time is the number of the answer, beginning with 1."""
    clock = iter(range(10_000))
    items = [Item(name, path=f"{name}.png") for name in IDS]
    with Session.create(
        tmp_path / "session", items, ["cat", "dog"], budget=100, known={"f": OOD}, clock=lambda: float(next(clock))
    ) as one:
        one.ask(5)
        yield one


def rows(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, table):
    """A table from elsewhere."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(table), path)
    else:
        lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        if path.suffix == ".jsonl":
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        else:
            with path.open("w", newline="") as file:
                out = csv.DictWriter(file, list(table))
                out.writeheader()
                out.writerows(lines)
    return path


class TestExport:
    @pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
    def test_one_row_per_item(self, session, tmp_path, ending):
        session.tell("a", "cat", annotator="ann")  # at 1
        session.tell("a", "dog", annotator="bob")  # at 2
        session.tell("a", "dog", annotator="eve")  # at 3
        session.tell("b", "cat")  # at 4
        session.tell("b", "dog", annotator="ann")  # at 5
        session.tell("c", SKIP, annotator="ann")  # at 6
        session.tell("d", "cat")
        session.undo()
        export_labels(session, tmp_path / f"labels{ending}")
        names = ["id", "path", "label", "source", "annotators", "round", "time"]
        assert [list(row.values()) for row in rows(tmp_path / f"labels{ending}")] == [
            ["a", "a.png", "dog", "answer", ["ann", "bob", "eve"], 0, 3.0],
            ["b", "b.png", "__unresolved__", "answer", ["", "ann"], 0, 5.0],
            ["c", "c.png", SKIP, "answer", ["ann"], 0, 6.0],
            ["d", "d.png", "", "", [], None, None],
            ["e", "e.png", "", "", [], None, None],
            ["f", "f.png", OOD, "known", [], None, None],
        ]
        assert list(rows(tmp_path / f"labels{ending}")[0]) == names

    def test_csv_is_the_same_in_text(self, session, tmp_path):
        session.tell("a", "cat", annotator='a "b"')
        export_labels(session, tmp_path / "labels.CSV")
        text = (tmp_path / "labels.CSV").read_bytes().decode().split("\r\n")
        assert text[:3] == [
            '"id","path","label","source","annotators","round","time"',
            '"a","a.png","cat","answer","[""a \\""b\\""""]",0,1.0',
            '"b","b.png","","","[]","",""',
        ]

    def test_the_round_is_that_of_the_first_answer_that_says_something(self, session, tmp_path):
        session.tell("a", SKIP, annotator="ann")
        session.close_round()
        session.propose(["a", "b"], [2, 1], strategy="any")
        session.ask(2)
        session.tell("b", "cat")
        session.tell("a", "cat")
        export_labels(session, tmp_path / "labels.jsonl")
        assert [row["round"] for row in rows(tmp_path / "labels.jsonl")] == [1, 1, None, None, None, None]
        first, second = session.status().rounds
        assert (first.spent, first.in_distribution, first.skipped) == (0.0, 0, 0), "what it paid for, it is credited"
        assert (second.in_distribution, session.credited()) == (2, {"a": 1, "b": 1})
        assert [row["label"] for row in rows(tmp_path / "labels.jsonl")[:2]] == ["cat", "cat"]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_labels_say_what_the_session_says(self, session, tmp_path, ending):
        """An oracle of another make: the public answers, items and labels."""
        for name, answer, who in [
            ("a", "cat", ""),
            ("b", OOD, "x"),
            ("b", "dog", "y"),
            ("c", UNSURE, ""),
            ("d", OOD, ""),
        ]:
            session.tell(name, answer, annotator=who)
        export_labels(session, tmp_path / f"labels{ending}")
        found = rows(tmp_path / f"labels{ending}")
        said = session.answers()
        assert [row["label"] for row in found] == [said.get(name, session.item(name).known or "") for name in IDS]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_history_has_everything(self, session, tmp_path, ending):
        session.tell("a", "cat", annotator="ann")
        session.tell("a", OOD, annotator="ann")
        session.undo("ann")
        session.tell("b", SKIP)
        with SessionView.open(tmp_path / "session") as view:
            export_history(view, tmp_path / f"history{ending}")
        found = rows(tmp_path / f"history{ending}")
        as_text = str if ending == ".csv" else (lambda value: value)
        true, false = ("true", "false") if ending == ".csv" else (True, False)
        columns = ["number", "id", "annotator", "answer", "round", "query", "time", "undone"]
        assert list(found[0]) == columns
        assert [list(row.values()) for row in found] == [
            [as_text(1), "a", "ann", "cat", as_text(0), as_text(1), as_text(1.0), false],
            [as_text(2), "a", "ann", OOD, as_text(0), as_text(1), as_text(2.0), true],
            [as_text(3), "b", "", SKIP, as_text(0), as_text(1), as_text(4.0), false],
        ]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_empty_history_has_its_columns(self, session, tmp_path, ending):
        export_history(session, tmp_path / f"history{ending}")
        assert rows(tmp_path / f"history{ending}") == []
        if ending == ".parquet":
            assert pq.read_schema(tmp_path / "history.parquet").names[:3] == ["number", "id", "annotator"]

    def test_formulas_stay_as_they_are(self, tmp_path):
        names = ["=1+1", "+1", "-1", "@a", "\tx", "\rx"]
        with Session.create(tmp_path / "s", names, ["cat"], budget=9) as session:
            export_labels(session, tmp_path / "labels.csv")
        assert [row["id"] for row in rows(tmp_path / "labels.csv")] == names

    def test_refusals(self, session, tmp_path):
        for name in ("labels.xlsx", "labels"):
            with pytest.raises(InputError, match=f"{name} is no table: a name that ends in .csv, .jsonl, .parquet is"):
                export_labels(session, tmp_path / name)
            with pytest.raises(InputError, match="is no table"):
                import_labels(session, tmp_path / name)
        with pytest.raises(InputError, match="labels.parquet cannot be written: .*No such file or directory"):
            export_labels(session, tmp_path / "nowhere" / "labels.parquet")


class TestImport:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_names_and_other_answers(self, session, tmp_path, ending):
        path = write(tmp_path / f"labels{ending}", {"id": IDS[:5], "label": ["cat", OOD, UNSURE, SKIP, ""]})
        assert import_labels(session, path) == Imported(told=4, known=0, skipped=1, problems=())
        assert session.answers() == {"a": "cat", "b": OOD, "c": UNSURE, "d": SKIP}
        assert {answer.annotator for answer in session.history()} == {"import"}
        assert import_labels(session, path) == Imported(told=0, known=4, skipped=1, problems=())

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_numbers_as_a_pool_has_them(self, session, tmp_path, ending):
        path = write(tmp_path / f"labels{ending}", {"image": IDS, "class": [1, 0, -2, -1, 1, -2]})
        assert import_labels(session, path) == Imported(told=4, known=1, skipped=1, problems=())
        assert session.labels()[1].tolist() == [1, 0, -2, -1, 1, -2]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_classes_that_are_numbers_are_names(self, tmp_path, ending):
        with Session.create(tmp_path / "s", ["7", "8"], ["10", "2", "03"], budget=9) as session:
            session.ask(2)
            path = write(tmp_path / f"labels{ending}", {"id": [7, 8], "label": [2, 3]})
            import_labels(session, path)
            assert session.answers() == {"7": "2", "8": "03"}
            with pytest.raises(InputError, match="row 1: no class '0'"):
                import_labels(session, write(path, {"id": [7], "label": [0]}))

    def test_class_names_in_the_schema_of_parquet(self, session, tmp_path):
        feature = {"info": {"features": {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}
        table = pa.table({"id": ["a", "b"], "label": [0, 1]}).replace_schema_metadata(
            {"huggingface": json.dumps(feature)}
        )
        pq.write_table(table, tmp_path / "labels.parquet")
        import_labels(session, tmp_path / "labels.parquet")
        assert session.answers() == {"a": "dog", "b": "cat"}

    def test_missing_values_are_no_labels(self, session, tmp_path):
        write(tmp_path / "labels.parquet", {"id": IDS[:3], "label": [1.0, math.nan, None]})
        assert import_labels(session, tmp_path / "labels.parquet") == Imported(1, 0, 2, ())
        (tmp_path / "labels.jsonl").write_text('{"id": "b"}\n\n{"id": "c", "label": NaN}\n{"id": "d", "label": null}')
        assert import_labels(session, tmp_path / "labels.jsonl", id_column="id", label_column="label").skipped == 3
        (tmp_path / "labels.csv").write_text("\ufeffpath, Label \nb\nc, \n\nd, dog\n")
        assert import_labels(session, tmp_path / "labels.csv") == Imported(1, 0, 2, ())
        assert session.answers() == {"a": "dog", "d": "dog"}

    def test_spaces_that_people_write_after_commas(self, session, tmp_path):
        (tmp_path / "labels.csv").write_text("label , id\ncat, a\n dog,  b\n")
        import_labels(session, tmp_path / "labels.csv")
        assert session.answers() == {"a": "cat", "b": "dog"}

    def test_nobodys_opinion_is_told_only_where_it_differs(self, session, tmp_path):
        """So that a session's own table, with one label changed, does not pay for every label again."""
        for name in IDS[:5]:
            session.tell(name, "cat", annotator="ann")
        export_labels(session, tmp_path / "labels.csv")
        assert import_labels(session, tmp_path / "labels.csv") == Imported(0, 6, 0, ())
        text = (tmp_path / "labels.csv").read_text().replace('"b.png","cat"', '"b.png","dog"')
        (tmp_path / "labels.csv").write_text(text)
        assert import_labels(session, tmp_path / "labels.csv") == Imported(1, 5, 0, ())
        assert (session.answers()["b"], session.spent) == (
            "__unresolved__",
            6,
        )  # ann and the table contradict each other
        assert import_labels(session, tmp_path / "labels.csv") == Imported(0, 6, 0, ())

    def test_somebodys_opinion_is_a_vote(self, session, tmp_path):
        session.tell("a", "cat", annotator="ann")
        path = write(tmp_path / "labels.csv", {"id": ["a"], "label": ["cat"]})
        assert import_labels(session, path, annotator="bob") == Imported(1, 0, 0, ())
        assert [answer.annotator for answer in session.history()] == ["ann", "bob"]
        write(path, {"id": ["a"], "label": ["dog"]})
        assert import_labels(session, path, annotator="ann").told == 1
        assert import_labels(session, path, annotator="bob").told == 1
        assert session.answers() == {"a": "dog"}

    def test_columns_by_name(self, session, tmp_path):
        path = write(tmp_path / "labels.csv", {"id": ["x"], "key": ["a"], "label": ["?"], "truth": ["cat"]})
        assert import_labels(session, path, id_column="key", label_column="truth").told == 1


PROBLEMS = [
    ({"id": ["b", "a"], "label": ["cat", "dgo"]}, "row 2: no class 'dgo'. Did you mean 'dog'?"),
    ({"id": ["b", "a"], "label": [0, 2]}, "row 2: label 2 should be 0..1, -1 (none) or -2 (OOD)"),
    ({"id": ["b", "a"], "label": [0, -3]}, "row 2: label -3 should be 0..1"),
    ({"id": ["b", "z"], "label": ["cat", "cat"]}, "row 2: no item 'z' in this session"),
    ({"id": ["b", "a "], "label": ["cat", "cat"]}, "row 2: no item 'a ' in this session"),
    ({"id": ["b", ""], "label": ["cat", "cat"]}, "row 2: an id should be a string that is not blank; '' came"),
    (
        {"id": ["b", "f"], "label": ["cat", "cat"]},
        "row 2: item 'f' was known to be '__ood__' from the start and is not",
    ),
    ({"id": ["b", "b"], "label": ["cat", "dog"]}, "row 2: 'b' is 'dog' here and 'cat' in an earlier row"),
]


class TestRefusals:
    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize(("table", "sentence"), PROBLEMS, ids=range(len(PROBLEMS)))
    def test_one_problem_and_nothing_is_told(self, session, tmp_path, ending, table, sentence):
        path = write(tmp_path / f"labels{ending}", table)
        with pytest.raises(InputError) as refusal:
            import_labels(session, path)
        assert "of 2 answers cannot be taken, so none was told: row 2" in str(refusal.value)
        assert sentence in str(refusal.value)
        assert session.history() == ()
        imported = import_labels(session, path, strict=False)
        assert (imported.told, len(imported.problems)) == (1, 1)
        assert sentence in imported.problems[0]
        assert session.answers() == {"b": "cat"}

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ({"id": 1.5, "label": "cat"}, "an id should be text or a whole number; float came"),
            ({"id": True, "label": "cat"}, "an id should be text or a whole number; bool came"),
            ({"label": "cat"}, "an id should be text or a whole number; NoneType came"),
            ({"id": "a", "label": True}, "a label should be a class name or a whole number; bool came"),
            ({"id": "a", "label": ["cat"]}, "a label should be a class name or a whole number; list came"),
            ({"id": "a", "label": 0.5}, "the label column holds 0.5; a label should be a class name or a whole number"),
            ({"id": "a\0", "label": "cat"}, "is no text that can be stored as UTF-8"),
        ],
    )
    def test_values_of_other_kinds(self, session, tmp_path, row, sentence):
        (tmp_path / "labels.jsonl").write_text(f'{{"id": "b", "label": ""}}\n{json.dumps(row)}')
        with pytest.raises(InputError, match="row 2: ") as refusal:
            import_labels(session, tmp_path / "labels.jsonl")
        assert sentence in str(refusal.value)

    def test_ids_never_asked_for_are_named(self, tmp_path):
        with Session.create(tmp_path / "s", ["a", "b"], ["cat"], budget=9) as session:
            path = write(tmp_path / "labels.csv", {"id": ["a", "b"], "label": ["cat", "cat"]})
            with pytest.raises(
                InputError, match="row 1: item 'a' was never asked for; row 2: item 'b' was never asked"
            ):
                import_labels(session, path)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_columns_that_cannot_be_told(self, session, tmp_path, ending):
        path = write(tmp_path / f"labels{ending}", {"id": ["a"], "truth": ["cat"]})
        with pytest.raises(InputError, match=r"no column of labels \(label or class\). Its columns are id, truth; say"):
            import_labels(session, path)
        with pytest.raises(InputError, match="has no column 'lable'. Its columns are id, truth"):
            import_labels(session, path, label_column="lable")
        with pytest.raises(InputError, match="column 'id' of labels.* cannot be both ids and labels. Name two"):
            import_labels(session, path, label_column="id")
        with pytest.raises(InputError, match="no column of ids .* say which with id_column"):
            import_labels(session, write(path, {"name": ["a"], "label": ["cat"]}))

    def test_files_that_are_none(self, session, tmp_path):
        for ending in ENDINGS:
            with pytest.raises(InputError, match=f"labels{ending} cannot be read as"):
                import_labels(session, tmp_path / f"labels{ending}")
            (tmp_path / f"labels{ending}").write_bytes(b"\xff\xfe\x00")
            with pytest.raises(InputError, match=f"labels{ending} cannot be read as"):
                import_labels(session, tmp_path / f"labels{ending}")
        (tmp_path / "labels.csv").write_text("")
        with pytest.raises(InputError, match="labels.csv is empty: a line with column names"):
            import_labels(session, tmp_path / "labels.csv")
        (tmp_path / "labels.csv").write_text("id,label,label\na,cat,dog\n")
        with pytest.raises(InputError, match="labels.csv has several columns 'label'. Give each a name of its own"):
            import_labels(session, tmp_path / "labels.csv")
        (tmp_path / "labels.jsonl").write_text('{"id": "a", "label": "cat"}\n[1]')
        with pytest.raises(InputError, match="labels.jsonl, line 2, should be an object; list came"):
            import_labels(session, tmp_path / "labels.jsonl")
        (tmp_path / "labels.jsonl").write_text("[" * 100_000)
        with pytest.raises(InputError, match="labels.jsonl cannot be read as JSON lines"):
            import_labels(session, tmp_path / "labels.jsonl")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
NASTY = st.sampled_from(
    [" a", "a ", "a", '"', "a,b", "a\r\nb", "\rx", "\ufeffa", "=1", "-1", "7", "nan", "a\u2028b", "a\x85b"]
)
NAMES = st.lists(TEXT | NASTY, min_size=1, max_size=6, unique=True)
CLASSES = NAMES.filter(lambda names: not any(name.strip().casefold().startswith("__") for name in names))


@settings(max_examples=60, deadline=None)
@given(ids=NAMES, classes=CLASSES, data=st.data(), ending=st.sampled_from(ENDINGS))
def test_there_and_back_gives_the_same_labels(ids, classes, data, ending):
    answers = st.sampled_from([*classes, OOD, UNSURE, SKIP])
    known = data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from([*classes, OOD]), max_size=1))
    given = data.draw(
        st.lists(st.tuples(st.sampled_from(ids), answers, st.sampled_from(["", "ann", "bob"])), max_size=8)
    )
    with tempfile.TemporaryDirectory() as folder:
        first = Session.create(f"{folder}/1", ids, classes, budget=100, known=known)
        second = Session.create(f"{folder}/2", ids, classes, budget=100, known=known)
        with first, second:
            for session in (first, second):
                session._store._connection.execute("PRAGMA synchronous = OFF")  # power cuts are no subject here
            first.ask(6)
            second.ask(6)
            for name, answer, who in given:
                if name not in known:
                    first.tell(name, answer, annotator=who)
            export_labels(first, f"{folder}/labels{ending}")
            imported = import_labels(second, f"{folder}/labels{ending}")
            said = {name: answer for name, answer in first.answers().items() if answer != "__unresolved__"}
            assert second.answers() == said
            assert [each.tolist() for each in second.labels()] == [each.tolist() for each in first.labels()]
            assert imported == Imported(len(said), len(known), len(ids) - len(said) - len(known), ())
            again = import_labels(first, f"{folder}/labels{ending}")
            assert (again.told, again.problems) == (0, ())


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["a", "b", "cat", OOD])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
LINES = st.dictionaries(st.sampled_from(["id", "label"]) | st.text(), VALUES, max_size=4)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(LINES | VALUES, max_size=4), strict=st.booleans())
def test_any_json_lines_are_told_or_refused_in_a_sentence(session, tmp_path, lines, strict):
    path = Path(tmp_path, "labels.jsonl")
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    before = session.history()
    try:
        import_labels(session, path, strict=strict)
    except GoodgrainError as reason:
        assert type(reason) in (InputError, UnknownName)  # noqa: PT017
        assert session.history() == before
        return
    assert import_labels(session, path, strict=strict).told == 0


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary() | st.text().map(lambda text: f"id,label\n{text}".encode()), ending=st.sampled_from(ENDINGS))
def test_any_bytes_are_told_or_refused_in_a_sentence(session, tmp_path, content, ending):
    path = Path(tmp_path, f"labels{ending}")
    path.write_bytes(content)
    try:
        import_labels(session, path)
    except GoodgrainError as reason:
        assert type(reason) in (InputError, UnknownName)  # noqa: PT017
