import os
import pickle

import numpy as np
import pytest
import torch

from goodgrain.data.read import read
from goodgrain.errors import InputError
from published import cifar10_python

TRUE = (np.arange(20) % 2).tolist()  # of the 20 training images
WORSE = [*TRUE[:14], *[1 - label for label in TRUE[14:]]]


@pytest.fixture
def cifar(tmp_path):
    return cifar10_python(tmp_path / "cifar-10-batches-py")


def human(kind=np.array):
    return {"clean_label": kind(TRUE), "worse_label": kind(WORSE)}


def as_npy(columns, path):
    np.save(path, np.array(columns, dtype=object), allow_pickle=True)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_the_dictionary_that_torch_saved(cifar, tmp_path, kind):
    file = tmp_path / "CIFAR-10_human.pt"
    for legacy in (False, True):
        torch.save(human(kind), file, _use_new_zipfile_serialization=not legacy)
        pool = read(cifar, labels=f"{file}:worse_label", clean_labels=f"{file}:clean_label")
        assert (pool.labels.tolist(), pool.clean_labels.tolist()) == (WORSE, TRUE)
        assert pool.classes == ("cat", "dog")


@pytest.mark.parametrize("kind", [np.array, lambda labels: [np.int64(label) for label in labels]])
def test_the_dictionary_that_numpy_saved(cifar, tmp_path, kind):
    file = tmp_path / "CIFAR-10_human_ordered.npy"
    as_npy(human(kind), file)
    pool = read(cifar, labels=f"{file}:worse_label", clean_labels=f"{file}:clean_label")
    assert (pool.labels.tolist(), pool.clean_labels.tolist()) == (WORSE, TRUE)


def test_one_tensor_or_one_array_of_objects_is_the_labels(cifar, tmp_path):
    torch.save(torch.tensor(WORSE), tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", np.array(WORSE, dtype=object), allow_pickle=True)
    for file in ("a.pt", "a.npy"):
        assert read(cifar, labels=tmp_path / file).labels.tolist() == WORSE


def test_the_order_is_checked_by_the_true_labels(cifar, tmp_path):
    order = [*range(1, 20), 0]
    columns = {name: values[order] for name, values in human().items()}
    for file, save in ((tmp_path / "a.pt", torch.save), (tmp_path / "a.npy", as_npy)):
        save(columns, file)
        with pytest.raises(InputError, match=r"follows another order than the images: .* differ .* in 20 of 20 rows"):
            read(cifar, labels=f"{file}:worse_label")
    coarse = {"clean_label": np.arange(20), "clean_coarse_label": np.array(TRUE), "noisy_coarse_label": np.array(WORSE)}
    torch.save(coarse, tmp_path / "b.pt")
    assert read(cifar, labels=f"{tmp_path}/b.pt:noisy_coarse_label").labels.tolist() == WORSE


def test_columns_and_lengths_are_told(cifar, tmp_path):
    file = tmp_path / "a.pt"
    torch.save(human(), file)
    for spec, sentence in [
        (file, r"a.pt has the columns clean_label, worse_label. Say which one: a.pt:COLUMN"),
        (f"{file}:worst", "a.pt has no column 'worst'. Its columns are clean_label, worse_label"),
    ]:
        with pytest.raises(InputError, match=sentence):
            read(cifar, labels=spec)
    with pytest.raises(InputError, match=r"a.pt has 20 labels for 4 images"):
        read(f"{cifar}#test", labels=f"{file}:worse_label")
    torch.save({"label": torch.zeros(20, 2)}, file)
    with pytest.raises(InputError, match=r"'label' of a.pt should hold one label per image on 1 axis; .* \(20, 2\)"):
        read(cifar, labels=file)


class Armed:
    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (self.trap,)


def test_nothing_in_a_label_file_is_run(cifar, tmp_path):
    trap = tmp_path / "executed"
    known = torch.serialization.get_safe_globals()
    for inside in (
        Armed(str(trap)),
        {"label": Armed(str(trap))},
        {"label": np.array([Armed(str(trap))], dtype=object)},
    ):
        torch.save(inside, tmp_path / "a.pt")
        as_npy(inside, tmp_path / "a.npy")
        for file in ("a.pt", "a.npy"):
            with pytest.raises(InputError, match=rf"^{file} asks for posix.mkdir; a label file holds arrays only\."):
                read(cifar, labels=f"{tmp_path}/{file}:label")
    assert not trap.exists()
    assert torch.serialization.get_safe_globals() == known


def test_files_that_torch_did_not_write(cifar, tmp_path):
    file = tmp_path / "a.pt"
    torch.save(human(), file)
    whole = file.read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2], pickle.dumps([1])):
        file.write_bytes(data)
        with pytest.raises(InputError, match="a.pt cannot be read as a file of torch.save; it is cut off or damaged"):
            read(cifar, labels=file)


def test_cifar_with_human_labels(real_data):
    names = real_data / "cifar10n_labels.parquet"
    pool = read(
        real_data / "cifar10_train.parquet", labels=f"{names}:random_label1", clean_labels=f"{names}:clean_label"
    )
    assert len(pool) == 50_000
    assert pool.image_shape == (32, 32, 3)
    assert (pool.labels != pool.clean_labels).mean() == pytest.approx(0.17234)
    assert pool.rejected == ()
