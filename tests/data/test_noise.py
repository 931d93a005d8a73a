from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.data.noise import asymmetric, class_dependent, rehearse, symmetric
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError, UnknownName

problems = st.tuples(
    st.integers(2, 6).flatmap(
        lambda c: st.tuples(st.just(c), st.lists(st.integers(0, c - 1), min_size=1, max_size=60))
    ),
    st.floats(0, 1),
    st.integers(0, 2**32),
)


@settings(max_examples=60, deadline=None)
@given(problems)
def test_symmetric_flips_exactly_this_many(problem):
    (classes, labels), rate, seed = problem
    given_labels = np.array(labels)
    noisy = symmetric(given_labels, rate, classes=classes, seed=seed)
    assert (noisy != given_labels).sum() == int(np.floor(rate * len(labels) + 0.5))
    assert noisy.min() >= 0
    assert noisy.max() < classes
    assert given_labels.tolist() == labels
    np.testing.assert_array_equal(noisy, symmetric(labels, rate, classes=classes, seed=seed))


@settings(max_examples=60, deadline=None)
@given(problems)
def test_asymmetric_flips_exactly_this_many_of_each_class_to_the_next(problem):
    (classes, labels), rate, seed = problem
    noisy = asymmetric(labels, rate, classes=classes, seed=seed)
    for c in range(classes):
        mine = noisy[np.array(labels) == c]
        assert (mine != c).sum() == int(np.floor(rate * len(mine) + 0.5))
        assert set(mine.tolist()) <= {c, (c + 1) % classes}


def test_symmetric_draws_other_classes_uniformly():
    noisy = symmetric(np.zeros(30_000, int), 1.0, classes=4, seed=3)
    counts = np.bincount(noisy, minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 10_000).max() < 400  # five standard deviations of a binomial (81.6)


def test_two_seeds_differ():
    labels = np.arange(200) % 5
    assert (symmetric(labels, 0.5, classes=5, seed=0) != symmetric(labels, 0.5, classes=5, seed=1)).any()
    assert (asymmetric(labels, 0.5, classes=5, seed=0) != asymmetric(labels, 0.5, classes=5, seed=1)).any()


def test_a_mapping_by_hand():
    noisy = asymmetric([0, 0, 1, 1, 2, 2], 1.0, classes=3, seed=0, mapping={0: 2, 1: 0})
    assert noisy.tolist() == [2, 2, 0, 0, 2, 2]  # what became a 0 is not flipped again


def test_two_classes_at_full_rate_are_swapped():
    labels = [0, 1, 1, 0, 1]
    assert symmetric(labels, 1.0, classes=2, seed=7).tolist() == [1, 0, 0, 1, 0]
    assert asymmetric(labels, 1.0, classes=2, seed=7).tolist() == [1, 0, 0, 1, 0]


@pytest.mark.parametrize(("rate", "wrong"), [(0.0, 0), (0.1, 1), (0.5, 3), (0.7, 4), (1.0, 5)])
def test_halves_are_rounded_up(rate, wrong):
    for noise in (symmetric, asymmetric):
        assert (noise([0] * 5, rate, classes=3, seed=1) != 0).sum() == wrong


def test_the_same_seed_draws_the_same_noise_again():
    labels = np.arange(300) % 3
    for noise in (symmetric, asymmetric):
        np.testing.assert_array_equal(
            noise(labels, 0.4, classes=3, seed=5), noise(labels.tolist(), 0.4, classes=3, seed=5)
        )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: symmetric([0, 1], 1.5, classes=2, seed=0), "rate should be a share between 0 and 1; 1.5 came"),
        (lambda: symmetric([0, 1], float("nan"), classes=2, seed=0), "rate should be a share"),
        (lambda: symmetric([0, 0], 0.5, classes=1, seed=0), "classes should be at least 2"),
        (
            lambda: symmetric([0, 2], 0.5, classes=2, seed=0),
            r"labels should be 0..1; 1 are not, the first is 2 at row 1",
        ),
        (
            lambda: asymmetric([0, 1], 0.5, classes=2, seed=0, mapping={1: 1}),
            r"from a class 0..1 to another; 1: 1 came",
        ),
        (lambda: asymmetric([0, 1], 0.5, classes=2, seed=0, mapping={0: 5}), "0: 5 came"),
    ],
)
def test_what_makes_no_noise_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def largest_remainder(shares, total):
    """One at a time, to whoever is farthest below its share; rationals, so that nothing is rounded."""
    exact = [Fraction(share) * total for share in shares]
    counts = [int(part) for part in exact]
    while sum(counts) < total:
        lag = [part - count for part, count in zip(exact, counts, strict=True)]
        counts[lag.index(max(lag))] += 1
    return counts


