import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from goodgrain.errors import InputError
from goodgrain.scores import diff_prob, entropy, least_confidence, margin, max_prob

ALL = [least_confidence, margin, entropy, max_prob, diff_prob]
BY_HAND = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


@st.composite
def predictions(draw):
    n, c = draw(st.integers(1, 20)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.dirichlet(np.full(c, draw(st.sampled_from([0.1, 1.0, 10.0]))), size=n)


def test_by_hand():
    np.testing.assert_allclose(least_confidence(BY_HAND), [0.3, 0.0, 2 / 3])
    np.testing.assert_allclose(margin(BY_HAND), [-0.5, -1.0, 0.0])
    np.testing.assert_allclose(max_prob(BY_HAND), [0.7, 1.0, 1 / 3])
    np.testing.assert_allclose(diff_prob(BY_HAND), [0.5, 1.0, 0.0])
    # 0.7 * 0.35667 + 0.2 * 1.60944 + 0.1 * 2.30259; then a certain row; then log 3
    np.testing.assert_allclose(entropy(BY_HAND), [0.80182, 0.0, np.log(3)], atol=1e-5)


@given(predictions())
def test_entropy_equals_scipy_and_the_others_a_sort(p):
    ordered = np.sort(p, axis=1)
    np.testing.assert_allclose(entropy(p), scipy_entropy(p, axis=1), atol=1e-12)
    np.testing.assert_array_equal(max_prob(p), ordered[:, -1])
    np.testing.assert_array_equal(diff_prob(p), ordered[:, -1] - ordered[:, -2])
    np.testing.assert_array_equal(margin(p), -diff_prob(p))


@given(predictions(), st.sampled_from(ALL))
def test_the_names_of_the_classes_do_not_matter(p, score):
    np.testing.assert_allclose(score(p[:, ::-1]), score(p), atol=1e-15)


@given(predictions())
def test_more_decided_is_never_more_uncertain(p):
    """Moving every row halfway to its own top class lowers each uncertainty and raises each confidence."""
    decided = p / 2
    decided[np.arange(len(p)), p.argmax(axis=1)] += 0.5
    for uncertainty in (least_confidence, margin, entropy):
        assert (uncertainty(decided) <= uncertainty(p) + 1e-12).all()
    for confidence in (max_prob, diff_prob):
        assert (confidence(decided) >= confidence(p) - 1e-12).all()


@pytest.mark.parametrize("score", ALL)
def test_float32_in_float64_out_and_the_input_stays(score):
    p = BY_HAND.astype(np.float32)
    before = p.copy()
    result = score(p)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, score(BY_HAND), atol=1e-6)
    np.testing.assert_array_equal(p, before)


@pytest.mark.parametrize("score", ALL)
def test_logits_are_refused(score):
    with pytest.raises(InputError, match="Apply softmax first"):
        score([[2.0, 1.0]])
