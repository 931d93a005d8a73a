import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import class_folders, picture, pixels


def table(folder, *lines, encoding="utf-8"):
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder


@pytest.fixture
def photos(tmp_path):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.png")
    return tmp_path


def test_rows_keep_the_order_of_the_table(photos):
    pool = read(table(photos, "file,label", "4.png,dog", "0.png,cat", "2.png,dog"))
    assert pool.ids.tolist() == ["4.png", "0.png", "2.png"]
    assert pool.classes == ("cat", "dog")
    assert pool.labels.tolist() == [1, 0, 1]
    assert pool.clean_labels is None
    np.testing.assert_array_equal(pool.images([0, 1, 2]), [pixels(4), pixels(0), pixels(2)])


def test_the_table_itself_may_be_named(photos):
    table(photos, "file,label", "0.png,0", "1.png,1")
    assert read(photos / "labels.csv").fingerprint() == read(photos).fingerprint()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_spaces_capitals_and_the_mark_of_spreadsheets_do_not_matter(photos, encoding):
    table(photos, " File , LABEL", " 0.png , cat ", "", "1.png,dog", encoding=encoding)
    assert read(photos, label_column="LABEL").labels.tolist() == [0, 1]
    assert read(photos).classes == ("cat", "dog")


def test_quoted_names_may_hold_commas(photos):
    picture(9).save(photos / "a, b.png")
    pool = read(table(photos, "file,label", '"a, b.png","cat, small"', "1.png,dog"))
    assert pool.ids.tolist() == ["a, b.png", "1.png"]
    assert pool.classes == ("cat, small", "dog")


def test_columns_may_be_chosen(photos):
    table(photos, "key,picture,fine,coarse", "a,0.png,tabby,cat", "b,1.png,poodle,dog", "c,2.png,siamese,cat")
    pool = read(photos, image_column="picture", label_column="coarse", id_column="key")
    assert pool.ids.tolist() == ["a", "b", "c"]
    assert pool.labels.tolist() == [0, 1, 0]
    assert read(photos, image_column="picture", label_column="fine").classes == ("poodle", "siamese", "tabby")
    with pytest.raises(InputError, match="has no column 'medium'. Its columns are key, picture, fine, coarse"):
        read(photos, image_column="picture", label_column="medium")


def test_open_labels_and_numbers(photos):
    pool = read(table(photos, "file,label,clean_label", "0.png,-1,1", "1.png,-2,", "2.png,2,0", "3.png,0,0"))
    assert pool.classes == ("0", "1", "2")
    assert pool.labels.tolist() == [-1, -2, 2, 0]
    assert pool.clean_labels.tolist() == [1, -1, 0, 0]


def test_open_labels_among_names(photos):
    pool = read(table(photos, "file,label", "0.png,dog", "1.png,-1", "2.png,cat", "3.png,-2", "4.png,7"))
    assert pool.classes == ("7", "cat", "dog")
    assert pool.labels.tolist() == [2, -1, 1, -2, 0]


def test_a_table_comes_before_class_folders(tmp_path):
    table(class_folders(tmp_path), "file,label", "cat/0.png,dog", "dog/1.png,cat")
    assert read(tmp_path).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("gone.png", "the file is missing"),
        ("folder", "the file is missing"),
        ("x" * 300 + ".png", "the file is missing"),
        ("../up.png", "the file is outside the folder"),
        ("/etc/hostname", "the file is outside the folder"),
        ("link.png", "the file is outside the folder"),
        ("empty.png", "the file is empty"),
        ("text.png", "it is not an image in a known format"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(photos, tmp_path_factory, file, reason):
    (photos / "folder").mkdir()
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("text")
    picture(0).save(tmp_path_factory.mktemp("other") / "up.png")
    (photos / "link.png").symlink_to(next(tmp_path_factory.getbasetemp().glob("other*")) / "up.png")
    table(photos, "file,label", "0.png,cat", f"{file},dog", "1.png,dog")
    pool = read(photos, max_bad=0.34)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [(file, reason)]
    assert pool.ids.tolist() == ["0.png", "1.png"]


def test_rows_without_a_file_or_a_label_are_rejected(photos):
    pool = read(table(photos, "file,label", "0.png,cat", ",dog", "1.png,dog", "2.png"), max_bad=0.5)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [
        ("labels.csv, row 2", "the line names no file"),
        ("2.png", "it has no label"),
    ]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "is empty: a line with column names and one line per image are needed"),
        (["file,label"], "is empty"),
        (["file,label", "0.png,cat", "0.png,dog"], "'0.png' comes 2 times in labels.csv"),
        (["file,file", "0.png,cat"], "names a column twice: file, file"),
        (["file,kind", "0.png,cat"], "labels.csv has no column of labels (label or class). Its columns are file, kind"),
        (["picture,label", "0.png,cat"], "labels.csv has no column of files"),
        (["file,label", "0.png,0", "1.png,5"], "label 5 cannot be a class of 2 images"),
        (["file,label", "0.png,0", "1.png,-7"], "the first is -7 at row 1"),
    ],
)
def test_tables_that_cannot_be_used(photos, lines, sentence):
    table(photos, *lines)
    with pytest.raises(InputError) as refusal:
        read(photos)
    assert sentence in str(refusal.value)


def test_a_table_in_another_encoding_is_refused(photos):
    (photos / "labels.csv").write_bytes("file,label\n0.png,Käse\n1.png,dog\n".encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read as a CSV file in UTF-8"):
        read(photos)
