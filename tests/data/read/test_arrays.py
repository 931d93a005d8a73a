import io
import zipfile

import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 0, 2]


def archive(folder, **arrays):
    np.savez(folder / "some.npz", **arrays)
    return folder / "some.npz"


def refused(path, sentence, **options):
    with pytest.raises(InputError) as refusal:
        read(path, **options)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("keys", ["xy", ("images", "labels"), ("data", "labels"), ("x_train", "y_train")])
def test_pixels_labels_and_ids(tmp_path, save, keys):
    save(tmp_path / "a.NPZ", **dict(zip(keys, (IMAGES, LABELS), strict=True)))
    (path,) = tmp_path.iterdir()
    pool = read(path)
    assert pool.ids.tolist() == ["0", "1", "2", "3", "4", "5"]
    assert pool.classes == ("0", "1", "2")
    assert pool.labels.tolist() == LABELS
    np.testing.assert_array_equal(pool.images(np.arange(6)), IMAGES)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (1, 8, 9), (3, 8, 9)])
def test_colours_may_come_last_first_or_not_at_all(tmp_path, shape):
    images = np.random.default_rng(1).integers(0, 256, (6, *shape), dtype=np.uint8)
    pool = read(archive(tmp_path, x=images, y=LABELS))
    channels_first = len(shape) == 3 and shape[0] < 8
    expected = images.transpose(0, 2, 3, 1) if channels_first else images.reshape(6, 8, 9, -1)
    np.testing.assert_array_equal(pool.images(np.arange(6)), expected)


def test_plain_names_come_before_those_of_a_split(tmp_path):
    path = archive(
        tmp_path, x=IMAGES, y=LABELS, x_train=IMAGES[:2], y_train=[0, 1], images_val=IMAGES[:3], labels_val=[1, 0, 1]
    )
    assert len(read(path)) == 6
    assert len(read(f"{path}#train")) == 2
    assert read(f"{path}#val").labels.tolist() == [1, 0, 1]
    refused(f"{path}#test", "has no images (x_test, images_test, data_test). Its arrays are x, y, x_train")


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (np.array(LABELS)[:, None], ("0", "1", "2"), LABELS),
        (np.array(LABELS, np.float32), ("0", "1", "2"), LABELS),
        (np.array(LABELS, np.uint8), ("0", "1", "2"), LABELS),
        (np.array([True, False] * 3), ("0", "1"), [1, 0] * 3),
        (np.array(["dog", "cat"] * 3), ("cat", "dog"), [1, 0] * 3),
        (np.array(["1", "0"] * 3), ("0", "1"), [1, 0] * 3),
        (np.array([-1, -2, 0, 1, 0, 1]), ("0", "1"), [-1, -2, 0, 1, 0, 1]),
    ],
)
def test_labels_of_many_types(tmp_path, labels, classes, expected):
    pool = read(archive(tmp_path, x=IMAGES, y=labels))
    assert pool.classes == classes
    assert pool.labels.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (LABELS[:5], "there are 6 images, but the labels have the shape (5,). Give one per image"),
        (np.eye(6), "the labels have the shape (6, 6)"),
        ([0, 1, np.inf, 0, 1, 0], "the label array holds inf"),
        ([0, 1, 0.5, 0, 1, 0], "the label array holds 0.5"),
        ([0, 1, 2, 0, 1, 6], "label 6 cannot be a class of 6 images"),
        ([-1] * 6, "no image has a class. At least one needs a label"),
        (np.array([b"cat", b"dog"] * 3), "holds b'cat'"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, sentence):
    refused(archive(tmp_path, x=IMAGES, y=labels), sentence)


@pytest.mark.parametrize(
    "images",
    [IMAGES.astype(np.float32), IMAGES.astype(np.int16), IMAGES[..., :2], IMAGES[0, 0], IMAGES[:0], IMAGES[None]],
)
def test_images_of_another_kind_are_refused(tmp_path, images):
    refused(archive(tmp_path, x=images, y=LABELS), "x should be uint8 of shape (n, h, w), (n, h, w, 1 or 3)")
    refused(archive(tmp_path, x=images, y=LABELS), f"{images.dtype} of shape {images.shape} came")


class Armed:
    """What a malicious archive would hold: unpickling it writes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (self.file, "w")


def test_pickled_objects_are_never_loaded(tmp_path):
    trap = str(tmp_path / "executed")
    for arrays in ({"x": np.array([Armed(trap)] * 6), "y": LABELS}, {"x": IMAGES, "y": np.array([Armed(trap)] * 6)}):
        refused(archive(tmp_path, **arrays), "Object arrays cannot be loaded when allow_pickle=False")
    assert not (tmp_path / "executed").exists()


def test_files_that_are_no_archives(tmp_path):
    path = tmp_path / "a.npz"
    path.touch()
    refused(path, "cannot be read as an NPZ archive of plain arrays")
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    path.write_bytes(buffer.getvalue())
    refused(path, "cannot be read as an NPZ archive of plain arrays: it is a single array")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "text")
        file.writestr("y", "text")
    refused(path, "cannot be read as an NPZ archive of plain arrays: x is no array")


def test_no_damage_is_anything_but_a_sentence(tmp_path):
    data = archive(tmp_path, x=IMAGES[:, :2, :2], y=LABELS).read_bytes()
    path = tmp_path / "damaged.npz"
    for place in range(0, len(data), 5):
        path.write_bytes(data[:place])
        with pytest.raises(InputError):
            read(path)
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            pool = read(path)
        except InputError:
            continue
        assert len(pool) == 6  # the damage lies where nothing is stored
