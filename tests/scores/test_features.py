import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_features as oracle
from goodgrain.errors import InputError, UnknownName
from goodgrain.scores import (
    activation,
    agreement,
    between_classes,
    class_cosine,
    projection,
    response,
    switched_off,
    undesirability,
)


def problem(seed, n=24, d=4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3)
    features = rng.normal(size=(n, d)) + labels[:, None]
    features[rng.random(n) < 0.1] = 0
    return features, labels


def test_cosines_by_hand():
    # class 0: 0 and 45 degrees; class 1: 90 degrees twice. Within 0: cos 45; within 1: 1; across: cos 90 and cos 45.
    features, labels = [[3, 0], [1, 1], [0, 1], [0, 2]], [0, 0, 1, 1]
    root = np.sqrt(0.5)
    np.testing.assert_allclose(class_cosine(features, labels), [[root, root / 2], [root / 2, 1]])
    assert between_classes(features, labels) == pytest.approx(root / 2)


def test_between_classes_counts_each_pair_of_images_once():
    # class 0 has one image, 1 and 2 have two and one: pairs 0-1 at cosine 1 (two of them), 0-2 and 1-2 at 0 (1 + 2)
    assert between_classes([[1, 0], [1, 0], [1, 0], [0, 1]], [0, 1, 1, 2]) == pytest.approx(2 / 5)


@given(st.integers(0, 100))
def test_cosines_equal_the_slow_oracle(seed):
    features, labels = problem(seed)
    matrix, across = oracle.class_cosine(features, labels)
    np.testing.assert_allclose(class_cosine(features, labels), matrix, atol=1e-12)
    assert between_classes(features, labels) == pytest.approx(across, abs=1e-12)


@given(st.integers(0, 100))
def test_length_and_order_of_rows_do_not_matter_to_angles(seed):
    features, labels = problem(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(24)
    scaled = features[order] * rng.uniform(0.1, 9, (24, 1))
    np.testing.assert_allclose(class_cosine(scaled, labels[order]), class_cosine(features, labels), atol=1e-9)


def test_classes_without_pairs_have_no_cosine():
    matrix = class_cosine([[1, 0], [0, 1], [0, 1]], [0, 3, 3])
    assert np.isnan(matrix[0, 0])
    assert np.isnan(matrix[1:3]).all()
    assert (matrix[0, 3], matrix[3, 3]) == (0, 1)


def test_activation_is_the_mean_squared_length():
    features, _ = problem(3)
    assert activation(features) == pytest.approx(np.mean([sum(v * v for v in row) for row in features]))
    assert activation([[3, 4], [0, 1]]) == 13


@given(st.integers(0, 50))
def test_undesirability_equals_the_slow_oracle(seed):
    rng = np.random.default_rng(seed)
    features, probabilities = rng.normal(size=(40, 5)), rng.dirichlet([1, 1, 1], size=40)
    features[:, 4] = 0.1 * 3
    expected = oracle.undesirability(features, probabilities)
    found = undesirability(features, probabilities)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found[4] == 0
    np.testing.assert_allclose(undesirability(7 - 2 * features, probabilities), expected, atol=1e-9)


def test_features_that_go_with_constant_predictions_are_not_undesirable():
    assert undesirability([[1], [2]], [[0.5, 0.5], [0.5, 0.5]]).tolist() == [0]


def test_response_by_hand():
    # The target's squares are 4, 0, 4, 0: unit sqrt(2). On OOD images the mean squares are 1 and 4.5.
    np.testing.assert_allclose(response([[2, 0], [-2, 0]], [[1, 0], [-1, 3]]), [np.sqrt(0.5), 1.5])


@given(st.integers(0, 50), st.floats(0.01, 100))
def test_response_equals_the_slow_oracle_in_any_unit(seed, scale):
    (inside, _), (strange, _) = problem(seed), problem(seed + 1000, n=15)
    expected = oracle.response(inside, strange)
    np.testing.assert_allclose(response(scale * inside, scale * strange), expected)
    assert np.square(expected).mean() == pytest.approx(activation(strange) / activation(inside))


def test_switched_off_by_hand():
    # Before, both respond as strongly as to the target; after, the first is silent and the second stronger by half.
    inside = [[1, 1]]
    np.testing.assert_allclose(switched_off(inside, [[1, 1]], inside, [[0, 1.5]]), [1, -0.5])


@given(st.integers(0, 50), st.floats(0.01, 100))
def test_a_model_whose_features_are_all_smaller_has_switched_nothing_off(seed, scale):
    (inside, _), (strange, _) = problem(seed), problem(seed + 1000)
    np.testing.assert_allclose(switched_off(inside, strange, scale * inside, scale * strange), 0, atol=1e-12)
    order = np.random.default_rng(seed).permutation(4)
    weaker = strange * [1, 0.5, 0.2, 0]
    np.testing.assert_allclose(
        switched_off(inside[:, order], strange[:, order], inside[:, order], weaker[:, order]),
        switched_off(inside, strange, inside, weaker)[order],
    )


@given(st.integers(0, 50))
def test_agreement_equals_numpys_correlation_and_knows_constants(seed):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(30, 4)).astype(np.float32)
    after = before + rng.normal(size=(30, 4)).astype(np.float32)
    after[:, 3] = 0.1
    expected = [np.corrcoef(before[:, j], after[:, j])[0, 1] for j in range(3)]
    found = agreement(before, after)
    np.testing.assert_allclose(found, [*expected, 0], atol=1e-6)
    np.testing.assert_allclose(agreement(3 * before + 1, -after), -found, atol=1e-5)


