import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.data.noise import asymmetric, symmetric
from goodgrain.errors import InputError

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
