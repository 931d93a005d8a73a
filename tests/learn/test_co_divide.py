import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from goodgrain.data.pool import Pool
from goodgrain.learn.co_divide import clean_probability, label_losses


def two_groups(seed=0, low=0.3, high=2.0, spread=0.2):
    """60 small and 40 large losses, in random order, and which are small."""
    rng = np.random.default_rng(seed)
    small = rng.permutation(100) < 60
    return np.abs(np.where(small, low, high) + rng.normal(0, spread, 100)), small


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def expectation_maximisation(losses, *, steps=10, tolerance=1e-2, ridge=5e-4):
    """The published fit from the textbook, begun at the middle of the range."""
    x = (losses - losses.min()) / (losses.max() - losses.min())
    lower, before = (x < 0.5).astype(float), -np.inf
    for step in range(steps + 1):
        fitted = []
        for weight in (lower, 1 - lower):
            mean = (weight * x).sum() / weight.sum()
            fitted.append((weight.mean(), mean, (weight * (x - mean) ** 2).sum() / weight.sum() + ridge))
        one, two = (share * normal(x, mean, variance) for share, mean, variance in fitted)
        likelihood = np.log(one + two).mean()
        lower = one / (one + two)
        if step and likelihood - before < tolerance:
            break
        before = likelihood
    return lower


def test_two_clear_groups_by_hand():
    # scaled: 0, .05, .1 and .9, 1; the groups' deviations are below .1, so each point is many away from the other
    probabilities = clean_probability(np.array([1.0, 5.0, 1.2, 1.4, 4.6]), seed=0)
    assert probabilities == pytest.approx([1, 0, 1, 1, 0], abs=1e-6)


def test_the_lower_mean_is_right_in_whichever_order_the_components_come():
    losses, small = two_groups()
    x = ((losses - losses.min()) / np.ptp(losses))[:, None]
    firsts = set()
    for seed in range(8):
        mixture = GaussianMixture(2, reg_covar=5e-4, tol=1e-2, max_iter=10, random_state=seed).fit(x)
        firsts.add(int(mixture.means_[:, 0].argmin()))
        assert ((clean_probability(losses, seed=seed) > 0.5) == small).all()
    assert firsts == {0, 1}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), high=st.floats(2.0, 3.0))
def test_it_equals_the_textbook_fit(seed, high):
    """The groups are far enough apart for both to begin with the same halves; then every number is the same."""
    losses, _ = two_groups(seed, high=high, spread=0.15)
    assert clean_probability(losses, seed=seed) == pytest.approx(expectation_maximisation(losses), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 0.5, 4.0, 1e4]), shift=st.sampled_from([0.0, 8.0]))
def test_only_the_place_in_the_range_counts(seed, scale, shift):
    losses, _ = two_groups(seed)
    assert clean_probability(scale * losses + shift, seed=3) == pytest.approx(
        clean_probability(losses, seed=3), abs=1e-4
    )


def test_the_same_seed_gives_the_same_bits_and_the_input_stays():
    losses, _ = two_groups(spread=0.8)
    before = losses.copy()
    one, two = clean_probability(losses, seed=2**62 + 5), clean_probability(losses, seed=2**62 + 5)
    assert one.tobytes() == two.tobytes()
    assert np.array_equal(losses, before)


@pytest.mark.parametrize("level", [0.0, 2.3, 1e30])
def test_equal_losses_speak_against_no_label(level):
    assert clean_probability(np.full(5, level), seed=0).tolist() == [1.0] * 5


def test_two_losses_are_enough():
    assert clean_probability(np.array([3.0, 0.1]), seed=0) == pytest.approx([0, 1], abs=1e-6)


def test_losses_are_those_of_the_given_labels_in_blocks_of_any_length():
    """600 images of one pixel each, and a predictor whose logits are (pixel, 0): log(1 + e^-x) for label 0."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (600, 1, 1), dtype=np.uint8), rng.integers(0, 2, 600)
    pool = Pool.from_arrays(images, labels)

    def infer(pixels):
        assert len(pixels) <= 512  # never all at once
        x = pixels.flatten(1)
        return torch.cat([x, torch.zeros_like(x)], dim=1).log_softmax(dim=1), x

    positions = np.arange(599, -1, -1)
    x = images[positions, 0, 0] / 255
    expected = np.where(labels[positions] == 0, np.log1p(np.exp(-x)), np.log1p(np.exp(x)))
    got = label_losses(infer, pool, positions, torch.device("cpu"))
    assert got == pytest.approx(expected, rel=1e-5)
    assert got.dtype == np.float64
