import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goodgrain.errors import InputError
from goodgrain.pipelines.embed import embed


def lengths(texts):
    return [[len(text), text.count(" ")] for text in texts]


ROWS = [("a", "good grain", "x"), ("b", "chaff", "y"), ("c", "more grain", "x"), ("d", "bad", "y")]


def tables(folder):
    names = ("id", "text", "label")
    (folder / "t.csv").write_text("\n".join(",".join(row) for row in [names, *ROWS]))
    rows = [dict(zip(names, row, strict=True)) for row in ROWS]
    (folder / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return ["t.csv", "t.jsonl", "t.parquet"]


def test_texts_of_any_table(tmp_path):
    for name in tables(tmp_path):
        seen = embed(tmp_path / name, model=lengths, output=tmp_path / f"seen {name}", batch_size=3)
        assert seen.ids.tolist() == ["a", "b", "c", "d"]
        assert seen.labels.tolist() == [0, 1, 0, 1]
        assert seen.features.tolist() == [[10, 1], [5, 0], [10, 1], [3, 0]]
        assert seen.probabilities.shape == (4, 2)


def test_texts_without_labels_and_labels_from_elsewhere(tmp_path):
    (tmp_path / "t.csv").write_text("say\ngood\nbad\nbetter\nworse\n")
    seen = embed(tmp_path / "t.csv", model=lengths, text_column="say", output=tmp_path / "seen")
    assert seen.columns == ("ids", "features")
    (tmp_path / "l.csv").write_text("id,label\n1,no\n0,yes\n3,no\n2,yes\n")
    spec = f"{tmp_path / 'l.csv'}:label"
    seen = embed(tmp_path / "t.csv", model=lengths, text_column="say", labels=spec, output=tmp_path / "labelled")
    assert seen.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("lines", "arguments", "sentence"),
    [
        ('{"text": "a"}\n{"text": " "}', {}, "t.jsonl has 1 rows without text, the first is row 1"),
        ('{"say": "a"}', {}, "t.jsonl has no column of texts (text, sentence"),
        ('{"say": "a"}', {"text_column": "sya"}, "t.jsonl has no column 'sya'. Its columns are say."),
        ('["a"]', {}, "line 1 of t.jsonl is no JSON object with named values"),
        ("{", {}, "cannot be read as one JSON object per line"),
        ("", {}, "is empty: at least one line is needed"),
        ('{"text": "a", "id": 1}\n{"text": "b", "id": 1}', {}, "'1' comes 2 times in column 'id' of t.jsonl"),
        ('{"text": "a"}', {"views": 1}, "views, image_size, image_column and labeled are for images, but the data are"),
        ('{"text": "a"}', {"labeled": False}, "image_column and labeled are for images, but the data are texts"),
        ('{"text": "a"}', {"probe": True}, "a probe needs a label for every example"),
        ('{"text": "a", "label": 0}', {"probe": True}, "a probe needs two classes with two examples each"),
    ],
)
def test_texts_that_cannot_work(tmp_path, lines, arguments, sentence):
    (tmp_path / "t.jsonl").write_text(lines)
    with pytest.raises(InputError) as error:
        embed(tmp_path / "t.jsonl", model=lengths, output=tmp_path / "seen", **arguments)
    assert sentence in str(error.value)
    assert not (tmp_path / "seen").exists()