def test_a_feature_agrees_with_itself():
    features, _ = problem(0)
    np.testing.assert_allclose(agreement(features, features), 1)


@given(st.integers(0, 50))
def test_the_linear_picture_is_the_singular_value_decomposition_and_keeps_the_origin(seed):
    features, _ = problem(seed)
    found = projection(features)
    np.testing.assert_allclose(found, oracle.around_the_origin(features), atol=1e-6)
    assert (found[(features == 0).all(axis=1)] == 0).all()
    assert (np.linalg.norm(found, axis=1) <= np.linalg.norm(features, axis=1) + 1e-9).all()


def test_one_feature_has_a_picture_too():
    assert projection([[1.0], [-2.0]]).tolist() == [[1, 0], [-2, 0]]


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 100))
def test_neighbourhoods_gather_at_the_origin_what_has_no_length(seed):
    rng = np.random.default_rng(seed)
    silent = 0.01 * rng.normal(size=(20, 8))
    far = rng.normal(size=(20, 8)) + 20 * np.eye(8)[np.arange(20) % 2]
    found = projection(np.concatenate([silent, far]), method="tsne", seed=seed)
    distances = np.linalg.norm(found, axis=1)
    assert np.median(distances[:20]) < np.median(distances[20:])
    np.testing.assert_array_equal(found, projection(np.concatenate([silent, far]), method="tsne", seed=seed))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: between_classes([[1, 0], [0, 1]], [0, 0]), "all images are of one class"),
        (lambda: class_cosine([[1, 0]], [0, 1]), "labels has 2 rows, but there are 1 examples"),
        (lambda: class_cosine([[1, 0]], [-1]), "labels should be 0 or more"),
        (lambda: activation([[np.nan]]), "features has NaN"),
        (lambda: response([[1, 0]], [[1]]), "features have 2 dimensions and ood_features 1. Take both from one model"),
        (lambda: response([[0, 0]], [[1, 0]]), "features are 0 for every image of the target"),
        (
            lambda: switched_off([[1]], [[1]], [[1, 1]], [[1, 1]]),
            "the first model has 1 features and the second 2. Compare two trainings of one architecture",
        ),
        (lambda: agreement([[1, 2]], [[1]]), "before have 2 dimensions and after 1. Compare two trainings"),
        (lambda: agreement([[1, 2]], [[1, 2], [3, 4]]), "after has 2 rows, but there are 1 examples"),
        (lambda: projection([[1, 2]]), "the number of images should be a whole number, at least 2; 1 came"),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_an_unknown_projection_is_named_with_the_known_ones():
    with pytest.raises(UnknownName, match="no projection 'umap'. .*Known: pca, tsne"):
        projection([[1, 2], [3, 4]], method="umap")
