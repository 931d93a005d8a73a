import collections
import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodgrain.data import images as images_module
from goodgrain.data.images import ArraySource, FileSource
from goodgrain.data.ood import (
    JoinedSource,
    _apportion,
    _largest_total,
    few_shot,
    join_ood,
    ood_of,
    target_in_ood,
    without_ood,
)
from goodgrain.data.pool import OOD, UNLABELED, Pool, Rejected
from goodgrain.data.read import read
from goodgrain.errors import InputError, UnknownName
from oracles_join_ood import apportion, largest_total
from pictures import class_folders


def pool_of(n, shape=(8, 8, 3), seed=0, **parts):
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    return Pool.from_arrays(images, parts.pop("labels", np.arange(n) % 2), **parts)


def per_source(pool):
    return collections.Counter(one.split("/")[1] for one in pool.ids.tolist() if one.startswith("ood/"))


def test_ood_images_stand_behind_the_pools_own():
    own, cats, dogs = pool_of(3), pool_of(2, seed=1), pool_of(2, seed=2)
    both = join_ood(own, {"cats": cats, "dogs": dogs})
    assert both.ids.tolist() == ["0", "1", "2", "ood/cats/0", "ood/cats/1", "ood/dogs/0", "ood/dogs/1"]
    assert both.labels.tolist() == [0, 1, 0, OOD, OOD, OOD, OOD]  # the sources' own labels are gone
    assert (both.classes, both.image_shape, both.clean_labels, both.boxes) == (own.classes, (8, 8, 3), None, None)
    expected = np.concatenate([own.images([0, 1, 2]), cats.images([0, 1]), dogs.images([0, 1])])
    np.testing.assert_array_equal(both.images(np.arange(7)), expected)
    np.testing.assert_array_equal(both.images([6, 0, 3]), expected[[6, 0, 3]])
    assert cats.labels.tolist() == own.labels[:2].tolist() == [0, 1]


def test_what_is_known_of_the_pools_own_stays():
    own = dataclasses.replace(
        pool_of(2, clean_labels=[1, 1]),
        rejected=(Rejected("x", "bad"),),
        boxes=np.array([[0, 0, 1, 0.5], [0.5, 0, 1, 1]], np.float32),
    )
    source = dataclasses.replace(
        pool_of(1, clean_labels=[0]),
        rejected=(Rejected("y", "worse"),),
        boxes=np.array([[0, 0, 1, 1]], np.float32),
    )
    both = join_ood(own, {"s": source})
    assert both.clean_labels.tolist() == [1, 1, OOD]
    np.testing.assert_array_equal(both.boxes, [[0, 0, 1, 0.5], [0.5, 0, 1, 1], [np.nan] * 4])
    assert both.rejected == (Rejected("x", "bad"), Rejected("ood/s/y", "worse"))


@pytest.mark.parametrize(("own", "other"), [((8, 8, 3), (8, 8)), ((8, 8), (8, 8, 3)), ((8, 6, 3), (20, 30))])
def test_size_and_colour_become_the_pools(own, other):
    source = pool_of(3, other, seed=1)
    both = join_ood(pool_of(2, own), {"s": source})
    for i in range(3):
        image = Image.fromarray(source.source.images[i].squeeze())
        channels = 3 if len(own) == 3 else 1
        expected = image.convert("RGB" if channels == 3 else "L").resize((own[1], own[0]), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(both.images([2 + i])[0].squeeze(), np.asarray(expected))


def test_files_are_opened_when_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, "MEMORY_CAP", 0)
    source = read(class_folders(tmp_path), image_size=(12, 10))
    own = pool_of(2, (12, 10, 3))
    opened, open_ = [], FileSource.open
    monkeypatch.setattr(FileSource, "open", lambda self, row: (opened.append(self.files[row]), open_(self, row))[1])
    both = join_ood(own, {"s": source}, count=5, seed=1)
    assert len(opened) == 1  # a look at whether they can be converted
    opened.clear()
    assert not both.in_memory
    taken = both.ids[[3, 5]].tolist()
    np.testing.assert_array_equal(both.images([3, 5]), source.images([source.ids.tolist().index(i[6:]) for i in taken]))
    assert [f"ood/s/{file}" for file in opened[:2]] == taken
    assert both.source.original(3) == tmp_path / taken[0][6:]
    assert both.source.original(0) is None
    assert both.subset([3]).source.original(0) == tmp_path / taken[0][6:]


