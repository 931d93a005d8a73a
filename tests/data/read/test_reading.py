import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from goodgrain.data.pool import UNLABELED
from goodgrain.data.read import read
from goodgrain.errors import GoodgrainError, InputError, UnknownName

CLASSES = ("cat", "dog")


def picture(seed, size=(12, 10), mode="RGB"):
    shape = (*size, 3) if mode == "RGB" else size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture
def tree(tmp_path):
    """Class folders: 4 cats and 4 dogs, one of them deeper."""
    root = tmp_path / "photos"
    for j, name in enumerate(CLASSES):
        (root / name / "old").mkdir(parents=True)
        for i in range(3):
            picture(10 * j + i).save(root / name / f"{i}.png")
        picture(10 * j + 3).save(root / name / "old" / "3.PNG", format="PNG")
    return root


def refused(path, *sentences, kind=InputError, **options):
    with pytest.raises(kind) as error:
        read(path, **options)
    for sentence in sentences:
        assert sentence in str(error.value)


def test_class_folders(tree):
    pool = read(tree)
    assert pool.ids.tolist() == [
        f"{name}/{file}" for name in CLASSES for file in ("0.png", "1.png", "2.png", "old/3.PNG")
    ]
    assert pool.labels.tolist() == [0] * 4 + [1] * 4
    assert pool.classes == CLASSES
    assert pool.image_shape == (12, 10, 3)
    np.testing.assert_array_equal(pool.images([6])[0], np.asarray(picture(12)))
    assert read(tree).fingerprint() == pool.fingerprint()


def test_hidden_files_are_ignored_and_other_files_listed(tree):
    (tree / ".DS_Store").write_bytes(b"x")
    (tree / "cat" / ".hidden.png").write_bytes(b"x")
    (tree / "cat" / "Thumbs.db").write_bytes(b"x")
    (tree / "cat" / "notes.txt").write_text("x")
    picture(9).save(tree / "stray.png")
    pool = read(tree, max_bad=0.5)
    assert {bad.id: bad.reason for bad in pool.rejected} == {
        "cat/notes.txt": "its name does not end like an image's",
        "stray.png": "it lies beside the class folders and so has no label",
    }


def test_a_link_that_leaves_the_folder_is_not_followed(tree, tmp_path):
    picture(1).save(tmp_path / "secret.png")
    (tree / "cat" / "link.png").symlink_to(tmp_path / "secret.png")
    (tree / "cat" / "near.png").symlink_to(tree / "dog" / "0.png")
    pool = read(tree, max_bad=0.5)
    assert [bad.id for bad in pool.rejected] == ["cat/link.png"]
    assert "cat/near.png" in pool.ids


@pytest.mark.parametrize(
    "damage", [b"", b"no image at all", encoded(picture(0))[:150], encoded(picture(0), "JPEG")[:-200]], ids=range(4)
)
def test_unreadable_images_go_to_quarantine_and_too_many_stop(tree, damage):
    (tree / "dog" / "1.png").write_bytes(damage)
    pool = read(tree, max_bad=0.125)  # one of eight is just allowed
    assert [bad.id for bad in pool.rejected] == ["dog/1.png"]
    assert len(pool) == 7
    assert "dog/1.png" not in pool.ids
    refused(tree, "1 of 8 images (12.5%) cannot be used, more than max_bad=0.12", "dog/1.png", max_bad=0.12)


def test_a_bomb_is_rejected_not_decoded(tree):
    header = encoded(Image.new("1", (4, 4)))
    huge = header.replace((4).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2, 1)
    (tree / "cat" / "bomb.png").write_bytes(huge)
    assert [bad.id for bad in read(tree, max_bad=0.2).rejected] == ["cat/bomb.png"]


def test_sizes_and_colours_are_brought_into_one_form(tree):
    picture(5, size=(40, 40), mode="L").save(tree / "cat" / "grey.png")
    pool = read(tree)
    assert pool.image_shape == (12, 10, 3)
    assert len(pool.images(np.arange(9))) == 9
    assert read(tree, image_size=16).image_shape == (16, 16, 3)
    for path in tree.rglob("*.*"):
        if path.suffix.lower() == ".png":
            Image.open(path).convert("L").save(path, format="PNG")
    assert read(tree).image_shape == (12, 10, 1)
    large = tree / "cat" / "large.png"
    for path in tree.rglob("*.png"):
        picture(1, size=(256, 128)).save(path)
    assert not large.exists()
    assert read(tree).image_shape == (64, 32, 3)


