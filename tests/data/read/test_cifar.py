import os
import pickle

import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from published import cifar10_python, cifar_pixels, planes, python2_pickle


def refused(path, sentence, **options):
    with pytest.raises(InputError) as refusal:
        read(path, **options)
    assert sentence in str(refusal.value)


def python3_pickle(value):
    """The same file written again by Python 3, with bytes for keys."""
    return pickle.dumps({key.encode(): entry for key, entry in value.items()}, protocol=2)


def cifar100_python(folder, n=6):
    folder.mkdir()
    for name, seed in (("train", 0), ("test", 1)):
        part = {
            "data": planes(cifar_pixels(n, seed)),
            "fine_labels": [2, 0, 1] * (n // 3),
            "coarse_labels": [1, 0] * (n // 2),
        }
        (folder / name).write_bytes(python2_pickle(part))
    names = {"fine_label_names": ["apple", "bear", "cloud"], "coarse_label_names": ["plants", "animals"]}
    (folder / "meta").write_bytes(python2_pickle(names))
    return folder


def binary(images, *labels):
    return np.column_stack([*labels, planes(images)]).astype(np.uint8).tobytes()


@pytest.mark.parametrize("write", [python2_pickle, python3_pickle, pickle.dumps])
def test_cifar10_in_python_batches(tmp_path, write):
    folder = cifar10_python(tmp_path / "cifar-10-batches-py", write=write)
    train, test = read(folder), read(f"{folder}#test")
    assert train.ids.tolist() == [str(i) for i in range(20)]
    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 1] * 10
    np.testing.assert_array_equal(train.images(np.arange(20)), cifar_pixels(24)[:20])
    np.testing.assert_array_equal(test.images(np.arange(4)), cifar_pixels(24)[20:])
    assert read(f"{folder}#train").fingerprint() == train.fingerprint()


def test_red_comes_before_green_and_rows_before_columns(tmp_path):
    folder = cifar10_python(tmp_path / "c", each=2)
    data = np.zeros((2, 3072), np.uint8)
    data[0, 1], data[0, 32], data[0, 1024], data[0, 3071] = 1, 2, 3, 4
    (folder / "test_batch").write_bytes(python2_pickle({"data": data, "labels": [0, 1]}))
    image = read(f"{folder}#test").images([0])[0]
    assert (image[0, 1, 0], image[1, 0, 0], image[0, 0, 1], image[31, 31, 2]) == (1, 2, 3, 4)
    assert image.sum() == 10


def test_cifar10_in_binary_batches_is_the_same_pool(tmp_path):
    expected = read(cifar10_python(tmp_path / "py"))
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    images, labels = cifar_pixels(24), np.arange(24) % 2
    for i in range(5):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(binary(images[4 * i : 4 * i + 4], labels[4 * i : 4 * i + 4]))
    (folder / "test_batch.bin").write_bytes(binary(images[20:], labels[20:]))
    (folder / "batches.meta.txt").write_text("cat\ndog\n\n")
    assert read(folder).fingerprint() == expected.fingerprint()
    assert read(f"{folder}#test").fingerprint() == read(f"{tmp_path}/py#test").fingerprint()


def test_cifar100_has_fine_and_coarse_labels(tmp_path):
    folder = cifar100_python(tmp_path / "cifar-100-python")
    fine, coarse = read(folder), read(folder, label_column="coarse_labels")
    assert (fine.classes, fine.labels.tolist()) == (("apple", "bear", "cloud"), [2, 0, 1] * 2)
    assert (coarse.classes, coarse.labels.tolist()) == (("plants", "animals"), [1, 0] * 3)
    np.testing.assert_array_equal(read(f"{folder}#test").images(np.arange(6)), cifar_pixels(6, seed=1))
    refused(folder, "has no column 'labels'. Its columns are fine_labels, coarse_labels", label_column="labels")
    refused(folder, "has no columns, so 'id' means nothing", id_column="id")


def test_cifar100_in_binary_has_the_coarse_label_first(tmp_path):
    expected = cifar100_python(tmp_path / "py")
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    for name, seed in (("train", 0), ("test", 1)):
        (folder / f"{name}.bin").write_bytes(binary(cifar_pixels(6, seed), [1, 0] * 3, [2, 0, 1] * 2))
    (folder / "fine_label_names.txt").write_text("apple\nbear\ncloud\n")
    (folder / "coarse_label_names.txt").write_text("plants\nanimals\n")
    for options in ({}, {"label_column": "coarse_labels"}):
        assert read(folder, **options).fingerprint() == read(expected, **options).fingerprint()


def test_without_the_file_of_names_classes_are_numbers(tmp_path):
    folder = cifar10_python(tmp_path / "c")
    (folder / "batches.meta").unlink()
    assert read(folder).classes == ("0", "1")


def test_class_folders_called_train_and_meta_are_no_cifar(tmp_path):
    for name in ("train", "meta"):
        (tmp_path / name).mkdir()
    refused(tmp_path, "class 'meta' has no images")


def with_batch(folder, name, **entries):
    (folder / name).write_bytes(python2_pickle({"data": planes(cifar_pixels(2)), "labels": [0, 1], **entries}))


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (
            {"data": np.zeros((2, 3 * 31 * 32), np.uint8)},
            "'data' of test_batch should be uint8 of shape (n, 3072), one row per image of 32 x 32 pixels in three "
            "colours; uint8 of shape (2, 2976) came",
        ),
        ({"data": [1, 2]}, "pixels in three colours; list came"),
        ({"labels": [0, 1, 0]}, "'labels' of test_batch should hold one label for each of 2 images; 3 labels came"),
        ({"labels": "cat"}, "should hold one label for each of 2 images; str came"),
        ({"labels": [0, 7]}, "labels should be 0..1"),
        ({"labels": [0, [1]]}, "'labels' of test_batch holds [1]"),
    ],
)
def test_batches_of_another_shape(tmp_path, entries, sentence):
    folder = cifar10_python(tmp_path / "c")
    with_batch(folder, "test_batch", **entries)
    refused(f"{folder}#test", sentence)


