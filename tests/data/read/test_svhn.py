import numpy as np
import pytest
from scipy.io import savemat

from goodgrain.data.read import read
from goodgrain.errors import InputError
from published import cifar_pixels, svhn


def test_every_file_in_its_own_order(tmp_path):
    folder, images = svhn(tmp_path / "svhn"), cifar_pixels(12)
    for pool, rows, digits in (
        (read(folder), slice(0, 4), [1, 2, 3, 4]),
        (read(f"{folder}#train"), slice(0, 4), [1, 2, 3, 4]),
        (read(f"{folder}#test"), slice(4, 8), [5, 6, 7, 8]),
        (read(f"{folder}#extra"), slice(8, 12), [9, 0, 1, 2]),  # 10 stands for the digit 0
        (read(folder / "extra_32x32.mat"), slice(8, 12), [9, 0, 1, 2]),
    ):
        np.testing.assert_array_equal(pool.images(np.arange(4)), images[rows])
        assert pool.labels.tolist() == digits
        assert pool.ids.tolist() == ["0", "1", "2", "3"]
        assert pool.classes == tuple("0123456789")


def test_pixels_are_not_copied_on_their_way(tmp_path):
    assert not read(svhn(tmp_path / "svhn")).source.images.flags.owndata  # 1.6 GB of `extra` once, not twice


def test_a_single_digit(tmp_path):
    svhn(tmp_path / "svhn", each=1)
    pool = read(tmp_path / "svhn")
    np.testing.assert_array_equal(pool.images([0]), cifar_pixels(3)[:1])


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"y": [[1]]}, r"has no variable 'X'. Is it the published file\?"),
        (
            {"X": np.zeros((8, 8, 3, 2), np.uint8), "y": [[1], [2]]},
            r"should be uint8 of shape \(32, 32, 3, n\); uint8 of",
        ),
        ({"X": np.zeros((32, 32, 3, 2)), "y": [[1], [2]]}, r"should be uint8 of shape .* float64 of"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[1]]}, "has 1 labels for 2 images"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[1], [0]]}, "should hold the digits 1 to 9, and 10"),
    ],
)
def test_another_form_is_refused(tmp_path, entries, sentence):
    savemat(tmp_path / "train_32x32.mat", entries)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path)


def test_what_is_not_matlab_is_refused(tmp_path):
    folder = svhn(tmp_path / "svhn", each=40)
    file = folder / "train_32x32.mat"
    whole = file.read_bytes()
    for data, sentence in (
        (b"\x80\x04cposix\nsystem\n", "is no MATLAB file: it does not begin with 'MATLAB 5.0 MAT-file'"),
        (b"MATLAB 7.3 MAT-file" + whole[19:], r"of version 7.3 \(HDF5\). Save it again with -v7"),
        (whole[: len(whole) // 2], "is cut off or damaged"),
        (whole[:200] + bytes(200) + whole[400:], "is cut off or damaged"),
    ):
        file.write_bytes(data)
        with pytest.raises(InputError, match=sentence):
            read(folder)


def test_no_such_split(tmp_path):
    folder = svhn(tmp_path / "svhn")
    with pytest.raises(InputError, match="holds the splits train, test, extra"):
        read(f"{folder}#val")
    with pytest.raises(InputError, match="has no splits, so '#test' means nothing"):
        read(f"{folder}/train_32x32.mat#test")
    with pytest.raises(InputError, match="has no columns, so 'y' means nothing"):
        read(folder, label_column="y")
    (folder / "test_32x32.mat").unlink()
    with pytest.raises(InputError, match=r"test_32x32.mat cannot be read"):
        read(f"{folder}#test")
