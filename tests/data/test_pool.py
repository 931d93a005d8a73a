import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodgrain.data import OOD, UNLABELED, Pool
from goodgrain.data import images as images_module
from goodgrain.data import pool as pool_module
from goodgrain.data.images import FileSource
from goodgrain.errors import InputError


def pool_of(n=6, shape=(8, 8, 3), seed=0, **parts):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    return Pool.from_arrays(pixels, parts.pop("labels", np.arange(n) % 2), **parts)


def files_pool(folder, n=5):
    rng = np.random.default_rng(1)
    names = [f"{i}.png" for i in range(n)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(folder / name)
    ids = np.asarray(names)
    return Pool(ids, np.arange(n) % 2, ("a", "b"), FileSource(folder, tuple(names)), (6, 7, 3))


def test_images_come_in_the_order_asked_with_repeats():
    pool = pool_of()
    np.testing.assert_array_equal(pool.images([4, 1, 4]), pool.source.images[[4, 1, 4]])


def test_changing_what_came_out_changes_nothing_inside():
    pool = pool_of()
    before = pool.fingerprint()
    pool.images([0])[:] = 0
    assert pool.fingerprint() == before


def test_files_are_decoded_once_and_subsets_share_that(tmp_path):
    pool = files_pool(tmp_path)
    whole = pool.images(np.arange(5))
    for file in tmp_path.iterdir():
        file.unlink()
    np.testing.assert_array_equal(pool.subset([3, 1]).subset([1]).images([0]), whole[[1]])
    np.testing.assert_array_equal(pool.with_labels([1, 1, 0, 0, 0]).images([2]), whole[[2]])


def test_a_pool_over_the_memory_cap_decodes_on_demand(tmp_path, monkeypatch):
    kept = files_pool(tmp_path).images(np.arange(5))
    monkeypatch.setattr(images_module, "MEMORY_CAP", 5 * 6 * 7 * 3 - 1)
    pool = files_pool(tmp_path)
    np.testing.assert_array_equal(pool.images(np.arange(5)), kept)
    np.testing.assert_array_equal(pool.subset([4, 2]).images([1]), kept[[2]])  # this one fits, and keeps
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match=r"image '0.png' cannot be read: no such file or directory"):
        pool.images([1, 0])


def test_verified_moves_what_cannot_be_decoded(tmp_path):
    pool = files_pool(tmp_path)
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(data[: len(data) // 2])
    checked = pool.verified()
    assert checked.ids.tolist() == ["0.png", "1.png", "2.png", "4.png"]
    assert checked.labels.tolist() == [0, 1, 0, 0]
    assert [bad.id for bad in checked.rejected] == ["3.png"]
    assert checked.rejected[0].reason


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_a_subset_is_the_pool_at_these_positions(order, size):
    pool = pool_of(clean_labels=[0, 0, 0, 1, 1, 1])
    rows = list(order[:size])
    part = pool.subset(rows)
    assert part.ids.tolist() == pool.ids[rows].tolist()
    assert part.labels.tolist() == pool.labels[rows].tolist()
    assert part.clean_labels.tolist() == pool.clean_labels[rows].tolist()
    np.testing.assert_array_equal(part.images(np.arange(size)), pool.images(rows))
    np.testing.assert_array_equal(np.asarray(part.thumbnail(0)), pool.images(rows[:1])[0])


def test_the_fingerprint_is_this_sha256():
    pool = Pool.from_arrays(np.full((1, 1, 2), 7, np.uint8), [1], classes=["a", "b"], ids=["x"])
    digest = hashlib.sha256(json.dumps([["x"], ["a", "b"], [1, 2, 1]]).encode())
    digest.update((1).to_bytes(8, "little"))
    digest.update(b"\x07\x07")
    assert pool.fingerprint() == digest.hexdigest()


def test_the_fingerprint_knows_every_part():
    pool = pool_of()
    pixels = pool.images(np.arange(6))
    pixels[5, 7, 7, 2] ^= 1
    others = [
        Pool.from_arrays(pixels, pool.labels),
        pool.with_labels([1, 1, 0, 1, 0, 1]),
        pool_of(ids=list("abcdef")),
        pool_of(classes=["0", "2"]),
        pool.subset([0, 1, 2, 3, 5, 4]),
    ]
    assert len({pool.fingerprint(), *(other.fingerprint() for other in others)}) == 6
    assert pool_of().fingerprint() == pool.fingerprint()


def test_a_thumbnail_is_small_and_keeps_its_proportions(tmp_path):
    Image.new("RGB", (300, 150), "red").save(tmp_path / "a.png")
    pool = Pool(np.array(["a"]), np.array([0]), ("a", "b"), FileSource(tmp_path, ("a.png",)), (4, 4, 3))
    assert pool.thumbnail(0).size == (96, 48)
    assert pool.thumbnail(0).getpixel((5, 5)) == (255, 0, 0)


def test_labels_may_be_open():
    pool = pool_of(labels=[0, 1, UNLABELED, OOD, 1, 0])
    assert pool.labels.tolist() == [0, 1, -1, -2, 1, 0]
    assert pool.with_labels([1] * 6, clean_labels=pool.labels).clean_labels.tolist() == [0, 1, -1, -2, 1, 0]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"labels": [0, 1, 2, 0, 1, -3]},
            r"labels should be 0..2, -1 \(not labeled\) or -2 .* the first is -3 at row 5",
        ),
        ({"labels": [0, 1]}, "labels has 2 rows, but there are 6 examples"),
        ({"ids": list("aabcde")}, "the id 'a' comes 2 times"),
        ({"ids": ["a"]}, "there are 1 ids for 6 images"),
        ({"classes": ["a", "a"]}, "classes should have different names"),
        ({"labels": [-1] * 6}, "no image has a label, so the classes are unknown"),
        ({"shape": (8, 8, 2)}, "images should be uint8 of shape"),
    ],
)
def test_what_does_not_belong_together_is_refused(parts, sentence):
    with pytest.raises(InputError, match=sentence):
        pool_of(**parts)


