"""Answers of models in alpaca_eval's JSON: read, matched, written, and refused with a sentence."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.alpaca_eval import (
    Annotation,
    ModelOutput,
    match_outputs,
    outputs_fingerprint,
    read_outputs,
    read_questions,
    write_annotations,
    write_outputs,
)
from goodgrain.errors import InputError, UnknownName

ROWS = [
    {"instruction": "Name a prime.", "output": "7", "generator": "tiny", "dataset": "koala"},
    {"instruction": "Say nothing.", "output": "", "generator": "tiny", "dataset": "vicuna", "datasplit": "eval"},
]
READ = (ModelOutput("Name a prime.", "7", "tiny", "koala"), ModelOutput("Say nothing.", "", "tiny", "vicuna"))
TEXTS = st.text(alphabet=st.characters(codec=None))  # half surrogate pairs included


@pytest.fixture
def write(tmp_path):
    def put(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def test_json_jsonl_and_parquet_say_the_same(write, tmp_path):
    table = tmp_path / "rows.parquet"
    columns = {name: [row[name] for row in ROWS] for name in ("instruction", "output", "dataset")}
    pq.write_table(pa.table({**columns, "model": ["tiny", "tiny"]}), table)
    lines = write("rows.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n")
    for path in (write("rows.json", json.dumps(ROWS)), lines, table):
        assert read_outputs(path) == READ


def test_one_model_of_several(write):
    rows = [{**row, "generator": name} for name in ("b", "a") for row in ROWS]
    path = write("rows.json", json.dumps(rows))
    assert {row.generator for row in read_outputs(path, model="a")} == {"a"}
    with pytest.raises(InputError, match=re.escape("rows.json holds answers of 2 models. Name one of them: a, b.")):
        read_outputs(path)
    with pytest.raises(UnknownName, match=re.escape("rows.json 'tiny'. Known: a, b")):
        read_outputs(path, model="tiny")


def test_an_input_belongs_to_the_question(write):
    rows = [{"instruction": "Add.", "input": "2, 2", "output": "4"}, {"instruction": "Hi", "input": " ", "output": "x"}]
    assert [row.instruction for row in read_outputs(write("rows.json", json.dumps(rows)))] == ["Add.\n\n2, 2", "Hi"]


def test_questions_come_once_in_their_order(write):
    rows = [{"instruction": text, "dataset": "koala"} for text in ("b", "a", "b", "c", "a")]
    found = read_questions(write("rows.json", json.dumps(rows)))
    assert found == tuple(ModelOutput(text, "", "", "koala") for text in ("b", "a", "c"))


@given(st.lists(st.builds(ModelOutput, TEXTS.filter(str.strip), TEXTS, st.just("tiny"), TEXTS), min_size=1))
def test_what_is_written_is_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    write_outputs(path, rows)
    assert read_outputs(path) == tuple(rows)


def test_annotations_in_the_form_of_alpaca_eval(tmp_path):
    path = tmp_path / "annotations.json"
    verdicts = [2, 1.5, 1, None]
    write_annotations(
        path, [Annotation("q", "base", "b", "mine", "m", "judge", p, "koala", ("[1]",)) for p in verdicts]
    )
    rows = json.loads(path.read_text())
    assert rows[0] == {
        "instruction": "q",
        "output_1": "base",
        "generator_1": "b",
        "output_2": "mine",
        "generator_2": "m",
        "annotator": "judge",
        "preference": 2,
        "dataset": "koala",
        "raw_completions": ["[1]"],
    }
    judged = [row["preference"] for row in rows if row["preference"] is not None]
    assert sum(p - 1 for p in judged) / len(judged) == 0.5  # how alpaca_eval gets its win rate: ties half


def outputs(*questions):
    return [ModelOutput(question, f"answer to {question}") for question in questions]


def test_matching_by_hand():
    found = match_outputs(outputs("a", "b", "c"), outputs("c", "x", "a"))
    assert [(one.instruction, other.instruction) for one, other in found.pairs] == [("a", "a"), ("c", "c")]
    assert (found.only_ours, found.only_theirs) == (("b",), ("x",))


@given(*2 * [st.sets(st.sampled_from("abcdefgh"), min_size=1).map(sorted)])
def test_every_question_is_matched_or_reported(ours, theirs):
    common = set(ours) & set(theirs)
    if not common:
        with pytest.raises(InputError, match="no question in common"):
            match_outputs(outputs(*ours), outputs(*theirs))
        return
    found = match_outputs(outputs(*ours), outputs(*theirs))
    assert {one.instruction for one, _ in found.pairs} == common
    assert sorted([*common, *found.only_ours]) == ours
    assert sorted([*common, *found.only_theirs]) == theirs


def test_matches_that_are_refused():
    with pytest.raises(InputError, match=re.escape("no question in common: 1 questions here, 2 there.")):
        match_outputs(outputs("a"), outputs("b", "c"))
    with pytest.raises(InputError, match="theirs answers a question twice: 'a'. Leave one answer."):
        match_outputs(outputs("a"), outputs("a", "a"))


def test_fingerprints_tell_answers_apart():
    rows = outputs("a", "b")
    assert outputs_fingerprint(rows) == outputs_fingerprint(tuple(rows))
    assert len({outputs_fingerprint(r) for r in (rows, rows[::-1], rows[:1], [*rows, ModelOutput("\ud800", "")])}) == 4


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.json", "{", "rows.json cannot be read: Expecting property name"),
        ("rows.json", b'["\xff"]', "rows.json cannot be read: 'utf-8' codec can't decode byte 0xff"),
        ("rows.json", "[" * 100_000, "rows.json cannot be read: maximum recursion depth"),
        ("rows.json", "{}", "should hold a list of at least one object with an instruction; it does not."),
        ("rows.json", "[]", "should hold a list of at least one object with an instruction; it does not."),
        ("rows.json", "[3]", "row 0 of"),
        ("rows.json", '[{"instruction": 3}]', "should have a text 'instruction'; 3 came."),
        ("rows.json", '[{"instruction": "a", "output": null}]', "should have a text 'output'; None came. Write \"\""),
        ("rows.json", '[{"instruction": " ", "output": "a"}]', "has an empty instruction. Leave it out."),
        ("rows.jsonl", '{"instruction": "a"\n', "rows.jsonl cannot be read: Expecting"),
        ("rows.parquet", "no table", "Parquet magic bytes not found in footer."),
    ],
)
def test_files_that_are_refused(write, name, content, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_outputs(write(name, content))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=re.escape("there is no file") + ".*none.json. Give JSON, JSONL or Parquet"):
        read_outputs(tmp_path / "none.json")


def test_the_real_outputs(real_data):
    path = real_data / "alpaca_eval_outputs.parquet"
    with pytest.raises(InputError, match="holds answers of 11 models"):
        read_outputs(path)
    ours, theirs = (read_outputs(path, model=name) for name in ("alpaca-7b", "text_davinci_001"))
    assert len(read_questions(path)) == 805
    found = match_outputs(ours, theirs)
    assert (len(found.pairs), len(found.only_ours), len(found.only_theirs)) == (803, 2, 0)
