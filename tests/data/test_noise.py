import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.noise import asymmetric, symmetric
from goodgrain.errors import InputError

LABELS = np.repeat([0, 1, 2, 3], 25)


@given(st.floats(0, 1), st.integers(0, 100))
def test_counts_are_exact(rate, seed):
    changed = symmetric(LABELS, rate, classes=4, seed=seed) != LABELS
    assert changed.sum() == int(rate * 100 + 0.5)
    per_class = np.bincount(LABELS[asymmetric(LABELS, rate, classes=4, seed=seed) != LABELS], minlength=4)
    assert (per_class == int(rate * 25 + 0.5)).all()


def test_asymmetric_moves_to_the_next_class_and_the_last_to_the_first():
    noisy = asymmetric(LABELS, 0.4, classes=4, seed=0)
    changed = noisy != LABELS
    assert (noisy[changed] == (LABELS[changed] + 1) % 4).all()


def test_a_mapping_names_what_is_taken_for_what():
    noisy = asymmetric(LABELS, 1.0, classes=4, seed=0, mapping={1: 3})
    assert noisy.tolist() == np.where(LABELS == 1, 3, LABELS).tolist()


def test_symmetric_reaches_every_other_class_about_equally():
    many = np.zeros(30_000, dtype=int)
    noisy = symmetric(many, 0.9, classes=4, seed=0)
    assert np.bincount(noisy)[1:].min() > 8_500  # 9,000 expected each, standard deviation 77


def test_the_seed_decides_and_the_input_stays():
    before = LABELS.copy()
    first, second = symmetric(LABELS, 0.3, classes=4, seed=1), symmetric(LABELS, 0.3, classes=4, seed=1)
    assert first.tolist() == second.tolist() != symmetric(LABELS, 0.3, classes=4, seed=2).tolist()
    assert LABELS.tolist() == before.tolist()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: symmetric(LABELS, 1.2, classes=4, seed=0), "the noise rate should be 0..1; 1.2 came"),
        (lambda: symmetric(LABELS, 0.2, classes=1, seed=0), "needs at least 2 classes; 1 came"),
        (lambda: symmetric(LABELS, 0.2, classes=3, seed=0), "labels should be 0..2; 25 are not"),
        (lambda: asymmetric(LABELS, 0.2, classes=4, seed=0, mapping={0: 9}), "it maps 0 to 9"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(InputError) as error:
        call()
    assert sentence in str(error.value)