@pytest.mark.parametrize(
    ("positions", "sentence"),
    [([6], r"positions should be 0..5; 6 is not"), ([-1], "-1 is not"), ([0.5], "positions should be integers")],
)
def test_positions_outside_are_refused(positions, sentence):
    with pytest.raises(InputError, match=sentence):
        pool_of().images(positions)
    with pytest.raises(InputError):
        pool_of().subset(positions)


def test_a_large_pool_is_known_by_a_sample_of_its_pixels(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4), dtype=np.uint8)
    monkeypatch.setattr(images_module, "MEMORY_CAP", 50 * 16 - 1)
    monkeypatch.setattr(pool_module, "_FINGERPRINT_SAMPLE", 8)
    pool = Pool.from_arrays(images, np.arange(50) % 2)
    assert not pool.in_memory
    seen, take = [], Pool.images
    monkeypatch.setattr(Pool, "images", lambda self, rows: (seen.extend(rows), take(self, rows))[1])
    before = pool.fingerprint()
    assert seen == [0, 7, 14, 21, 28, 35, 42, 49]
    images[14] += 1  # one of the sample
    assert Pool.from_arrays(images, np.arange(50) % 2).fingerprint() != before
    assert Pool.from_arrays(images, 1 - np.arange(50) % 2).fingerprint() != before


BOXES = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.75, 1], [np.nan] * 4], np.float32)


def boxed(boxes=BOXES):
    return dataclasses.replace(pool_of(3), boxes=boxes)


def test_boxes_follow_their_images():
    pool = boxed()
    np.testing.assert_array_equal(pool.subset([2, 0]).boxes, BOXES[[2, 0]])
    np.testing.assert_array_equal(pool.with_labels([1, 1, 1]).boxes, BOXES)
    np.testing.assert_array_equal(pool.verified().boxes, BOXES)
    given = boxed(BOXES.astype(np.float64).tolist()).boxes
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, BOXES)


def test_the_fingerprint_knows_boxes_and_changes_for_nobody_else():
    other = BOXES.copy()
    other[1, 3] = 0.9
    assert len({pool_of(3).fingerprint(), boxed().fingerprint(), boxed(other).fingerprint()}) == 3
    assert dataclasses.replace(boxed(), boxes=None).fingerprint() == pool_of(3).fingerprint()


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ([0, 0, 1.01, 1], r"boxes should be left < right .* 1 are not, the first is \[0.0, 0.0, 1.00.*\] of image '1'"),
        ([-0.1, 0, 1, 1], "of image '1'"),
        ([0.5, 0, 0.5, 1], "of image '1'"),
        ([0, 0.6, 1, 0.5], "of image '1'"),
        ([0, 0, 1, np.nan], "of image '1'"),
        ([0, 0, np.inf, 1], "of image '1'"),
        (["a", 0, 1, 1], "boxes cannot be read as numbers"),
    ],
)
def test_a_box_that_is_none_is_refused(box, sentence):
    with pytest.raises(InputError, match=sentence):
        boxed([BOXES[0].tolist(), box, BOXES[2].tolist()])


def test_there_is_one_box_per_image():
    with pytest.raises(InputError, match=r"boxes should be \(n, 4\) for n = 3 images; their shape is \(2, 4\)"):
        boxed(BOXES[:2])
