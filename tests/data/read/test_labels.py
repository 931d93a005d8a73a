import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from goodgrain.data import OOD, UNLABELED
from goodgrain.data.read import read
from goodgrain.data.read.labels import MISSING, encode, read_labels
from goodgrain.errors import InputError, UnknownName


def folders(root, *names, each=2):
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for j in range(each):
            Image.fromarray(np.full((4, 4), 10 * i + j, dtype=np.uint8)).save(root / name / f"{j}.png")
    return root


def test_names_become_places_in_the_sorted_classes():
    labels, clean, classes = encode(["b", None, "a"], ["b", None, "c"], None)
    assert classes == ("a", "b", "c")
    assert labels.tolist() == [1, MISSING, 0]
    assert clean.tolist() == [1, UNLABELED, 2]


def test_integers_are_places_and_the_largest_one_counts_the_classes():
    labels, clean, classes = encode([0, 1, UNLABELED, OOD], [3, 1, 1, 1], None)
    assert classes == ("0", "1", "2", "3")
    assert labels.tolist() == [0, 1, -1, -2]
    assert clean.tolist() == [3, 1, 1, 1]


def test_classes_named_by_numbers_are_looked_up_by_name(tmp_path):
    root = folders(tmp_path / "digits", *(str(i) for i in range(11)))
    assert read(root).classes[:3] == ("0", "1", "10")  # sorted as text
    ids = read(root).ids
    np.save(tmp_path / "same.npy", np.array([int(name.split("/")[0]) for name in ids]))
    assert read(root, labels=tmp_path / "same.npy").labels.tolist() == read(root).labels.tolist()


@pytest.mark.parametrize(
    ("labels", "classes", "sentence"),
    [
        ([0, 5], ("a", "b"), r"labels should be 0..1 .* 1 are not, the first is 5 at row 1"),
        ([0, "a"], None, "all names or all integers; there are 'a' and 0"),
        ([0, 1000], None, "label 1000 cannot be a class of 2 images"),
        ([0, -3], None, "the first is -3 at row 1"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, classes, sentence):
    with pytest.raises(InputError, match=sentence):
        encode(labels, None, classes)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UnknownName, match="no class 'cst'. Did you mean 'cat'"):
        encode(["cst"], None, ("cat", "dog"))


def test_ids_that_match_in_part_are_no_match(tmp_path):
    (tmp_path / "l.csv").write_text("id,label\na,0\nb,1\n")
    with pytest.raises(InputError, match=r"l.csv has no label for 1 of the 2 images, the first is 'c'"):
        read_labels(tmp_path / "l.csv", ["a", "c"], {})
    assert read_labels(tmp_path / "l.csv", ["a", "c"], {1: "damaged"}) == [0, None]
    (tmp_path / "l.csv").write_text("id,label\na,0\na,1\n")
    with pytest.raises(InputError, match="'a' comes 2 times in column 'id' of l.csv"):
        read_labels(tmp_path / "l.csv", ["a", "c"], {})


def test_ids_unlike_any_image_leave_the_order(tmp_path):
    pq.write_table(pa.table({"index": [7, 8], "first": ["x", "y"], "second": ["y", "y"]}), tmp_path / "l.parquet")
    assert read_labels(f"{tmp_path}/l.parquet:second", ["a.png", "b.png"], {}) == ["y", "y"]
    with pytest.raises(InputError, match=r"has the columns index, first, second. Say which one: l.parquet:COLUMN"):
        read_labels(tmp_path / "l.parquet", ["a.png", "b.png"], {})
    with pytest.raises(InputError, match=r"has no column 'third'. Its columns are index, first, second"):
        read_labels(f"{tmp_path}/l.parquet:third", ["a.png", "b.png"], {})


def test_a_label_that_is_no_whole_number_is_refused(tmp_path):
    np.save(tmp_path / "l.npy", np.array([0.0, 1.0, np.nan]))
    assert read_labels(tmp_path / "l.npy", list("abc"), {}) == [0, 1, None]
    np.save(tmp_path / "l.npy", np.array([0.5, 1.0, 0.0]))
    with pytest.raises(InputError, match="holds 0.5; a label should be a class name or a whole number"):
        read_labels(tmp_path / "l.npy", list("abc"), {})


def test_names_that_are_not_utf8_can_be_read(tmp_path):
    root = folders(tmp_path / "photos", "cat", "dog")
    try:
        os.rename(os.fsencode(root / "cat" / "0.png"), os.fsencode(root / "cat") + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    pool = read(root)
    assert pool.ids.tolist() == ["cat/1.png", "cat/caf\\xe9.png", "dog/0.png", "dog/1.png"]
    assert pool.fingerprint()


def test_a_table_that_is_not_utf8_or_names_a_column_twice_is_refused(tmp_path):
    for text, sentence in [
        (b"file,label\ncaf\xe9.png,1\n", "cannot be read as a CSV file in UTF-8"),
        (b"file,label,label\na,1,2\n", "names a column twice: file, label, label"),
        (b"file,label\n", "is empty: a line with column names"),
    ]:
        (tmp_path / "labels.csv").write_bytes(text)
        with pytest.raises(InputError, match=sentence):
            read(tmp_path)


def test_columns_and_splits_are_refused_where_there_are_none(tmp_path):
    root = folders(tmp_path / "photos", "cat", "dog")
    with pytest.raises(InputError, match="has no columns, so 'kind' means nothing"):
        read(root, label_column="kind")
    with pytest.raises(InputError, match="has no splits, so '#test' means nothing"):
        read(f"{root}#test")
    with pytest.raises(InputError, match="max_bad should be a share between 0 and 1; 2 came"):
        read(root, max_bad=2)
    with pytest.raises(InputError, match="image_size should be at least 1 pixel; 0 came"):
        read(root, image_size=0)


def test_images_of_one_class_are_refused(tmp_path):
    root = folders(tmp_path / "photos", "cat", "dog")
    np.save(tmp_path / "l.npy", np.zeros(4, int))
    with pytest.raises(InputError, match="all 4 images carry the one class 'cat'. Two are needed"):
        read(root, labels=tmp_path / "l.npy")
