import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import encoded, picture, pixels


def named(table, column="label", names=("dog", "cat")):
    """The table with class names where Hugging Face datasets put them."""
    features = {column: {"_type": "ClassLabel", "names": list(names)}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def rows(n=4, kind="struct", start=0, **columns):
    data = [encoded(picture(start + i)) for i in range(n)]
    images = {
        "struct": lambda: pa.array([{"bytes": one, "path": None} for one in data]),
        "binary": lambda: pa.array(data, pa.binary()),
        "large": lambda: pa.array(data, pa.large_binary()),
    }[kind]()
    return pa.table({"image": images, "label": [i % 2 for i in range(n)], **columns})


@pytest.mark.parametrize("kind", ["struct", "binary", "large"])
def test_pixels_labels_and_ids(tmp_path, kind):
    pq.write_table(named(rows(kind=kind)), tmp_path / "some.parquet")
    pool = read(tmp_path / "some.parquet")
    assert pool.ids.tolist() == [f"some.parquet:{i}" for i in range(4)]
    assert pool.classes == ("dog", "cat")  # in the order of the schema, not of the alphabet
    assert pool.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(pool.images(np.arange(4)), [pixels(i) for i in range(4)])


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"huggingface": "no json"},
        {"huggingface": "{}"},
        {"huggingface": "[]"},
        {"huggingface": b"\xff"},
        {"huggingface": json.dumps({"info": {"features": {"label": {"names": None}}}})},
    ],
)
def test_without_class_names_classes_are_numbers(tmp_path, metadata):
    pq.write_table(rows().replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").classes == ("0", "1")


def test_labels_may_be_names(tmp_path):
    labels = pa.array(["dog", "cat", "dog", "cat"])
    for column in (labels, labels.dictionary_encode()):
        pq.write_table(rows().set_column(1, "label", column), tmp_path / "a.parquet")
        pool = read(tmp_path / "a.parquet")
        assert pool.classes == ("cat", "dog")
        assert pool.labels.tolist() == [1, 0, 1, 0]


def test_ids_come_from_a_column_only_if_each_is_there_once(tmp_path):
    file = tmp_path / "a.parquet"
    for ids, expected in [
        ([7, 5, 6, 4], ["7", "5", "6", "4"]),
        (["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        ([7, 7, 6, 4], [f"a.parquet:{i}" for i in range(4)]),
        ([7, None, 6, 4], [f"a.parquet:{i}" for i in range(4)]),
        ([0.5, 1.5, 2.5, 3.5], [f"a.parquet:{i}" for i in range(4)]),
    ]:
        pq.write_table(rows(id=ids), file)
        assert read(file).ids.tolist() == expected
    pq.write_table(rows(key=[7, 7, 6, 4], gap=[1, None, 2, 3]), file)
    with pytest.raises(InputError, match="'7' comes 2 times in column 'key'"):
        read(file, id_column="key")
    with pytest.raises(InputError, match="column 'gap' cannot give ids"):
        read(file, id_column="gap")


def test_clean_labels_come_along(tmp_path):
    pq.write_table(named(rows(clean_label=[1, 1, 0, None])), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").clean_labels.tolist() == [1, 1, 0, -1]


def test_clean_labels_are_matched_by_their_own_names(tmp_path):
    names = {"label": ("dog", "cat"), "clean_label": ("cat", "dog")}
    features = {column: {"_type": "ClassLabel", "names": list(order)} for column, order in names.items()}
    table = rows(clean_label=[0, 1, 0, -1])
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    pool = read(tmp_path / "a.parquet")
    assert pool.classes == ("dog", "cat")
    assert pool.clean_labels.tolist() == [1, 0, 1, -1]


def test_shards_follow_each_other_and_ids_restart_by_file(tmp_path):
    for i in range(3):
        pq.write_table(named(rows(2, start=2 * i, id=[0, 1])), tmp_path / f"train-0000{i}-of-00003.parquet")
    pool = read(tmp_path)
    assert pool.ids.tolist() == [f"train-0000{i}-of-00003.parquet:{row}" for i in range(3) for row in range(2)]
    assert pool.classes == ("dog", "cat")
    np.testing.assert_array_equal(pool.images(np.arange(6)), [pixels(i) for i in range(6)])


def test_shards_may_differ_in_column_order_and_width_but_not_in_columns(tmp_path):
    first, second = rows(2), rows(2, start=2).select(["label", "image"])
    second = second.set_column(0, "label", pa.array([1, 0], pa.int32()))
    pq.write_table(first, tmp_path / "train-0-of-2.parquet")
    pq.write_table(second, tmp_path / "train-1-of-2.parquet")
    assert read(tmp_path).labels.tolist() == [0, 1, 1, 0]
    pq.write_table(second.rename_columns(["kind", "image"]), tmp_path / "train-1-of-2.parquet")
    with pytest.raises(InputError, match=r"train-1-of-2.parquet has no column 'label', but train-0-of-2.parquet has"):
        read(tmp_path)
    pq.write_table(second.set_column(0, "label", pa.array([[1], [0]])), tmp_path / "train-1-of-2.parquet")
    with pytest.raises(InputError, match="differ in type"):
        read(tmp_path)


def test_a_shard_that_is_missing_is_told(tmp_path):
    (tmp_path / "data").mkdir()
    for split, i, n in (("train", 0, 2), ("test", 0, 1)):
        pq.write_table(rows(2), tmp_path / "data" / f"{split}-0000{i}-of-0000{n}.parquet")
    assert len(read(f"{tmp_path}#test")) == 2
    with pytest.raises(InputError, match="has 1 of the 2 files of 'train'"):
        read(tmp_path)


def test_splits(tmp_path):
    for name, n in [("test", 2), ("validation", 4)]:
        pq.write_table(rows(n), tmp_path / f"{name}-00000-of-00001.parquet")
    (tmp_path / ".hidden.parquet").write_bytes(b"x")
    assert len(read(f"{tmp_path}#validation")) == 4
    for wrong in (tmp_path, f"{tmp_path}#tset"):
        with pytest.raises(InputError, match="holds the splits test, validation. Name one of them"):
            read(wrong)


def test_rows_without_image_or_label_are_rejected(tmp_path):
    images = pa.array([{"bytes": encoded(picture(0)), "path": None}, None, {"bytes": None, "path": "x.png"}] * 2)
    pq.write_table(pa.table({"image": images, "label": [0, 0, 0, 1, 1, None]}), tmp_path / "a.parquet")
    pool = read(tmp_path / "a.parquet", max_bad=0.7)
    assert pool.labels.tolist() == [0, 1]
    assert [(bad.id[-1], bad.reason) for bad in pool.rejected] == [
        ("1", "the row holds no image bytes"),
        ("2", "the row holds no image bytes"),
        ("4", "the row holds no image bytes"),
        ("5", "it has no label"),
    ]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (
            [0, 1, 2, 5],
            "0..1 (-1 is not labeled, -2 is out of distribution); 2 are not, the first is 2 at row 2",
        ),
        ([0.0, 1.0, 0.5, 1.0], "holds 0.5; a label should be a class name or a whole number"),
        ([0.0, 1.0, float("inf"), 1.0], "holds inf"),
        ([[0], [1], [0], [1]], "holds [0]"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, sentence):
    pq.write_table(named(rows().set_column(1, "label", pa.array(labels))), tmp_path / "a.parquet")
    with pytest.raises(InputError) as refusal:
        read(tmp_path / "a.parquet")
    assert sentence in str(refusal.value)


def test_columns_that_cannot_be_told(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": [0, 1]}), file)
    with pytest.raises(InputError, match="has no column of encoded images"):
        read(file)
    data = rows().column("image")
    pq.write_table(pa.table({"a": data, "b": data, "kind": [0, 1, 0, 1]}), file)
    with pytest.raises(InputError, match="several columns of bytes: a, b. Say which with image_column"):
        read(file, label_column="kind")
    with pytest.raises(InputError, match="has no label column .* say which with label_column"):
        read(file, image_column="b")
    assert read(file, image_column="b", label_column="kind").labels.tolist() == [0, 1, 0, 1]
    pq.write_table(rows(4, fine_label=[0, 1, 2, 3]).rename_columns(["image", "target", "fine_label"]), file)
    with pytest.raises(InputError, match="has several label columns: target, fine_label. Say which with label_column"):
        read(file)
    with pytest.raises(InputError, match="column 'target' of a.parquet holds int64, not encoded images"):
        read(file, label_column="target", image_column="target")


def test_a_file_without_rows_has_no_images(tmp_path):
    pq.write_table(rows().slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="the dataset has no images"):
        read(tmp_path / "a.parquet")


def test_text_that_is_not_utf_8_is_refused(tmp_path):
    broken = pa.array([b"\xff", b"a", b"b", b"c"]).view(pa.string())
    pq.write_table(rows().set_column(1, "label", broken), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read(tmp_path / "a.parquet")
