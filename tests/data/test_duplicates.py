import io

import numpy as np
import pytest
from PIL import Image

from goodgrain.data.duplicates import _embed, find_duplicates, find_overlap
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError


def pictures(n, seed=0, size=32):
    """Smooth random colour pictures: large soft patches, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in coarse])


def again_as_jpeg(image, quality=60):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def brighter(image):
    return np.clip(image.astype(float) * 0.8 + 30, 0, 255).astype(np.uint8)


def smaller_and_back(image):
    picture = Image.fromarray(image).resize((24, 24), Image.Resampling.BILINEAR)
    return np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))


def pool(images, labels=None):
    return Pool.from_arrays(
        np.stack(list(images)), np.zeros(len(images), int) if labels is None else labels, classes=["a", "b"]
    )


def pairs(found):
    return [[int(a), int(b)] for a, b in zip(found.originals, found.positions, strict=True)]


def test_the_same_picture_is_found_in_every_disguise():
    images = list(pictures(8))
    images += [images[0], again_as_jpeg(images[1]), brighter(images[2]), smaller_and_back(images[3])]
    found = find_duplicates(pool(images))
    assert pairs(found) == [[0, 8], [1, 9], [2, 10], [3, 11]]
    assert found.exact.tolist() == [True, False, False, False]
    assert found.counts() == {"exact": 1, "near": 3, "conflicts": 0}
    assert (found.similarity >= 0.98).all()


def test_different_pictures_are_no_pair():
    assert len(find_duplicates(pool(pictures(300)))) == 0


def test_pictures_without_contrast_pair_only_when_their_pixels_are_equal():
    flat = [np.full((32, 32, 3), level, np.uint8) for level in (0, 0, 9, 200, 0)]
    assert pairs(find_duplicates(pool(flat))) == [[0, 1], [0, 4]]


def test_training_pictures_in_the_test_set():
    train, test = pictures(6), list(pictures(5, seed=1))
    test += [again_as_jpeg(train[4]), train[2]]
    found = find_overlap(pool(train), pool(test))
    assert pairs(found) == [[6, 2], [5, 4]]  # (test, train)
    flat = np.zeros((2, 32, 32, 3), np.uint8)
    assert pairs(find_overlap(pool(flat[:1]), pool(flat))) == [[0, 0]]


def test_pairs_with_two_labels_are_counted():
    images = pictures(3)
    found = find_duplicates(pool([*images, images[0], images[1]], [0, 0, 0, 1, 0]))
    assert len(found) == 2
    assert found.conflicts.tolist() == [True, False]


def test_order_decides_only_which_is_the_original():
    images = [*pictures(20), *(again_as_jpeg(image) for image in pictures(5))]
    shuffle = np.random.default_rng(0).permutation(25)
    expected = {frozenset(pair) for pair in pairs(find_duplicates(pool(images)))}
    mixed = pairs(find_duplicates(pool([images[i] for i in shuffle])))
    assert {frozenset(shuffle[pair].tolist()) for pair in mixed} == expected
    assert len(expected) == 5


def test_a_thousand_equal_pictures_are_a_thousand_repeats_of_one():
    found = find_duplicates(pool([pictures(1)[0]] * 1001))
    assert found.originals.tolist() == [0] * 1000


def test_every_repeat_has_its_most_similar_earlier_picture():
    images = list(pictures(40))
    images += [again_as_jpeg(images[i], quality) for i in range(20) for quality in (90, 40)]
    found = find_duplicates(pool(images))
    embedded = _embed(pool(images)).astype(float)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    cosine = embedded @ embedded.T
    expected = {}
    for later in range(len(images)):
        earlier = [other for other in range(later) if cosine[later, other] >= 0.98]
        if earlier:
            expected[later] = max(earlier, key=lambda other: cosine[later, other])
    assert dict(zip(found.positions.tolist(), found.originals.tolist(), strict=True)) == expected
    assert len(expected) == 40
    np.testing.assert_allclose(found.similarity, cosine[found.positions, found.originals], atol=1e-9)


def test_pictures_of_other_sizes_are_found_across_pools():
    train = pictures(5)
    small = np.stack([np.asarray(Image.fromarray(one).resize((20, 20), Image.Resampling.BOX)) for one in train[[3, 1]]])
    gray = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in train[[2]]])
    assert pairs(find_overlap(pool(train), pool(small))) == [[1, 1], [0, 3]]  # (test, train)
    assert pairs(find_overlap(pool(train), Pool.from_arrays(gray, [0], classes=["a", "b"]))) == [[0, 2]]


def test_labels_across_pools_are_compared_by_name_and_open_ones_never():
    images = pictures(4)
    train = Pool.from_arrays(images, [0, 1, 0, -1], classes=["a", "b"])
    test = Pool.from_arrays(images, [1, 1, -2, 0], classes=["b", "a"])
    found = find_overlap(train, test)
    assert found.exact.all()
    assert found.conflicts.tolist() == [False, True, False, False]
    assert found.ids.tolist() == found.original_ids.tolist() == ["0", "1", "2", "3"]


def test_dropping_all_repeats_leaves_none():
    images = pictures(10)
    copies = [*images, *images[:4], *(again_as_jpeg(image) for image in images[2:7])]
    whole = pool(copies)
    kept = np.setdiff1d(np.arange(len(whole)), find_duplicates(whole).positions)
    assert kept.tolist() == list(range(10))
    assert len(find_duplicates(whole.subset(kept))) == 0
    assert len(find_duplicates(whole.subset([0]))) == 0


def test_the_threshold_is_checked():
    with pytest.raises(InputError, match="threshold should be above 0 and at most 1"):
        find_duplicates(pool(pictures(2)), threshold=0)


def test_cifar_has_near_duplicates_within_and_across(real_data):
    from goodgrain.data.read import read

    train = read(real_data / "cifar10_train.parquet").subset(np.arange(15_000))
    test = read(real_data / "cifar10_test.parquet")
    within, across = find_duplicates(train), find_overlap(train, test)
    assert 5 <= len(within) <= 60
    assert 5 <= len(across) <= 60
    assert within.conflicts.sum() <= 2
