import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.read import read
from goodgrain.data.read.labels import encode
from goodgrain.data.read.listing import plain_labels
from goodgrain.errors import InputError, UnknownName
from pictures import class_folders, encoded, picture

IDS = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]


@pytest.fixture
def photos(tmp_path):
    return class_folders(tmp_path / "photos", each=2)


@pytest.fixture
def hub(tmp_path):
    """A Parquet file of four images, whose schema names the classes dog and cat."""
    images = [encoded(picture(i)) for i in range(4)]
    pq.write_table(
        named(pa.table({"image": images, "label": [0, 1, 0, 1]}), label=("dog", "cat")), tmp_path / "hub.parquet"
    )
    return tmp_path / "hub.parquet"


def named(table, **names):
    features = {column: {"_type": "ClassLabel", "names": list(names[column])} for column in names}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def table(path, **columns):
    """The same columns as CSV or Parquet."""
    if path.suffix == ".csv":
        lines = [columns, *zip(*columns.values(), strict=True)]
        path.write_text("\n".join(",".join(map(str, line)) for line in lines))
    else:
        pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("key", ["id", "file", "Path"])
def test_rows_are_matched_by_id_in_any_order(photos, tmp_path, kind, key):
    shuffled = [IDS[i] for i in (2, 0, 3, 1)]
    file = table(tmp_path / f"l.{kind}", **{key: shuffled, "worse": ["cat", "dog", "dog", "cat"]})
    assert read(photos, labels=file).labels.tolist() == [1, 0, 0, 1]
    assert read(photos, labels=f"{file}:worse").labels.tolist() == [1, 0, 0, 1]


def test_rows_for_other_images_are_ignored_and_gaps_refused(photos, tmp_path):
    file = table(tmp_path / "l.csv", id=[*IDS, "ape/9.png"], label=["dog", "dog", "cat", "cat", "cat"])
    assert read(photos, labels=file).labels.tolist() == [1, 1, 0, 0]
    table(file, id=IDS[1:], label=["dog", "cat", "cat"])
    with pytest.raises(InputError, match=r"l.csv has no label for 1 of the 4 images, the first is 'cat/0.png'"):
        read(photos, labels=file)
    table(file, id=[*IDS, IDS[0]], label=["dog"] * 5)
    with pytest.raises(InputError, match=r"'cat/0.png' comes 2 times in column 'id' of l.csv"):
        read(photos, labels=file)