def test_joined_sources_are_those_one_after_the_other():
    sources = [pool_of(n, seed=n).source for n in (2, 1, 3)]
    joined = JoinedSource(tuple(sources))
    expected = [np.asarray(source.open(i)) for source in sources for i in range(len(source))]
    assert len(joined) == 6
    for position in range(6):
        np.testing.assert_array_equal(np.asarray(joined.open(position)), expected[position])


def test_a_count_is_drawn_from_the_union():
    sources = {"large": pool_of(300), "small": pool_of(100)}
    drawn = join_ood(pool_of(2), sources, count=200, seed=0)
    again = join_ood(pool_of(2), sources, count=200, seed=0)
    assert (len(drawn), len(set(drawn.ids.tolist()))) == (202, 202)
    assert drawn.ids.tolist() == again.ids.tolist() != join_ood(pool_of(2), sources, count=200, seed=1).ids.tolist()
    counts = [per_source(join_ood(pool_of(2), sources, count=200, seed=seed))["large"] for seed in range(50)]
    assert np.mean(counts) == pytest.approx(150, abs=4 * 4.4 / 50**0.5)  # hypergeometric: mean 150, deviation 4.3
    assert len(set(counts)) > 1


def test_a_draw_keeps_the_order_and_the_picture_of_each_id():
    source = pool_of(40, seed=3)
    drawn = join_ood(pool_of(2), {"s": source}, count=15, seed=4)
    rows = [int(one.removeprefix("ood/s/")) for one in drawn.ids[2:].tolist()]
    assert rows == sorted(rows) != list(range(15))
    np.testing.assert_array_equal(drawn.images(np.arange(2, 17)), source.images(rows))


def test_weights_say_how_many_come_from_where():
    sources = {"a": pool_of(30), "b": pool_of(10), "c": pool_of(100)}
    own = pool_of(2)
    weights = {"c": 0.5, "a": 0.3, "b": 0.2}
    # b gives out first: 10 of 0.2, so 50 in all
    assert per_source(join_ood(own, sources, weights=weights)) == {"a": 15, "b": 10, "c": 25}
    assert per_source(join_ood(own, sources, weights={"a": 3, "b": 1, "c": 1})) == {"a": 30, "b": 10, "c": 10}
    # 7 x (.3, .2, .5) = 2.1, 1.4, 3.5: the largest remainder is c's
    assert per_source(join_ood(own, sources, weights=weights, count=7)) == {"a": 2, "b": 1, "c": 4}
    # one of three equal ones goes to the first
    assert per_source(join_ood(own, sources, weights={"a": 1, "b": 1, "c": 1}, count=1)) == {"a": 1}
    for seed in (0, 1):
        one, other = (join_ood(own, sources, weights=weights, count=40, seed=s) for s in (seed, seed + 1))
        assert per_source(one) == per_source(other)
        assert one.ids.tolist() != other.ids.tolist()


shares = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=4)


@settings(deadline=None)
@given(shares, st.integers(0, 60))
def test_shares_equal_the_slow_oracles(parts, total):
    sizes, weights = zip(*parts, strict=True)
    exact = [Fraction(weight, 10) for weight in weights]
    assert _largest_total(sizes, exact) == largest_total(sizes, exact)
    assert _apportion(total, exact) == apportion(total, exact)
    most = _apportion(_largest_total(sizes, exact), exact)
    assert all(wanted <= size for wanted, size in zip(most, sizes, strict=True))


