import re
import zlib

import numpy as np
import pytest
from PIL import Image

from goodgrain.data import images as images_module
from goodgrain.data.read import dataset as dataset_module
from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import class_folders, encoded, picture, pixels

DAMAGE = {
    "empty": b"",
    "text": b"no image at all",
    "cut JPEG": encoded(picture(0, size=(40, 40)), "JPEG")[:-300],
    "cut PNG": encoded(picture(0))[:150],
    "header only": encoded(picture(0), "JPEG")[:20],
    "zeros": bytes(500),
}


def damaged(folder, bad, data, each=10):
    """Class folders whose first images of the first class are damaged."""
    class_folders(folder, each=each)
    for i in range(bad):
        (folder / "cat" / f"{i}.png").write_bytes(data)
    return folder


def test_a_bomb_is_rejected_and_not_decoded(tmp_path):
    data = encoded(Image.new("1", (4, 4)))  # signature, then a header chunk: length, "IHDR", sides, ..., checksum
    header = data[12:16] + (60_000).to_bytes(4, "big") * 2 + data[24:29]
    (class_folders(tmp_path) / "cat" / "0.png").write_bytes(
        data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
    )
    assert ["bomb" in bad.reason for bad in read(tmp_path, max_bad=0.2).rejected] == [True]


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_rejected_with_a_reason(tmp_path, data):
    pool = read(damaged(tmp_path, 2, data), max_bad=0.1)  # exactly at the limit
    assert [bad.id for bad in pool.rejected] == ["cat/0.png", "cat/1.png"]
    for bad in pool.rejected:
        assert bad.reason
        assert str(tmp_path) not in bad.reason
        assert not re.search("0x[0-9a-f]+", bad.reason)
    assert len(pool) == 18
    assert pool.labels.tolist() == [0] * 8 + [1] * 10
    assert len(pool.images(np.arange(18))) == 18


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_one_more_than_the_limit_stops_with_the_count(tmp_path, data):
    with pytest.raises(InputError) as refusal:
        read(damaged(tmp_path, 3, data), max_bad=0.1)
    assert str(refusal.value).startswith(
        "3 of 20 images (15.0%) cannot be used, more than max_bad=0.1 allows. The first:"
    )
    assert "cat/0.png: " in str(refusal.value)
    assert str(refusal.value).endswith("Repair or remove them, or raise max_bad.")


def test_by_default_one_in_a_hundred_may_be_bad(tmp_path):
    assert len(read(damaged(tmp_path / "a", 1, b"", each=50)).rejected) == 1
    with pytest.raises(InputError, match=r"^1 of 98 images \(1.0%\) cannot be used, more than max_bad=0.01 allows"):
        read(damaged(tmp_path / "b", 1, b"", each=49))
    with pytest.raises(InputError, match=r"^1 of 100 images"):
        read(tmp_path / "a", max_bad=0)


@pytest.mark.parametrize("bad", [7, 14, 28, 29, 55, 57, 58])
def test_the_limit_is_a_share_and_not_its_rounding(tmp_path, bad):
    labels = np.arange(100) % 2.0
    labels[:bad] = np.nan
    np.savez(tmp_path / "a.npz", x=np.zeros((100, 2, 2), np.uint8), y=labels)
    assert len(read(tmp_path / "a.npz", max_bad=bad / 100).rejected) == bad
    with pytest.raises(InputError, match=f"^{bad} of 100 images"):
        read(tmp_path / "a.npz", max_bad=bad / 100 - 1e-9)


def test_the_count_comes_before_what_follows_from_it(tmp_path):
    folder = damaged(tmp_path, 10, b"")  # all cats are gone, so that one class is left
    with pytest.raises(InputError, match=r"^10 of 20 images \(50.0%\) cannot be used"):
        read(folder)
    assert read(folder, max_bad=0.5).labels.tolist() == [1] * 10  # whoever needs two classes says so


@pytest.mark.parametrize("kind", ["empty", "cut JPEG"])
def test_no_usable_image_is_refused_whatever_is_allowed(tmp_path, kind):
    class_folders(tmp_path, each=2)
    for file in tmp_path.rglob("*.png"):
        file.write_bytes(DAMAGE[kind])
    with pytest.raises(InputError, match=r"^none of the 4 images can be|^4 of 4 images \(100.0%\) cannot be used\."):
        read(tmp_path, max_bad=1)


@pytest.mark.parametrize("max_bad", [-0.1, 1.1, float("nan")])
def test_the_limit_is_checked_first(tmp_path, max_bad):
    with pytest.raises(InputError, match="max_bad should be a share between 0 and 1"):
        read(tmp_path / "nowhere", max_bad=max_bad)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "gone does not exist. Give a folder of images, a Parquet file or an NPZ file"),
        ("gone#test", "gone#test does not exist"),
        ("notes.txt", "notes.txt is no known layout"),
        ("notes.txt#test", "notes.txt has no splits, so '#test' means nothing"),
        ("empty", "empty holds neither class folders, nor a labels.csv, nor Parquet files"),
        ("flat", "flat holds neither class folders"),
    ],
)
def test_paths_that_hold_no_dataset(tmp_path, name, sentence):
    (tmp_path / "notes.txt").write_text("x")
    for folder in ("empty", "flat"):
        (tmp_path / folder).mkdir()
    picture(0).save(tmp_path / "flat" / "0.png")
    with pytest.raises(InputError) as refusal:
        read(f"{tmp_path}/{name}")
    assert sentence in str(refusal.value)


def test_one_class_is_a_dataset(tmp_path):
    pool = read(class_folders(tmp_path, ("cat",)))
    assert (pool.classes, pool.labels.tolist()) == (("cat",), [0] * 4)


def test_more_images_than_can_be_checked_are_decoded_when_asked_for(tmp_path, monkeypatch):
    class_folders(tmp_path, each=3)
    (tmp_path / "cat" / "0.png").write_bytes(DAMAGE["zeros"])  # has no header
    (tmp_path / "cat" / "1.png").write_bytes(DAMAGE["cut JPEG"])  # has one
    assert [bad.id for bad in read(tmp_path, max_bad=0.5).rejected] == ["cat/0.png", "cat/1.png"]
    monkeypatch.setattr(images_module, "MEMORY_CAP", 5 * 12 * 10 * 3 - 1)
    assert len(read(tmp_path, max_bad=0.5).rejected) == 2  # few images are checked all the same
    monkeypatch.setattr(dataset_module, "MOST_CHECKED", 4)
    pool = read(tmp_path, max_bad=0.5)
    assert [bad.id for bad in pool.rejected] == ["cat/0.png"]
    np.testing.assert_array_equal(pool.images([1])[0], pixels(2))
    with pytest.raises(InputError, match="image 'cat/1.png'"):
        pool.images([0])