def test_rejected_images_need_no_label(photos, tmp_path):
    (photos / "cat" / "notes.txt").write_text("x")
    file = table(tmp_path / "l.csv", id=IDS, label=["dog", "dog", "cat", "cat"])
    pool = read(photos, labels=file, max_bad=0.2)
    assert pool.labels.tolist() == [1, 1, 0, 0]
    assert [bad.id for bad in pool.rejected] == ["cat/notes.txt"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
def test_without_ids_the_order_counts(photos, tmp_path, kind):
    file = tmp_path / f"l.{kind}"
    if kind == "npy":
        np.save(file, [1, 0, 0, 1])
    else:
        table(file, worse=[1, 0, 0, 1])
    assert read(photos, labels=file).labels.tolist() == [1, 0, 0, 1]


def test_both_labels_may_come_from_one_file(photos, tmp_path):
    file = table(tmp_path / "l.parquet", worse=[1, 1, 0, 0], truth=[0, 0, 1, 1])
    pool = read(photos, labels=f"{file}:worse", clean_labels=f"{file}:truth")
    assert (pool.labels.tolist(), pool.clean_labels.tolist()) == ([1, 1, 0, 0], [0, 0, 1, 1])
    with pytest.raises(InputError, match=r"l.parquet has the columns worse, truth. Say which one: l.parquet:COLUMN"):
        read(photos, labels=file)
    with pytest.raises(InputError, match=r"l.parquet has no column 'wrose'. Its columns are worse, truth"):
        read(photos, labels=f"{file}:wrose")


def test_a_colon_in_a_name_is_no_column(photos, tmp_path):
    file = table(tmp_path / "a:b.csv", label=["dog", "dog", "cat", "cat"], other=[0, 0, 1, 0])
    assert read(photos, labels=file).labels.tolist() == [1, 1, 0, 0]
    assert read(photos, labels=f"{file}:other", clean_labels=file).clean_labels.tolist() == [1, 1, 0, 0]


def test_class_names_of_the_schema_outlive_other_labels(hub, tmp_path):
    np.save(tmp_path / "l.npy", [1, 1, 0, 0])
    pool = read(hub, labels=tmp_path / "l.npy")
    assert pool.classes == ("dog", "cat")
    assert pool.labels.tolist() == [1, 1, 0, 0]


def test_a_label_file_with_classes_in_another_order_is_matched_by_name(hub, tmp_path):
    pq.write_table(named(pa.table({"worse": [0, 0, 1, -1]}), worse=("cat", "dog")), tmp_path / "l.parquet")
    pool = read(hub, labels=tmp_path / "l.parquet")
    assert pool.classes == ("dog", "cat")
    assert pool.labels.tolist() == [1, 1, 0, -1]


def test_numbers_are_places_unless_classes_are_numbers(tmp_path):
    folders = class_folders(tmp_path / "a", ("10", "2", "7"), each=1)
    np.save(tmp_path / "l.npy", [2, 7, 10])
    pool = read(folders, labels=tmp_path / "l.npy")
    assert pool.classes == ("10", "2", "7")
    assert pool.labels.tolist() == [1, 2, 0]
    with pytest.raises(InputError, match="3 are not, the first is 0 at row 0"):
        read(folders, labels=_saved(tmp_path / "m.npy", [0, 1, 3]))


def _saved(path, values):
    np.save(path, values)
    return path


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0, 1, 2, 0], "labels should be 0..1 .* 1 are not, the first is 2 at row 2"),
        ([[0], [1], [0], [1]], r"should hold one label per image on 1 axis; its shape is \(4, 1\)"),
        ([0, 1, 0], r"l.npy has 3 labels for 4 images, and no column that holds the images' ids"),
        ([0, 1, np.inf, 0], "holds inf"),
    ],
)
def test_arrays_that_do_not_fit(photos, tmp_path, values, sentence):
    with pytest.raises(InputError, match=sentence):
        read(photos, labels=_saved(tmp_path / "l.npy", values))


def test_missing_labels_count_as_bad_images(photos, tmp_path):
    file = _saved(tmp_path / "l.npy", [0, np.nan, 1, 1])
    pool = read(photos, labels=file, max_bad=0.25)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [("cat/1.png", "it has no label")]
    with pytest.raises(InputError, match=r"^1 of 4 images \(25.0%\) cannot be used"):
        read(photos, labels=file, max_bad=0.2)


def test_files_that_hold_no_labels(photos, tmp_path):
    (tmp_path / "l.npy").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="l.npy cannot be read as a plain array"):
        read(photos, labels=tmp_path / "l.npy")
    np.savez(tmp_path / "l.npz", y=[0, 1, 0, 1])
    with pytest.raises(InputError, match=r"l.npz is no label file: a .csv, .parquet, .npy or .pt file is needed"):
        read(photos, labels=tmp_path / "l.npz")
    (tmp_path / "l.npz").rename(tmp_path / "l.npy")
    with pytest.raises(InputError, match="l.npy cannot be read as a plain array"):
        read(photos, labels=tmp_path / "l.npy")
    (tmp_path / "l.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="l.parquet cannot be read as Parquet"):
        read(photos, labels=tmp_path / "l.parquet")
    with pytest.raises(InputError, match="there is no label file"):
        read(photos, labels=tmp_path / "gone.csv")


def test_numbers_without_end_are_names(photos, tmp_path):
    file = table(tmp_path / "l.csv", label=["9" * 5000, "0", "0", "1"])
    with pytest.raises(UnknownName, match="no class '999"):
        read(photos, labels=file)


@given(st.lists(st.sampled_from(["cat", "dog", "ape", "-1", "-2", ""]), min_size=1))
def test_names_are_found_again(labels):
    given_labels, truth, classes = encode(plain_labels(labels, "here"), None, None)
    assert truth is None
    assert classes == tuple(sorted({"cat", "dog", "ape"} & set(labels)))
    places = {"-1": -1, "-2": -2, "": -3, **{name: place for place, name in enumerate(classes)}}
    assert given_labels.tolist() == [places[name] for name in labels]
