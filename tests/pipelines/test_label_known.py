"""Labels that exist before a labelling run does: tables of them, and what a run is begun with."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.annotate import OOD, SKIP, UNRESOLVED, UNSURE, export_labels
from goodgrain.errors import InputError, UnknownName
from goodgrain.pipelines.label_known import read_known
from goodgrain.pipelines.labeling import Labeling
from pictures import encoded, picture
from pipelines.label_toys import KNOWN_PAIR, begin, by_head, pictures, seen_as


def written(path, rows):
    """The same rows in the format of the file's name."""
    if path.suffix == ".csv":
        quoted = ('"' + str(value).replace('"', '""') + '"' for row in rows for value in row)
        lines = [",".join(pair) for pair in zip(quoted, quoted, strict=False)]
        path.write_text("id,label\n" + "\n".join(lines) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"id": key, "label": value}) + "\n" for key, value in rows))
    else:
        ids, labels = zip(*rows, strict=True)
        pq.write_table(pa.table({"id": pa.array(ids), "label": pa.array(labels)}), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_classes_and_ood_are_read_and_rows_without_either_left_out(tmp_path, ending):
    rows = [("a", "cat"), ("b", OOD), ("c", ""), ("d", UNSURE), ("e", SKIP), ("f", UNRESOLVED), ("g", "dog")]
    assert read_known(written(tmp_path / f"known{ending}", rows)) == {"a": "cat", "b": OOD, "g": "dog"}


def test_integers_count_the_classes_or_are_names_where_there_are_none(tmp_path):
    path = written(tmp_path / "known.jsonl", [("a", 1), ("b", -1), ("c", -2), (7, 0)])
    assert read_known(path, ("cat", "dog")) == {"a": "dog", "c": OOD, "7": "cat"}
    assert read_known(path) == {"a": "1", "c": OOD, "7": "0"}


@given(st.dictionaries(st.text("abc é,\"'", min_size=1).filter(str.strip), st.sampled_from(["cat", "a, b", OOD, ""])))
def test_any_ids_come_back_as_they_were(tmp_path_factory, known):
    path = written(tmp_path_factory.mktemp("known") / "known.csv", list(known.items()))
    expected = {key: label for key, label in known.items() if label}
    if expected:
        assert read_known(path) == expected
    else:
        with pytest.raises(InputError, match="holds no labels"):
            read_known(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,label\na,cat\na,dog\n", "row 2: 'a' is 'dog' here and 'cat' in an earlier row. Repair the table."),
        ("id,label\na,7\n", r"row 1: label 7 should be 0..1, -1 \(none\) or -2 \(OOD\). Repair the table."),
        ("id,label\n,cat\n", "row 1: an id should be a string that is not blank; '' came. Repair the table."),
        ("id,label\na,\n", "holds no labels. Fill its column of labels, or leave the file out."),
        ("name,kind\na,cat\n", "has no column of ids"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path, text, sentence):
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_known(tmp_path / "known.csv", ("cat", "dog"))


def test_what_one_run_exports_another_begins_with(tmp_path):
    pool = pictures()
    names = pool.ids.tolist()
    start = {names[0]: "lying", names[1]: "standing", names[2]: OOD}
    with begin(pool, tmp_path / "one", **by_head(pool, known=start)) as run:
        export_labels(run.session, tmp_path / "labels.csv")
    with begin(pool, tmp_path / "two", **by_head(pool, known=tmp_path / "labels.csv", classes=None)) as run:
        assert run.session.classes == ("lying", "standing")
        assert run.session.labels()[1].tolist()[:4] == [0, 1, -2, -1]


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"known": {"nowhere.png": "lying"}}, InputError, "known names 'nowhere.png', which is no item"),
        ({"known": {"picture 0.png": "lyign"}}, UnknownName, "no class 'lyign'. Did you mean 'lying'?"),
        ({"budget": 0.5}, InputError, "budget=0.5 pays for no answer"),
        ({"embeddings": seen_as(pictures(20))}, InputError, "30"),
    ],
)
def test_what_is_refused_leaves_no_folder_behind(tmp_path, changes, error, sentence):
    pool = pictures()
    with pytest.raises(error, match=sentence.replace("?", r"\?")):
        begin(pool, tmp_path / "run", **by_head(pool, **changes))
    assert not (tmp_path / "run").exists()


def test_images_that_the_data_does_not_label_are_asked_about(tmp_path):
    """Rows of a table without a label, and images beside the class folders."""
    for i, file in enumerate(["cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png", "4.png", "5.png"]):
        (tmp_path / "photos" / file).parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(tmp_path / "photos" / file)
    images = [encoded(picture(i)) for i in range(6)]
    labels = ["cat", "cat", "dog", "dog", None, None]
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "photos.parquet")
    arguments = {"known": "data", "strategy": "conf", "steps": 2, "budget": 2, "device": "cpu", "encoder": "none"}
    for name in ("photos", "photos.parquet"):
        with Labeling.create(tmp_path / name, output=tmp_path / f"run of {name}", **arguments) as run:
            assert (run.session.classes, run.session.status().known, run.rejected) == (("cat", "dog"), 4, ())
        with Labeling.open(tmp_path / f"run of {name}", device="cpu") as run:
            assert run.advance().strategy == "conf"
            assert {one.rpartition(":")[2] for one in run.session.ask(9).ids} in ({"4.png", "5.png"}, {"4", "5"})
    pq.write_table(pa.table({"image": images}), tmp_path / "bare.parquet")
    with pytest.raises(InputError, match=r"^the data labels none of its images. Give a file of known labels"):
        Labeling.create(
            tmp_path / "bare.parquet", output=tmp_path / "bare", classes=["cat", "dog"], **arguments
        ).close()
    assert not (tmp_path / "bare").exists()


@pytest.mark.parametrize(
    "changed",
    [{**KNOWN_PAIR, "picture 5.png": "standing"}, {**KNOWN_PAIR, "picture 0.png": "standing"}, None],
    ids=["one more", "another label", "none"],
)
def test_a_run_goes_on_with_the_known_labels_that_it_was_begun_with(tmp_path, changed):
    """A table that has grown would otherwise be read, checked and left aside without a word."""
    pool = pictures(30)

    def again(known):
        table = None if known is None else written(tmp_path / "known.csv", list(known.items()))
        return begin(pool, tmp_path / "run", **by_head(pool, known=table))

    for _ in range(2):
        with again(KNOWN_PAIR) as run:
            assert run.session.status().known == 3
    if changed is None:
        (tmp_path / "known.csv").write_text("id,label\n")
    with pytest.raises(InputError, match="holds no labels|the known labels are not those that this run was begun with"):
        again(changed or {}).close()
    with again(KNOWN_PAIR) as run:
        assert run.session.labels()[1][:3].tolist() == [0, 1, -2]
