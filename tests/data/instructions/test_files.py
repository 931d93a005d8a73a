"""Instruction sets in every layout and format: read by position, written back untouched."""

import json
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.instructions import read_instructions
from goodgrain.data.instructions.json_files import JsonFile
from goodgrain.errors import InputError

ROWS = [
    {"instruction": "Add.", "input": "2, 2", "output": "4", "score": 1, "tags": ["a", None], "deep": {"x": [1.5]}},
    {
        "instruction": "Näme ein Tier.",
        "input": "",
        "output": 'Ein „Dachs“ \\ " ]}',
        "score": 2,
        "tags": [],
        "deep": None,
    },
    {"instruction": "Say it.", "input": "", "output": "It.\nAgain.", "score": 3, "tags": ["{"], "deep": {"x": []}},
    {"instruction": "Say it.", "input": " ", "output": "It.  Again.", "score": 4, "tags": ["b"], "deep": {"x": [0.0]}},
]


def as_json(rows, path):
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def as_jsonl(rows, path):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def as_parquet(rows, path):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


def as_dataset(rows, path):
    datasets.Dataset.from_list(rows).save_to_disk(path)
    return path


WRITERS = {"json": as_json, "jsonl": as_jsonl, "parquet": as_parquet, "dataset": as_dataset}


@pytest.fixture(params=WRITERS)
def kind(request):
    return request.param


def raw(path):
    """All rows as Python values, by other means."""
    if path.is_dir():
        return datasets.load_from_disk(path).to_list()
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def test_rows_by_position_and_back_again(kind, tmp_path):
    data = read_instructions(WRITERS[kind](ROWS, tmp_path / f"set.{kind}"))
    assert (len(data), data.layout, data.problems) == (4, "alpaca", ())
    assert data.row(0) == ("Add.\n\n2, 2", "4")
    assert data.rows([2, 2]) == [data.row(2)] * 2
    assert data.rows([2, 1]) == [("Say it.", "It.\nAgain."), ("Näme ein Tier.", ROWS[1]["output"])]
    assert [row for _, block in data.blocks(3) for row in block] == data.rows(range(4))
    assert data.messages(0) == [{"role": "user", "content": "Add.\n\n2, 2"}, {"role": "assistant", "content": "4"}]
    assert data.column("score") == [1, 2, 3, 4]
    target = data.write([3, 0], tmp_path / f"kept{data.suffix}")
    assert raw(target) == [raw(data.path)[3], raw(data.path)[0]]
    again = read_instructions(target)
    assert again.ids.tolist() == [data.ids[2], data.ids[0]], "the copy is now alone, and has the first one's id"


def test_positions_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"positions should be 0..3; 4 is not."):
        read_instructions(as_json(ROWS, tmp_path / "set.json")).rows([0, 4])


def test_the_same_content_has_the_same_ids_in_every_format(tmp_path):
    sets = [read_instructions(write(ROWS, tmp_path / f"set.{kind}")) for kind, write in WRITERS.items()]
    assert len({one.fingerprint() for one in sets}) == 1
    assert len({tuple(one.ids) for one in sets}) == 1
    ids = sets[0].ids.tolist()
    assert len(set(ids)) == 4
    assert ids[3] == f"{ids[2]}-2", "spaces make no difference"