def test_files_that_are_no_batches(tmp_path):
    folder = cifar10_python(tmp_path / "c")
    (folder / "test_batch").write_bytes(python2_pickle({"data": planes(cifar_pixels(2)), "fine_labels": [0, 1]}))
    refused(f"{folder}#test", "test_batch has no 'labels'. Its entries are data, fine_labels")
    (folder / "test_batch").write_bytes(python2_pickle([1]))
    refused(f"{folder}#test", "test_batch should be a dictionary; list came")
    (folder / "data_batch_2").unlink()
    (folder / "data_batch_5").unlink()
    refused(folder, "lacks data_batch_2, data_batch_5: 5 files make up this part")
    refused(f"{folder}#val", "holds the splits train, test. Name one of them: 'c#SPLIT'")
    with_batch(folder, "test_batch")
    (folder / "batches.meta").write_bytes(python2_pickle({"label_names": [1, 2]}))
    refused(f"{folder}#test", "batches.meta of", label_column="labels")


def test_a_file_that_was_cut_off(tmp_path):
    folder = cifar10_python(tmp_path / "c")
    data = (folder / "data_batch_3").read_bytes()
    (folder / "data_batch_3").write_bytes(data[: len(data) // 2])
    refused(folder, "data_batch_3 is cut off or damaged")
    record = binary(cifar_pixels(2), [0, 1])
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (tmp_path / name).write_bytes(record)
    (tmp_path / "test_batch.bin").write_bytes(record[:-96])
    refused(f"{tmp_path}#test", "test_batch.bin has 6050 bytes, which is no whole number of records: one takes 3073")
    (tmp_path / "test_batch.bin").write_bytes(b"")
    refused(f"{tmp_path}#test", "test_batch.bin has 0 bytes")
    assert len(read(tmp_path)) == 10


class Armed:
    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (self.trap,)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_batch_that_would_run_something(tmp_path, name):
    folder = cifar10_python(tmp_path / "c")
    (folder / name).write_bytes(pickle.dumps({"data": Armed(str(tmp_path / "executed"))}, protocol=2))
    refused(
        f"{folder}#{'test' if name == 'test_batch' else 'train'}", f"{name} asks for posix.mkdir; a CIFAR file holds"
    )
    assert not (tmp_path / "executed").exists()
