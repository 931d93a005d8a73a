"""Images without a look at their labels, as OOD sets are read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goodgrain.data.pool import UNLABELED
from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import class_folders, encoded, picture, pixels
from published import cifar10_python, cub200


def save(folder, *files):
    for i, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(folder / file, format="PNG")


def test_every_image_below_a_folder(tmp_path):
    save(tmp_path, "a/abbey/1.jpg", "a/apartment_building/outdoor/1.jpg", "b/bar/1.jpg", "stray.png")
    pool = read(tmp_path, labeled=False)
    assert pool.ids.tolist() == ["a/abbey/1.jpg", "a/apartment_building/outdoor/1.jpg", "b/bar/1.jpg", "stray.png"]
    assert pool.labels.tolist() == [UNLABELED] * 4
    assert (pool.classes, pool.boxes, pool.rejected) == ((), None, ())
    np.testing.assert_array_equal(pool.images(np.arange(4)), [pixels(i) for i in range(4)])


def test_classes_of_nested_folders_are_the_outermost_ones(tmp_path):
    save(tmp_path / "places", "train/abbey/1.jpg", "train/bar/1.jpg", "val/abbey/2.jpg")  # Places365, "easy" layout
    assert read(tmp_path / "places").classes == ("abbey", "bar")
    assert read(f"{tmp_path / 'places'}#val", labeled=False).ids.tolist() == ["abbey/2.jpg"]
    save(tmp_path / "lsun", "bedroom/0/a/f/1.webp", "tower/3/c/1/2.webp")  # LSUN, exported file by file
    pool = read(tmp_path / "lsun")
    assert (pool.classes, pool.ids.tolist()) == (("bedroom", "tower"), ["bedroom/0/a/f/1.webp", "tower/3/c/1/2.webp"])
    save(tmp_path / "data_256", "a/abbey/1.jpg", "b/bar/1.jpg")  # Places365 by letters: as OOD images only
    assert read(tmp_path / "data_256").classes == ("a", "b")


def test_folders_without_class_folders(tmp_path):
    save(tmp_path / "photos", "1.png", "2.png")
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"x")
    assert read(tmp_path / "photos", labeled=False).ids.tolist() == ["1.png", "2.png"]
    with pytest.raises(InputError, match="holds neither class folders"):
        read(tmp_path / "photos")
    (tmp_path / "photos" / "notes.txt").write_bytes(b"x")
    (tmp_path / "photos" / "link.png").symlink_to(tmp_path)
    rejected = read(tmp_path / "photos", labeled=False, max_bad=0.5).rejected
    assert {bad.id: bad.reason for bad in rejected} == {
        "notes.txt": "its name does not end like an image's",
        "link.png": "it is a link to a folder, and such links are not followed",
    }
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        read(tmp_path / "nothing", labeled=False)


def test_tables_and_archives_without_labels(tmp_path):
    images = np.stack([np.asarray(picture(i)) for i in range(3)])
    np.savez(tmp_path / "a.npz", x=images)
    pq.write_table(pa.table({"image": [encoded(picture(i)) for i in range(3)]}), tmp_path / "a.parquet")
    save(tmp_path / "photos", "0.png", "1.png", "2.png")
    (tmp_path / "photos" / "labels.csv").write_text("file\n0.png\n1.png\n2.png\n")
    for path in (tmp_path / "a.npz", tmp_path / "a.parquet", tmp_path / "photos"):
        with pytest.raises(InputError, match="label"):
            read(path)
        pool = read(path, labeled=False)
        assert pool.labels.tolist() == [UNLABELED] * 3
        np.testing.assert_array_equal(pool.images(np.arange(3)), images)


def test_labels_and_boxes_that_are_there_are_left_aside(tmp_path):
    for path in (class_folders(tmp_path / "folders"), cifar10_python(tmp_path / "cifar"), cub200(tmp_path / "cub")):
        labelled, pool = read(path), read(path, labeled=False)
        assert pool.ids.tolist() == labelled.ids.tolist()
        assert set(pool.labels.tolist()) == {UNLABELED}
        assert (pool.boxes, pool.clean_labels) == (None, None)
    lines = (tmp_path / "cub" / "bounding_boxes.txt").read_text()
    (tmp_path / "cub" / "bounding_boxes.txt").write_text(lines.replace("6.0 6.0", "600 600"))
    assert len(read(tmp_path / "cub", labeled=False)) == 2  # a wrong box harms nobody who needs none


def test_tables_of_which_some_rows_lack_a_label(tmp_path):
    images = [picture(i) for i in range(4)]
    columns = {"image": [encoded(image) for image in images]}
    pq.write_table(pa.table({**columns, "label": ["cat", None, "dog", ""]}), tmp_path / "a.parquet")
    save(tmp_path / "photos", "0.png", "1.png", "2.png", "3.png")
    (tmp_path / "photos" / "labels.csv").write_text("file,label\n0.png,cat\n1.png,\n2.png,dog\n3.png,\n")
    for path in (tmp_path / "a.parquet", tmp_path / "photos"):
        with pytest.raises(InputError, match=r"2 of 4 images \(50.0%\) cannot be used.*it has no label"):
            read(path)
        pool = read(path, labeled="partly")
        assert (pool.classes, pool.labels.tolist()) == (("cat", "dog"), [0, UNLABELED, 1, UNLABELED])
        assert pool.rejected == ()
        np.testing.assert_array_equal(pool.images(np.arange(4)), [np.asarray(image) for image in images])
    with pytest.raises(InputError, match=r"has no column 'kind'"):
        read(tmp_path / "a.parquet", labeled="partly", label_column="kind")


def test_images_beside_class_folders_lack_a_label(tmp_path):
    save(tmp_path, "cat/0.png", "dog/1.png", "2.png")
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    pool = read(tmp_path, labeled="partly", max_bad=0.5)
    assert dict(zip(pool.ids.tolist(), pool.labels.tolist(), strict=True)) == {
        "cat/0.png": 0,
        "dog/1.png": 1,
        "2.png": UNLABELED,
    }
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [("link.png", "it is a link that leaves the folder")]


def test_where_some_labels_may_lack_all_may(tmp_path):
    images = np.stack([pixels(i) for i in range(3)])
    np.savez(tmp_path / "a.npz", x=images, boxes=[[0, 0, 3, 3]] * 3)
    np.savez(tmp_path / "b.npz", x=images, y=[1, -1, 0])
    pool = read(tmp_path / "a.npz", labeled="partly")
    assert (pool.classes, pool.labels.tolist(), pool.boxes.shape) == ((), [UNLABELED] * 3, (3, 4))
    assert read(tmp_path / "b.npz", labeled="partly").labels.tolist() == [1, UNLABELED, 0]


@pytest.mark.parametrize("option", [{"labels": "a.csv"}, {"label_column": "y"}, {"box_frame": (64, 64)}])
def test_nothing_is_said_about_labels_that_are_left_aside(tmp_path, option):
    with pytest.raises(InputError, match="labeled=False leaves labels and boxes aside"):
        read(class_folders(tmp_path), labeled=False, **option)
