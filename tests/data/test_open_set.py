import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.annotate import OOD as OOD_ANSWER
from goodgrain.annotate import SimulatedOracle
from goodgrain.data.open_set import _counts, _evenly, cross_datasets, oracle_truth, split_dataset, unlabeled
from goodgrain.data.pool import OOD, UNLABELED, Pool, Rejected
from goodgrain.errors import InputError, UnknownName
from oracles_open_set import evenly, ood_beside

ANIMALS = ["ant", "bee", "cat", "dog", "eel"]


def animals(n=50, **parts):
    """Every fifth image of one class; each image's pixels are its position."""
    images = np.repeat(np.arange(n, dtype=np.uint8), 12).reshape(n, 2, 2, 3)
    return Pool.from_arrays(images, np.arange(n) % 5, classes=ANIMALS, **parts)


def other(n, value, shape=(3, 3)):
    return Pool.from_arrays(np.full((n, *shape), value, np.uint8), np.zeros(n, int))


def per_source(open_set):
    ids = open_set.pool.ids.tolist()
    return collections.Counter(one.split("/")[1] for one in ids if one.startswith("ood/"))


def test_split_by_hand():
    """Of 50 images two classes have 20; 20 x 0.2 / 0.8 = 5 of the 30 others make a fifth of 25."""
    pool = animals()
    split = split_dataset(pool, ["dog", "bee"], ood_share=0.2, seed=0)
    own = split.pool.labels >= 0
    assert split.pool.classes == ("bee", "dog")  # the order of the pool
    assert (own.sum(), (~own).sum()) == (20, 5)
    assert set(split.pool.labels[~own].tolist()) == {OOD}
    given = pool.labels[split.positions]
    assert given[own].tolist() == [[1, 3][label] for label in split.pool.labels[own]]
    assert set(given[~own].tolist()) <= {0, 2, 4}
    assert sorted(split.positions[own].tolist()) == [i for i in range(50) if i % 5 in (1, 3)]
    assert split.pool.ids.tolist() == pool.ids[split.positions].tolist()
    np.testing.assert_array_equal(split.pool.images(np.arange(25)), pool.images(split.positions))
    assert pool.labels.tolist() == [i % 5 for i in range(50)]


def test_classes_by_name_by_number_or_by_how_many():
    by_name = split_dataset(animals(), ["cat", "ant"], ood_share=0.1, seed=3)
    by_number = split_dataset(animals(), np.array([0, 2]), ood_share=0.1, seed=3)
    assert by_name.positions.tolist() == by_number.positions.tolist()
    assert by_name.pool.labels.tolist() == by_number.pool.labels.tolist()
    drawn = {split_dataset(animals(), 2, ood_share=0.1, seed=seed).pool.classes for seed in range(40)}
    assert drawn == {(first, second) for first in ANIMALS for second in ANIMALS if first < second}


def test_the_seed_decides_everything_and_shares_are_nested():
    whole = {share: split_dataset(animals(), 2, ood_share=share, seed=5) for share in (0.0, 0.2, 0.5)}
    again = split_dataset(animals(), 2, ood_share=0.5, seed=5)
    assert again.positions.tolist() == whole[0.5].positions.tolist()
    assert len({one.pool.classes for one in whole.values()}) == 1
    kept = [set(one.positions.tolist()) for one in whole.values()]
    assert kept[0] < kept[1] < kept[2]
    assert again.positions.tolist() != split_dataset(animals(), 2, ood_share=0.5, seed=6).positions.tolist()


@pytest.mark.parametrize("make", ["split", "cross"])
def test_the_order_gives_nothing_away(make):
    """The mean place of OOD images, over many seeds, is the middle."""
    places = []
    for seed in range(100):
        if make == "split":
            one = split_dataset(animals(), 2, ood_share=0.2, seed=seed)
        else:
            one = cross_datasets(animals(20), {"a": other(5, 99)}, ood_share=0.2, seed=seed)
        places += np.flatnonzero(one.pool.labels == OOD).tolist()
    assert len(places) == 500
    assert np.mean(places) == pytest.approx(12, abs=4 * 7.2 / 500**0.5)  # uniform on 0..24: deviation 7.2