@pytest.mark.parametrize(
    ("sources", "options", "error", "sentence"),
    [
        ({}, {}, InputError, "there are no OOD sources. Give at least one"),
        ({"a/b": 3}, {}, InputError, "should have a name without '/'; 'a/b' came"),
        ({"": 3}, {}, InputError, "should have a name without '/'; '' came"),
        (
            {"a": 3, "b": 4},
            {"count": 8},
            InputError,
            "8 OOD images were asked for, and there are 7. Ask for at most 7",
        ),
        ({"a": 3}, {"count": 0}, InputError, "count should be a whole number, at least 1; 0 came"),
        (
            {"a": 3, "b": 40},
            {"count": 8, "weights": {"a": 1, "b": 1}},
            InputError,
            "8 OOD images by weight take 4 from the OOD source 'a', which has 3. Ask for at most 6, or",
        ),
        ({"a": 3}, {"weights": {"a": 1, "bb": 1}}, UnknownName, "no OOD source 'bb'. .*Known: a"),
        ({"a": 3, "b": 3}, {"weights": {"a": 1}}, InputError, "weights has none for b. Give every OOD source one"),
        ({"a": 3}, {"weights": {"a": 0}}, InputError, "weight of a should be above 0; 0 came"),
    ],
)
def test_what_cannot_be_joined_is_refused(sources, options, error, sentence):
    with pytest.raises(error, match=sentence):
        join_ood(pool_of(2), {name: pool_of(n) for name, n in sources.items()}, **options)


def test_a_source_is_joined_once():
    both = join_ood(pool_of(2), {"s": pool_of(3)})
    with pytest.raises(InputError, match="the pool has 'ood/s/0' already. Join each source once, or rename it"):
        join_ood(both, {"s": pool_of(3)})
    assert per_source(join_ood(both, {"t": pool_of(3)})) == {"s": 3, "t": 3}


def test_a_source_that_cannot_be_converted_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    source = Pool(np.array(["a.tif"]), np.array([0]), ("a",), FileSource(tmp_path, ("a.tif",)), (4, 4, 3))
    with pytest.raises(InputError) as refusal:
        join_ood(pool_of(2), {"maps": source})
    assert str(refusal.value) == (
        "images of the OOD source 'maps' cannot be brought to the target's 8 x 8 pixels in colour: 'a.tif': its pixels "
        "are floats without a known range; save it with 8 or 16 bits."
    )