def test_a_parquet_of_many_groups_reads_as_in_order(tmp_path):
    rows = [{"prompt": f"p{i}", "response": f"r{i}"} for i in range(101)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet", row_group_size=7)
    data = read_instructions(tmp_path / "set.parquet")
    order = np.random.default_rng(0).permutation(101)
    assert data.rows(order) == [(f"p{i}", f"r{i}") for i in order]
    data.write(order, tmp_path / "all.parquet")
    assert raw(tmp_path / "all.parquet") == [rows[i] for i in order]


def test_lines_of_any_kind(tmp_path):
    path = tmp_path / "set.jsonl"
    good = json.dumps({"prompt": "p", "response": "r"}).encode()
    lines = [
        b"\xef\xbb\xbf" + good,
        b"",
        b"  \t",
        good[:-1],
        b'{"prompt": "\xff", "response": "r"}',
        b"[1]",
        good + b"\r",
    ]
    path.write_bytes(b"\n".join(lines))
    data = read_instructions(path)
    assert len(data) == 2
    assert [problem.row for problem in data.problems] == [1, 2, 3]
    told = [problem.reason for problem in data.problems]
    assert told[0].startswith("the row is no JSON: ")
    assert told[1] == "byte 12 of the row is not UTF-8."
    assert told[2] == "the row is no table but a list."


def test_what_is_empty_or_of_another_type_is_told(tmp_path):
    rows = [{"prompt": "p", "response": "r"}, {"prompt": "p", "response": " "}, {"prompt": None, "response": "r"}]
    rows += [{"prompt": "p", "response": 3}, {"prompt": "p"}, {"prompt": "\ud800", "response": "r"}]
    path = tmp_path / "set.json"
    path.write_text(json.dumps(rows))  # half a character can only be spelled out
    data = read_instructions(path)
    assert [(problem.row, problem.reason) for problem in data.problems] == [
        (1, "response is empty."),
        (2, "prompt should be text; nothing came."),
        (3, "response should be text; a value of type int came."),
        (4, "response should be text; nothing came."),
        (5, "a text of the row holds half a character (a lone surrogate)."),
    ]


def test_a_row_of_a_megabyte(tmp_path):
    rows = [{"prompt": "p" * 2**20, "response": '"]}{\\' * 1000}, {"prompt": "short", "response": "r"}]
    data = read_instructions(as_json(rows, tmp_path / "set.json"))
    assert data.row(0) == (rows[0]["prompt"], rows[0]["response"])
    assert data.row(1) == ("short", "r")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty."),
        (b" \n ", "is empty."),
        (b"instruction,output\na,b\n", "holds no JSON tables: it begins with b'i', not with '[' or '{'."),
        (b'[{"prompt": "p", "response": "r"}', "ends before its array does. Is it cut off?"),
        (b'[{"prompt": "p', "ends within a text that begins at byte 12."),
        (b"[]", "holds no rows."),
        (
            b'[{"prompt": "p"} {"prompt": "p"}]',
            "',' or ']' should stand on line 1 (byte 17); '{\"prompt\": \"p\"}]' came.",
        ),
        (b'[\n{"prompt": "p"},\n]\nx', "nothing more, as the array has ended, should stand on line 4"),
        (b'[,{"prompt": "p"}]', "is no JSON"),
        (b'{"prompt": "p", "response": "r"\n', "The first row, on line 1 (byte 0): the row is no JSON"),
        (b'{"prompt": "p", "response": ""}', "has no row that can be used. The first: response is empty."),
        (b'{"text": "p"}', "the data has no known layout."),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content, sentence, tmp_path):
    path = tmp_path / "set.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_instructions(path)
    assert sentence in str(error.value)


def test_a_file_that_is_not_there_and_folders_of_other_things(tmp_path):
    with pytest.raises(InputError, match="does not exist. Give a JSON, JSONL or Parquet file"):
        read_instructions(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="is no Hugging Face dataset on disk"):
        read_instructions(tmp_path)


def test_a_column_that_only_later_rows_have_is_read(tmp_path):
    rows = [{"instruction": f"Do {i}.", "output": "Done."} for i in range(300)]
    rows[250]["input"] = "to this"
    rows[260]["score"] = 5
    for kind in ("json", "jsonl"):
        data = read_instructions(WRITERS[kind](rows, tmp_path / f"set.{kind}"))
        assert data.row(250)[0] == "Do 250.\n\nto this"
        assert data.row(251)[0] == "Do 251."
        assert data.column("score") == [None] * 260 + [5] + [None] * 39


def test_another_column_stays_with_its_rows_or_says_which_it_cannot_read(tmp_path):
    schema = pa.schema([("prompt", pa.string()), ("response", pa.string()), ("note", pa.string())])
    text = pa.array(["p", "", "p", "p"])
    note = pa.StringArray.from_buffers(4, pa.array([0, 1, 2, 3, 4], pa.int32()).buffers()[1], pa.py_buffer(b"ab\xffd"))
    pq.write_table(pa.table([text, pa.array(["r"] * 4), note], schema), tmp_path / "set.parquet")
    data = read_instructions(tmp_path / "set.parquet")
    assert [problem.row for problem in data.problems] == [1], "the note is of no matter to the request"
    with pytest.raises(InputError, match=r"row 2 of note: a text of the row is not UTF-8."):
        data.column("note")