@pytest.mark.parametrize("make", ["split", "cross"])
def test_every_image_is_as_likely_as_any_other(make):
    """Of each kind a third is drawn: 100 of 300 times, with a deviation of 8."""
    pool, drawn = animals(15), collections.Counter()
    for seed in range(300):
        if make == "split":
            one = split_dataset(pool, [0, 1], ood_share=0.6, seed=seed, count=5)  # 2 of 6 and 3 of 9
        else:
            one = cross_datasets(pool, {"a": other(6, 99)}, ood_share=2 / 7, seed=seed, count=7)  # 5 of 15 and 2 of 6
        drawn.update(one.positions.tolist())
    assert len(drawn) == (15 if make == "split" else 21)
    assert min(drawn.values()) > 100 - 4 * 8.2
    assert max(drawn.values()) < 100 + 4 * 8.2


def test_a_count_is_shared_out():
    split = split_dataset(animals(), [0, 1, 2], ood_share=0.3, seed=0, count=15)  # 4.5 of 15 are 5
    assert collections.Counter((split.pool.labels == OOD).tolist()) == {True: 5, False: 10}
    crossed = cross_datasets(animals(), {"a": other(9, 99)}, ood_share=0.25, seed=0, count=12)
    assert (len(crossed.pool), per_source(crossed)) == (12, {"a": 3})
    assert len(split_dataset(animals(), [0], ood_share=0.75, seed=0, count=40).pool) == 40  # all ten images


def test_what_else_the_pool_knows():
    pool = dataclasses.replace(
        animals(clean_labels=np.zeros(50, int)),
        boxes=np.linspace(0, 0.5, 50, dtype=np.float32)[:, None] + np.array([0, 0, 0.5, 0.5], np.float32),
        rejected=(Rejected("x", "bad"),),
    )
    split = split_dataset(pool, [4], ood_share=0.5, seed=0)
    np.testing.assert_array_equal(split.pool.boxes, pool.boxes[split.positions])
    assert (split.pool.clean_labels, split.pool.rejected) == (None, pool.rejected)


def test_cross_by_hand():
    """Six images make three fifths of ten; four others come from two datasets, two each."""
    pool, others = animals(6), {"gray": other(5, 200), "large": other(3, 201, (4, 4, 3))}
    crossed = cross_datasets(pool, others, ood_share=0.4, seed=1)
    assert per_source(crossed) == {"gray": 2, "large": 2}
    assert (crossed.pool.classes, crossed.pool.image_shape) == (tuple(ANIMALS), (2, 2, 3))
    assert sorted(crossed.positions[crossed.pool.labels >= 0].tolist()) == [0, 1, 2, 3, 4, 5]
    ids = [*pool.ids.tolist(), *(f"ood/{name}/{one}" for name, source in others.items() for one in source.ids.tolist())]
    assert crossed.pool.ids.tolist() == [ids[position] for position in crossed.positions]
    truth = [*pool.labels.tolist(), *[OOD] * 8]
    assert crossed.pool.labels.tolist() == [truth[position] for position in crossed.positions]
    value = [*range(6), *[200] * 5, *[201] * 3]
    assert crossed.pool.images(np.arange(10)).max(axis=(1, 2, 3)).tolist() == [value[i] for i in crossed.positions]


def test_a_dataset_that_has_too_few_gives_all():
    others = {"many": other(30, 1), "few": other(2, 2), "some": other(9, 3)}
    crossed = cross_datasets(animals(20), others, ood_share=0.5, seed=0)
    assert per_source(crossed) == {"few": 2, "some": 9, "many": 9}
    again = cross_datasets(animals(20), others, ood_share=0.5, seed=0)
    assert again.positions.tolist() == crossed.positions.tolist()
    assert cross_datasets(animals(20), others, ood_share=0.5, seed=1).positions.tolist() != crossed.positions.tolist()


def test_a_share_of_0_leaves_the_pool_shuffled():
    for one in (
        split_dataset(animals(), 5, ood_share=0, seed=0),
        cross_datasets(animals(), {"a": other(3, 9)}, ood_share=0, seed=0),
        cross_datasets(animals(), {}, ood_share=0, seed=0),
    ):
        assert sorted(one.positions.tolist()) == list(range(50)) != one.positions.tolist()
        assert one.pool.labels.tolist() == [i % 5 for i in one.positions]


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 99))
def test_shares_equal_the_slow_oracle(own, percent):
    share = percent / 100
    n_in, n_ood = _counts(own, 10**9, share, None)
    assert (n_in, n_ood) == (own, ood_beside(own, share))


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.data())
def test_even_numbers_equal_the_slow_oracle(sizes, data):
    total = data.draw(st.integers(0, sum(sizes)))
    assert _evenly(total, sizes) == evenly(total, sizes)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 999), st.none() | st.integers(1, 150))