def test_a_source_is_never_empty():
    nothing = ArraySource(np.zeros((0, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="at least one row is needed"):
        Pool(np.array([], str), np.array([], int), ("a",), nothing, (8, 8, 3))
    with pytest.raises(InputError, match="at least one row is needed"):
        pool_of(3).subset([])


def test_answers_none_of_these_are_a_source():
    pool = pool_of(6, labels=[0, OOD, 1, UNLABELED, OOD, 0])
    answers, rest = ood_of(pool), without_ood(pool)
    assert answers.ids.tolist() == ["1", "4"]
    assert rest.ids.tolist() == ["0", "2", "3", "5"]
    both = join_ood(rest, {"answers": answers})
    assert both.labels.tolist() == [0, 1, UNLABELED, 0, OOD, OOD]
    np.testing.assert_array_equal(both.images(np.arange(6)), pool.images([0, 2, 3, 5, 1, 4]))
    assert ood_of(rest) is None
    assert without_ood(rest) is rest
    with pytest.raises(InputError, match="all 2 images are labelled out of distribution"):
        without_ood(answers)


def test_the_targets_own_images_are_found_among_ood_images():
    own, others = pool_of(3, (32, 32, 3)), pool_of(2, (32, 32, 3), seed=1)
    images = np.concatenate([others.images([0]), own.images([2]), others.images([1]), own.images([0])])
    found = target_in_ood(own, Pool.from_arrays(images, [1, 1, 1, 1]))
    assert found.positions.tolist() == [1, 3]
    assert found.originals.tolist() == [2, 0]
    assert found.counts() == {"exact": 2, "near": 0, "conflicts": 0}  # labels of OOD images contradict nothing
    gray = [
        np.asarray(Image.fromarray(image).convert("L").resize((24, 24), Image.Resampling.BILINEAR)) for image in images
    ]
    assert target_in_ood(own, Pool.from_arrays(np.stack(gray), [0, 0, 0, 0]), threshold=0.9).positions.tolist() == [
        1,
        3,
    ]
    with pytest.raises(InputError, match="threshold should be above 0 and at most 1"):
        target_in_ood(own, others, threshold=1.5)


def test_few_shot_takes_equal_numbers_and_leaves_the_unlabelled():
    labels = [0] * 10 + [UNLABELED] * 5 + [1] * 3 + [OOD] * 5 + [2] * 4
    pool = pool_of(27, labels=labels)
    few = few_shot(pool, 9, seed=0)
    assert few.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    rows = [int(one) for one in few.ids.tolist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(few.images(np.arange(9)), pool.images(rows))
    assert few.ids.tolist() == few_shot(pool, 9, seed=0).ids.tolist() != few_shot(pool, 9, seed=1).ids.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 30), st.integers(0, 5))
def test_few_shot_is_as_even_as_can_be_or_refused(sizes, count, seed):
    pool = pool_of(sum(sizes), (1, 1), labels=np.repeat(np.arange(len(sizes)), sizes))
    each, left = divmod(count, len(sizes))
    if min(sizes) < each or sum(size > each for size in sizes) < left:
        with pytest.raises(InputError, match="Ask for at most (.*)") as refusal:
            few_shot(pool, count, seed=seed)
        most = int(str(refusal.value).rstrip(".").rpartition(" ")[2])
        assert most < count
        assert len(few_shot(pool, most, seed=seed)) == most
        return
    counts = np.bincount(few_shot(pool, count, seed=seed).labels, minlength=len(sizes))
    assert sorted(counts.tolist()) == [each] * (len(sizes) - left) + [each + 1] * left


def test_every_image_and_every_class_has_the_same_chance():
    pool = pool_of(12, (1, 1), labels=np.arange(12) % 3)
    drawn = [few_shot(pool, 4, seed=seed) for seed in range(600)]
    images = np.bincount([int(one) for few in drawn for one in few.ids], minlength=12) / 600
    extra = np.bincount([np.bincount(few.labels, minlength=3).argmax() for few in drawn], minlength=3) / 600
    np.testing.assert_allclose(images, 4 / 12, atol=0.08)
    np.testing.assert_allclose(extra, 1 / 3, atol=0.08)


def test_too_few_labelled_images_are_refused():
    pool = pool_of(6, labels=[0, 0, 0, 1, 1, UNLABELED], classes=["cat", "dog"])
    with pytest.raises(InputError) as refusal:
        few_shot(pool, 6, seed=0)
    assert str(refusal.value) == (
        "6 images drawn evenly take 3 of each of 2 classes, but class 'dog' has 2 labelled ones. Ask for at most 5."
    )
    with pytest.raises(InputError, match="no image is labelled, so none can be drawn"):
        few_shot(pool.subset([5]), 1, seed=0)
    with pytest.raises(InputError, match="count should be a whole number, at least 1; 0 came"):
        few_shot(pool, 0, seed=0)


def test_real_sets_join(real_data):
    cifar = read(real_data / "cifar10_test.parquet")
    svhn = read(real_data / "svhn_10k.parquet", labeled=False)
    clothes = read(f"{real_data / 'fashion_mnist_10k.npz'}", labeled=False)
    both = join_ood(few_shot(cifar, 500, seed=0), {"svhn": svhn, "clothes": clothes}, count=500, seed=0)
    assert np.bincount(both.labels[:500]).tolist() == [50] * 10
    assert sum(per_source(both).values()) == 500
    assert both.images(np.arange(1000)).shape == (1000, 32, 32, 3)
    assert len(target_in_ood(cifar, svhn)) == 0