def test_a_file_that_changes_after_it_was_read_is_not_read_on(tmp_path):
    path = as_jsonl(ROWS, tmp_path / "set.jsonl")
    data = read_instructions(path)
    with path.open("a") as file:
        file.write("{}")
    for use in (lambda: data.row(0), lambda: data.write([0], tmp_path / "kept.jsonl")):
        with pytest.raises(InputError, match=r"set.jsonl has changed since it was read. Read it again."):
            use()


def test_nothing_of_the_users_own_is_overwritten(kind, tmp_path):
    path = WRITERS[kind](ROWS, tmp_path / f"set.{kind}")
    data = read_instructions(path)
    with pytest.raises(InputError, match="is where the data lies: writing there would lose the rows left out"):
        data.write([0], path)
    assert len(raw(path)) == 4
    if kind == "dataset":
        mine = tmp_path / "mine"
        data.write([0], mine)
        assert len(raw(data.write([0, 1], mine))) == 2, "a dataset may be replaced, as a file may"
        (mine / "thesis.txt").write_text("three years")
        with pytest.raises(
            InputError, match="mine holds other things than a Hugging Face dataset. Name another folder."
        ):
            data.write([0], mine)
        assert (mine / "thesis.txt").read_text() == "three years"


def test_a_dataset_of_several_splits_names_them(tmp_path):
    split = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "both")
    with pytest.raises(InputError, match=r"both holds several splits. Give the folder of one: test, train."):
        read_instructions(tmp_path / "both")
    assert len(read_instructions(tmp_path / "both" / "train")) == 4


def test_a_parquet_file_that_does_not_fit_unpacked_says_so(tmp_path):
    path = as_parquet([{"prompt": "p" * 1000, "response": "r"}] * 5000, tmp_path / "set.parquet")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from goodgrain.data.instructions import read_instructions\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "read_instructions(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "goodgrain.errors.DiskFull: there is no room to unpack" in done.stderr, done.stderr
    assert "in TMPDIR, or give JSONL." in done.stderr


def test_texts_stay_on_disk(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from goodgrain.data.instructions import read_instructions\n"
        "def held(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon'))\n"
        "read_instructions(sys.argv[1]); before = held()\n"
        "data = read_instructions(sys.argv[2])\n"
        "data.rows(np.random.default_rng(0).integers(0, len(data), 500))\n"
        "print(len(data), held() - before)"
    )
    rows = [{"prompt": f"{i} " + "words " * 400, "response": "r"} for i in range(80_000)]  # 190 MB
    few = as_parquet(rows[:4], tmp_path / "few.parquet")
    many = tmp_path / "many.parquet"
    pq.write_table(pa.Table.from_pylist(rows), many)
    done = subprocess.run(
        [sys.executable, "-c", code, str(few), str(many)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(done[0]) == 80_000
    assert int(done[1]) < 80_000, "kB: one row group of 190 MB is not held"


def test_own_ids(tmp_path):
    path = as_json(
        [{"id": 7, "prompt": "p", "response": "r"}, {"id": 8, "prompt": "p", "response": "r"}], tmp_path / "a"
    )
    assert read_instructions(path, id_column="id").ids.tolist() == ["7", "8"]
    with pytest.raises(InputError, match="there is no column 'name' in the data. Its columns: id, prompt, response."):
        read_instructions(path, id_column="name")
    as_json([{"id": 7, "prompt": "p", "response": "r"}, {"prompt": "p", "response": "r"}], path)
    assert [(one.row, one.reason) for one in read_instructions(path, id_column="id").problems] == [(1, "it has no id.")]
    as_json([{"id": 7, "prompt": "p", "response": "r"}] * 2, path)
    with pytest.raises(InputError, match="column 'id' names rows twice, such as 7"):
        read_instructions(path, id_column="id")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=4), values, max_size=4), min_size=1, max_size=6),
    indent=st.sampled_from([None, 1]),
)
def test_arrays_are_cut_as_a_parser_cuts_them(rows, indent, tmp_path_factory):
    path = tmp_path_factory.mktemp("array") / "set.json"
    path.write_text(
        json.dumps(rows, indent=indent, ensure_ascii=indent is None), encoding="utf-8", errors="surrogatepass"
    )
    if indent is not None and any(
        "\ud800" <= sign <= "\udfff" for sign in path.read_bytes().decode("utf-8", "surrogatepass")
    ):
        return  # no UTF-8
    file = JsonFile(path)
    assert file.take(np.arange(len(file)), ()) == rows
