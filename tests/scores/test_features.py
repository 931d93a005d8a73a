import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores.features import activation, between_classes, class_cosine, response, undesirability


def cosine_oracle(features, labels):
    """Every pair of images."""
    classes = labels.max() + 1
    sums, counts = np.zeros((classes, classes)), np.zeros((classes, classes))
    across = []
    for i, one in enumerate(features):
        for j, other in enumerate(features):
            if i != j:
                length = np.linalg.norm(one) * np.linalg.norm(other)
                cosine = one @ other / length if length else 0.0
                sums[labels[i], labels[j]] += cosine
                counts[labels[i], labels[j]] += 1
                across += [cosine] if labels[i] != labels[j] else []
    return sums / counts, np.mean(across)


def problem(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(24) % 3)
    features = rng.normal(size=(24, 4)) + labels[:, None]
    features[rng.random(24) < 0.1] = 0
    return features, labels


@given(st.integers(0, 100))
def test_cosines_equal_the_slow_oracle(seed):
    features, labels = problem(seed)
    matrix, across = cosine_oracle(features, labels)
    np.testing.assert_allclose(class_cosine(features, labels), matrix, atol=1e-12)
    assert between_classes(features, labels) == pytest.approx(across, abs=1e-12)


@given(st.integers(0, 100))
def test_length_and_order_of_rows_do_not_matter_to_angles(seed):
    features, labels = problem(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(24)
    scaled = features[order] * rng.uniform(0.1, 9, (24, 1))
    np.testing.assert_allclose(class_cosine(scaled, labels[order]), class_cosine(features, labels), atol=1e-9)


def test_a_class_of_one_has_no_pairs():
    matrix = class_cosine([[1, 0], [0, 1], [0, 1]], [0, 1, 1])
    assert np.isnan(matrix[0, 0])
    assert matrix[1, 1] == 1


def test_activation_is_the_mean_squared_length():
    features, _ = problem(3)
    assert activation(features) == pytest.approx(np.mean([sum(v * v for v in row) for row in features]))


def test_undesirability_equals_numpys_correlations():
    rng = np.random.default_rng(0)
    features, probabilities = rng.normal(size=(40, 5)), rng.dirichlet([1, 1, 1], size=40)
    features[:, 4] = 2.0
    expected = [max(abs(np.corrcoef(features[:, j], probabilities[:, k])[0, 1]) for k in range(3)) for j in range(4)]
    np.testing.assert_allclose(undesirability(features, probabilities), [*expected, 0.0], atol=1e-12)


def test_response_by_hand():
    # feature 0: rms 2 on the target and 1 on OOD images; 1: silent everywhere; 2: answers to OOD images alone
    found = response([[2, 0, 0], [-2, 0, 0]], [[1, 0, 3], [1, 0, 3]])
    assert found.tolist() == [0.5, 0.0, np.inf]


def test_refusals():
    with pytest.raises(InputError, match="all images are of one class"):
        between_classes([[1, 0], [0, 1]], [0, 0])
    with pytest.raises(InputError, match="features have 2 dimensions and ood_features 1"):
        response([[1, 0]], [[1]])