def test_class_dependent_by_hand():
    # 5 images of class 0: 2.5, 1.5, 1.0 become 2, 1, 1, and the one left over goes to the first of the halves
    # 3 images of class 1: 0.6, 2.4, 0.0 become 0, 2, 0, and the one left over goes to the largest remainder, 0.6
    transition = [[0.5, 0.3, 0.2], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]]
    labels = np.array([0, 1, 0, 2, 0, 1, 0, 0, 1])
    noisy = class_dependent(labels, transition, seed=4)
    assert np.bincount(noisy[labels == 0], minlength=3).tolist() == [3, 1, 1]
    assert np.bincount(noisy[labels == 1], minlength=3).tolist() == [1, 2, 0]
    assert noisy[3] == 2
    assert labels.tolist() == [0, 1, 0, 2, 0, 1, 0, 0, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 2**32), st.data())
def test_class_dependent_counts_are_those_of_the_largest_remainder(classes, n, seed, data):
    weights = [data.draw(st.lists(st.integers(0, 9), min_size=classes, max_size=classes)) for _ in range(classes)]
    weights = [[*row[:-1], row[-1] + 1] for row in weights]
    transition = [[weight / sum(row) for weight in row] for row in weights]
    labels = np.random.default_rng(seed).integers(0, classes, n)
    noisy = class_dependent(labels, transition, seed=seed)
    np.testing.assert_array_equal(noisy, class_dependent(labels.tolist(), transition, seed=seed))
    for c in range(classes):
        counts = np.bincount(noisy[labels == c], minlength=classes)
        shares = [Fraction(weight, sum(weights[c])) for weight in weights[c]]
        assert counts.tolist() == largest_remainder(shares, int((labels == c).sum()))


def test_class_dependent_draws_which_images():
    labels = np.zeros(40, int)
    half = [[0.5, 0.5], [0.0, 1.0]]
    assert (class_dependent(labels, half, seed=0) != class_dependent(labels, half, seed=1)).any()
    chosen = np.mean([class_dependent(labels, half, seed=seed) for seed in range(400)], axis=0)
    assert np.abs(chosen - 0.5).max() < 0.125  # five standard deviations of 400 draws


def rehearsed(noise, labels=(0, 1, 2, 0, 1, 2)):
    pool = Pool.from_arrays(np.zeros((len(labels), 2, 2), np.uint8), labels, classes=["a", "b", "c"])
    return pool, rehearse(pool, noise, seed=5)


@pytest.mark.parametrize(("noise", "by_hand"), [("symmetric:0.5", symmetric), ("asymmetric:0.5", asymmetric)])
def test_a_rehearsal_knows_the_truth(noise, by_hand):
    pool, noisy = rehearsed(noise)
    assert noisy.labels.tolist() == by_hand(pool.labels, 0.5, classes=3, seed=5).tolist()
    assert noisy.clean_labels.tolist() == pool.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert noisy.ids.tolist() == pool.ids.tolist()


def test_a_rehearsal_with_a_matrix(tmp_path):
    (tmp_path / "t.csv").write_text("0.5, 0.5, 0\n0,1,0\n\n1,0,0\n")
    _, noisy = rehearsed(f"class-dependent:{tmp_path}/t.csv")
    assert sorted(noisy.labels[[0, 3]].tolist()) == [0, 1]
    assert noisy.labels[[1, 4, 2, 5]].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("1,0\n0,1", "t.csv has 2 rows for 3 classes. Give one row per class, in order"),
        ("1,0,0\n0,1\n0,0,1", "t.csv cannot be read as a table of numbers with commas"),
        ("a,b,c\n1,0,0\n0,1,0", "t.csv cannot be read as a table of numbers with commas"),
        ("1,0\n0,1\n1,0", r"transition should have one row and one column per class; its shape is \(3, 2\)"),
        ("1,0,0\n0,1,0.5\n0,0,1", r"each row of transition should sum to 1; 1 of 3 rows do not, the first is row 1"),
        ("1,0,0\n2,-1,0\n0,0,1", "transition should be >= 0; row 1 has a negative entry"),
        ("", "t.csv has 0 rows for 3 classes"),
    ],
)
def test_tables_that_are_no_transition(tmp_path, table, sentence):
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(InputError, match=sentence):
        rehearsed(f"class-dependent:{tmp_path}/t.csv")


def test_rehearsals_that_cannot_be():
    with pytest.raises(UnknownName, match="no noise 'symetric'. Did you mean 'symmetric'?"):
        rehearsed("symetric:0.4")
    for noise in ("symmetric", "asymmetric:", "symmetric:much"):
        with pytest.raises(InputError, match=r"the noise needs a rate, such as symmetric:0.4; '\w*' came"):
            rehearsed(noise)
    with pytest.raises(InputError, match="rate should be a share between 0 and 1; 1.5 came"):
        rehearsed("symmetric:1.5")
    with pytest.raises(InputError, match="2 of 3 images have no class, so their labels cannot be made wrong"):
        rehearsed("symmetric:0.4", labels=(0, -1, -2))
    with pytest.raises(InputError, match=r"gone.csv cannot be read as a table"):
        rehearsed("class-dependent:gone.csv")
