import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError, UnknownName
from goodgrain.report.train_views import Projection, SwitchedOff


def test_a_projection_by_hand():
    # Of the second moments of all five rows the first axis holds 3^2 + 2^2 + 0.5^2 and the second 1 + 0.5^2.
    found = Projection.of([[0, 3, 0], [1, 0, 0], [0, -2, 0]], [1, 0, 1], [[0, 0.5, 0], [0.5, 0, 0]])
    np.testing.assert_allclose(found.inside, [[3, 0], [0, 1], [-2, 0]], atol=1e-12)
    np.testing.assert_allclose(found.outside, [[0.5, 0], [0, 0.5]], atol=1e-12)
    assert found.labels.tolist() == [1, 0, 1]


def test_images_at_the_zero_vector_stay_there():
    found = Projection.of([[1, 2], [3, 4]], [0, 1], [[0, 0], [0, 0]])
    assert found.outside.tolist() == [[0, 0], [0, 0]]


@given(st.integers(0, 50))
def test_a_draw_keeps_each_image_with_its_label_and_follows_the_seed(seed):
    rng = np.random.default_rng(seed)
    lengths = np.arange(1, 31)
    features = lengths[:, None] * np.array([[1.0, 0.0, 0.0]])  # an image's first coordinate tells which it is
    found = Projection.of(features, lengths, -rng.random((40, 1)) * [[1.0, 0.0, 0.0]], most=7, seed=seed)
    assert len(found.inside) == len(found.outside) == len(set(found.labels)) == 7
    np.testing.assert_allclose(found.inside[:, 0], found.labels)
    assert (found.outside[:, 0] <= 0).all()
    again = Projection.of(features, lengths, np.zeros((1, 3)), most=7, seed=seed)
    np.testing.assert_array_equal(again.labels, found.labels)


def test_neighbourhoods_may_be_drawn_instead():
    rng = np.random.default_rng(0)
    features = np.repeat(np.eye(4)[:2] * 5, 10, axis=0) + 0.1 * rng.normal(size=(20, 4))
    found = Projection.of(features, np.repeat([0, 1], 10), 0.1 * rng.normal(size=(10, 4)), method="tsne")
    centres = [found.inside[found.labels == label].mean(axis=0) for label in (0, 1)]
    within = np.linalg.norm(found.inside[:10] - centres[0], axis=1).max()
    assert np.linalg.norm(centres[0] - centres[1]) > within


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        (
            ([[1, 2]], [0], [[1, 2, 3]]),
            {},
            InputError,
            "features have 2 dimensions and ood_features 3. Take both from one model.",
        ),
        (([[1, 2]], [0, 1], [[1, 2]]), {}, InputError, "labels has 2 rows, but there are 1 examples"),
        (([[1, 2]], [-1], [[1, 2]]), {}, InputError, "labels should be 0 or more"),
        (([[np.nan, 2]], [0], [[1, 2]]), {}, InputError, "features has NaN"),
        (([[1, 2]], [0], []), {}, InputError, "ood_features should have 2 axes"),
        (([[1, 2]], [0], [[1, 2]]), {"method": "umap"}, UnknownName, "no projection 'umap'. Known: pca, tsne"),
    ],
)
def test_a_projection_of_what_does_not_belong_together_is_refused(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        Projection.of(*arguments, **options)


def test_switched_off_by_hand():
    # Both models respond to the target with root mean square 1, so that a response is that of a column as it stands:
    # before sqrt((9 + 25) / 2) = 4.12, 1, 2; after 3, 1, 0.5. The second feature lost nothing.
    target = [[1, -1, 1], [-1, 1, 1]]
    before, after = [[3, 1, -2], [-5, 1, 2]], [[3, 1, 0.5], [3, 1, -0.5]]
    found = SwitchedOff.of(target, before, target, after)
    assert found.features.tolist() == [2, 0]
    np.testing.assert_allclose(found.before, [2, np.sqrt(17)])
    np.testing.assert_allclose(found.after, [0.5, 3])
    assert found.top_outside.tolist() == [[0, 1], [1, 0]]  # by size, whatever the sign; ties in the order given
    assert found.top_inside.tolist() == [[0, 1], [0, 1]]
    assert found.agreement == pytest.approx(1.0)  # the third feature is constant: the median of 1, 1 and 0


def test_most_and_images_limit_what_is_told():
    target = np.ones((5, 4))
    found = SwitchedOff.of(target, [[4, 3, 2, 1]], target, [[0, 0, 0, 0]], most=2, images=3)
    assert found.features.tolist() == [0, 1]
    assert found.top_inside.tolist() == [[0, 1, 2]] * 2
    assert found.top_outside.tolist() == [[0]] * 2


@given(st.integers(0, 50))
def test_features_come_in_the_order_of_their_loss(seed):
    rng = np.random.default_rng(seed)
    before_in, after_in = rng.normal(size=(2, 9, 6))
    before_ood, after_ood = rng.normal(size=(2, 7, 6))
    found = SwitchedOff.of(before_in, before_ood, after_in, after_ood)
    loss = found.before - found.after
    assert (loss > 0).all()
    assert (np.diff(loss) <= 0).all()
    assert len(set(found.features)) == len(found.features)
    for row, feature in enumerate(found.features):
        sizes = np.abs(before_ood[:, feature])
        assert found.top_outside[row].tolist() == sorted(range(7), key=lambda i: -sizes[i])


def test_a_model_that_responds_more_has_switched_nothing_off():
    found = SwitchedOff.of([[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 2.0]])
    assert [len(table) for table in (found.features, found.before, found.after, found.top_inside)] == [0] * 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([[1, 1]], [[1]], [[1, 1]], [[1, 1]]), "Take both from one model"),
        (([[1, 1]], [[1, 1]], [[1]], [[1]]), "the first model has 2 features and the second 1"),
        (([[1, 1]], [[1, 1]], [[1, 1], [1, 1]], [[1, 1]]), "after has 2 rows, but there are 1 examples"),
        (([[0, 0]], [[1, 1]], [[1, 1]], [[1, 1]]), "features are 0 for every image of the target"),
        (([[1, np.inf]], [[1, 1]], [[1, 1]], [[1, 1]]), "features has NaN or infinite values"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        SwitchedOff.of(*arguments)