def test_folders_that_cannot_work(tree, tmp_path):
    (tree / "bird").mkdir()
    refused(tree, "class 'bird' has no images. Remove the empty folder or put its images there.")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds neither class folders, nor a labels.csv, nor Parquet files")
    refused(tmp_path / "nowhere", "nowhere does not exist. Give a folder of images")
    (tmp_path / "one" / "only").mkdir(parents=True)
    picture(1).save(tmp_path / "one" / "only" / "a.png")
    refused(tmp_path / "one", "the one class 'only'. At least two classes are needed")
    (tmp_path / "split").mkdir()
    tree.rename(tmp_path / "split" / "train")
    refused(tmp_path / "split", "holds the splits train, not classes")
    (tmp_path / "file.txt").write_text("x")
    refused(tmp_path / "file.txt", "is no known layout")


def test_a_table_of_labels(tree):
    rows = ["file,label,clean_label", "cat/0.png,dog,cat", "dog/0.png,dog,dog", "cat/1.png,cat,cat", "gone.png,cat,cat"]
    (tree / "labels.csv").write_text("\n".join([*rows, "../up.png,cat,cat", "dog/2.png,,dog"]))
    pool = read(tree, max_bad=0.5)
    assert pool.ids.tolist() == ["cat/0.png", "dog/0.png", "cat/1.png"]
    assert pool.labels.tolist() == [1, 1, 0]
    assert pool.clean_labels.tolist() == [0, 1, 0]
    assert {bad.id: bad.reason for bad in pool.rejected} == {
        "gone.png": "the file is missing",
        "../up.png": "the file is outside the folder",
        "dog/2.png": "it has no label",
    }
    refused(tree, "3 of 6 images (50.0%) cannot be used", "gone.png: the file is missing")
    (tree / "labels.csv").write_text("picture,kind\na.png,cat")
    refused(tree, "labels.csv has no column of files", "Its columns are picture, kind")
    (tree / "labels.csv").write_text("file,label\ncat/0.png,cat\ncat/0.png,dog")
    refused(tree, "'cat/0.png' comes 2 times in labels.csv")


def hub_table(n=6, labels=None):
    images = [{"bytes": encoded(picture(i)), "path": f"{i}.png"} for i in range(n)]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(CLASSES)}}
    table = pa.table({"image": images, "label": pa.array(labels or [i % 2 for i in range(n)], pa.int64())})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_parquet_as_the_hub_exports_it_in_shards(tmp_path):
    table = hub_table()
    (tmp_path / "data").mkdir()
    pq.write_table(table.slice(0, 4), tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(table.slice(4), tmp_path / "data" / "train-00001-of-00002.parquet")
    pq.write_table(table.slice(0, 2), tmp_path / "data" / "test-00000-of-00001.parquet")
    pool = read(tmp_path)
    assert pool.classes == CLASSES
    assert pool.labels.tolist() == [0, 1] * 3
    assert pool.ids[4] == "train-00001-of-00002.parquet:0"
    np.testing.assert_array_equal(pool.images([5])[0], np.asarray(picture(5)))
    assert len(read(f"{tmp_path}#test")) == 2
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    refused(tmp_path, "has 1 of the 2 files of 'train'")


def test_parquet_with_plain_bytes_gaps_and_damage(tmp_path):
    images = [encoded(picture(i)) for i in range(6)]
    images[1], images[4] = None, b"broken"
    labels = pa.array([0, 1, None, 1, 0, 1], pa.int32())
    pq.write_table(pa.table({"index": range(6), "image_jpeg": images, "label": labels}), tmp_path / "a.parquet")
    pool = read(tmp_path / "a.parquet", max_bad=0.5)
    assert pool.ids.tolist() == ["0", "3", "5"]
    assert [(bad.id, bad.reason) for bad in pool.rejected][1] == ("2", "it has no label")
    refused(tmp_path / "a.parquet", "3 of 6 images (50.0%) cannot be used", "the row holds no image bytes")


def test_parquet_that_cannot_be_told(tmp_path):
    path = tmp_path / "a.parquet"
    picture_bytes = [encoded(picture(i)) for i in range(4)]
    pq.write_table(pa.table({"a": picture_bytes, "b": picture_bytes, "label": [0, 1, 0, 1]}), path)
    refused(path, "several columns of bytes: a, b. Say which with image_column")
    assert len(read(path, image_column="b")) == 4
    pq.write_table(pa.table({"image": picture_bytes, "kind": [0, 1, 0, 1]}), path)
    refused(path, "has no label column", "say which with label_column")
    assert read(path, label_column="kind").labels.tolist() == [0, 1, 0, 1]
    refused(path, "has no column 'knd'. Its columns are image, kind", label_column="knd")
    pq.write_table(hub_table(4, [0, 1, 2, 1]), path)
    refused(path, "labels should be 0..1", "the first is 2 at row 2")
    path.write_bytes(b"PAR1")
    refused(path, "cannot be read as Parquet")


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (3, 8, 9)])
def test_arrays_of_any_usual_shape(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(6) % 3, x_test=images[:3], y_test=[2, 0, 1])
    pool = read(tmp_path / "a.npz")
    expected = images.transpose(0, 2, 3, 1) if shape == (3, 8, 9) else images.reshape(6, 8, 9, -1)
    np.testing.assert_array_equal(pool.images(np.arange(6)), expected)
    assert pool.labels.tolist() == [0, 1, 2] * 2
    assert read(f"{tmp_path / 'a.npz'}#test").labels.tolist() == [2, 0, 1]