def test_what_a_refusal_says_is_possible_is_possible(own, others, thousandth, count):
    share = thousandth / 1000
    try:
        n_in, n_ood = _counts(own, others, share, count)
    except InputError as refused:
        most = float(str(refused).split("at most ")[1].rstrip("."))
        if "count=" in str(refused):
            assert most < count
            assert _counts(own, 10**9, share, int(most))[0] <= own
        elif count is None or count <= own:
            assert most < share
            assert _counts(own, others, most, count)[1] <= others
    else:
        assert 0 <= n_in <= own
        assert 0 <= n_ood <= others
        assert count is None or n_in + n_ood == count


def test_nothing_is_labelled_at_first():
    split = split_dataset(animals(), 2, ood_share=0.2, seed=0)
    hidden = unlabeled(split.pool)
    assert set(hidden.labels.tolist()) == {UNLABELED}
    assert hidden.clean_labels.tolist() == split.pool.labels.tolist()
    assert unlabeled(hidden).clean_labels.tolist() == split.pool.labels.tolist()
    assert (hidden.ids.tolist(), hidden.classes) == (split.pool.ids.tolist(), split.pool.classes)


def test_a_simulated_annotator_answers_from_the_truth():
    split = split_dataset(animals(), ["bee", "cat"], ood_share=0.2, seed=0)
    truth = oracle_truth(unlabeled(split.pool), ood=OOD_ANSWER)
    assert truth == oracle_truth(split.pool, ood=OOD_ANSWER)
    oracle = SimulatedOracle(truth)
    expected = [ANIMALS[i % 5] if i % 5 in (1, 2) else OOD_ANSWER for i in split.positions]
    assert [oracle(one) for one in split.pool.ids.tolist()] == expected


def test_what_cannot_be_is_told():
    pool, few = animals(), {"a": other(4, 9)}
    with pytest.raises(
        InputError, match=r"ood_share=0.8 takes 80 OOD images beside 20 .*are 30.* share of at most 0.6\."
    ):
        split_dataset(pool, 2, ood_share=0.8, seed=0)
    with pytest.raises(
        InputError, match=r"ood_share=0.1 takes 6 OOD images beside 50 .*are 4.* share of at most 0.074"
    ):
        cross_datasets(pool, few, ood_share=0.1, seed=0)
    with pytest.raises(InputError, match=r"ood_share=0.5 takes 5 OOD .* 5 in-distribution .*are 4.* at most 0.4\."):
        cross_datasets(pool, few, ood_share=0.5, seed=0, count=10)
    with pytest.raises(
        InputError, match=r"count=60 at ood_share=0.5 takes 30 in-dist.*there are 20. Ask for at most 40"
    ):
        split_dataset(pool, 2, ood_share=0.5, seed=0, count=60)
    for share in (1.0, -0.1, float("nan"), True):
        with pytest.raises(InputError, match=rf"ood_share should be in \[0, 1\); {share} came"):
            split_dataset(pool, 2, ood_share=share, seed=0)
    with pytest.raises(UnknownName, match="no class 'bea'. Did you mean 'bee'"):
        split_dataset(pool, ["bea"], ood_share=0.1, seed=0)
    with pytest.raises(InputError, match="a class should be a whole number, 0 to 4; 5 came"):
        split_dataset(pool, [5], ood_share=0.1, seed=0)
    with pytest.raises(InputError, match="classes should be a whole number, 1 to 5; 6 came"):
        split_dataset(pool, 6, ood_share=0.1, seed=0)
    for classes in (["bee", 1], []):
        with pytest.raises(InputError, match="classes should be one or more different ones of ant, bee, cat, dog, eel"):
            split_dataset(pool, classes, ood_share=0.1, seed=0)
    with pytest.raises(InputError, match="no image is of the classes asked for"):
        split_dataset(pool.subset([0, 1, 2]), ["eel"], ood_share=0.1, seed=0)
    partly = pool.with_labels(np.where(np.arange(50) < 48, pool.labels, UNLABELED))
    for make in (
        lambda: split_dataset(partly, 2, ood_share=0, seed=0),
        lambda: cross_datasets(partly, few, ood_share=0, seed=0),
    ):
        with pytest.raises(InputError, match="true class of every image; 2 of 50 have none, the first is '48'"):
            make()
    with pytest.raises(InputError, match="ood='bee' is the name of a class too"):
        oracle_truth(pool, ood="bee")
    with pytest.raises(InputError, match="should have a name without '/'; 'a/b' came"):
        cross_datasets(pool, {"a/b": other(9, 9)}, ood_share=0.1, seed=0)