def test_archives_that_cannot_work(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((4, 8, 8)), y=[0, 1, 0, 1])
    refused(path, "x should be uint8 of shape", "float64 of shape (4, 8, 8) came")
    np.savez(path, x=np.zeros((4, 8, 8), np.uint8), y=[0, 1, 0])
    refused(path, "there are 4 images, but the labels have the shape (3,)")
    np.savez(path, x=np.zeros((4, 8, 8), np.uint8))
    refused(path, "Its arrays are x")
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=[0])
    refused(path, "cannot be read as an NPZ archive of plain arrays")
    path.write_bytes(b"PK no")
    refused(path, "cannot be read as an NPZ archive of plain arrays")


def test_labels_from_another_file_by_id_or_by_order(tree, tmp_path):
    ids = read(tree).ids.tolist()
    noisy = ["dog", "cat", "cat", "cat", "dog", "dog", "dog", "dog"]
    by_id = pa.table({"id": ids[::-1], "worse": noisy[::-1], "truth": ["cat"] * 8})
    pq.write_table(by_id, tmp_path / "labels.parquet")
    pool = read(tree, labels=f"{tmp_path}/labels.parquet:worse", clean_labels=f"{tmp_path}/labels.parquet:truth")
    assert pool.labels.tolist() == [1, 0, 0, 0, 1, 1, 1, 1]
    assert pool.clean_labels.tolist() == [0] * 8
    np.save(tmp_path / "order.npy", np.array([0, 0, 0, 1, 1, 1, 0, 1]))
    assert read(tree, labels=tmp_path / "order.npy").labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    np.save(tmp_path / "short.npy", np.arange(5))
    refused(tree, "short.npy has 5 labels for 8 images", labels=tmp_path / "short.npy")
    refused(tree, "there is no label file", labels=tmp_path / "none.csv")
    (tmp_path / "typo.csv").write_text("label\n" + "\n".join(["cat", "dgo", *["dog"] * 6]))
    refused(tree, "dgo", kind=GoodgrainError, labels=tmp_path / "typo.csv")
    with pytest.raises(UnknownName, match="Did you mean 'dog'"):
        read(tree, labels=tmp_path / "typo.csv")


def test_unlabeled_images_stay(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=[0, 1, -1, 1])
    assert read(tmp_path / "a.npz").labels.tolist() == [0, 1, UNLABELED, 1]


def test_cifar_with_human_labels(real_data):
    names = real_data / "cifar10n_labels.parquet"
    pool = read(
        real_data / "cifar10_train.parquet", labels=f"{names}:random_label1", clean_labels=f"{names}:clean_label"
    )
    assert len(pool) == 50_000
    assert pool.image_shape == (32, 32, 3)
    assert (pool.labels != pool.clean_labels).mean() == pytest.approx(0.17234)
    assert pool.rejected == ()
