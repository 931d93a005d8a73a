import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.cluster import KMeans

from goodgrain.errors import InputError
from goodgrain.scores import moderate, prototypical


def test_moderate_by_hand():
    # Class 0: median (1, 0), distances 1, 0, 2. Class 2: median (10, 1), distances 1, 1. Median of all: 1.
    features = [[0, 0], [1, 0], [3, 0], [10, 0], [10, 2]]
    np.testing.assert_array_equal(moderate(features, [0, 0, 0, 2, 2]), [0, -1, -1, 0, 0])


def test_a_class_of_one_lies_on_its_own_median():
    # Distances 0 (alone), 1, 1: the median is 1.
    np.testing.assert_array_equal(moderate([[7.0], [0.0], [2.0]], [5, 1, 1]), [-1, 0, 0])


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.floats(-9, 9)),
    st.integers(0, 2**32),
)
def test_moderate_equals_a_loop_in_any_order_of_rows(features, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=len(features))
    distances = []
    for row, label in zip(features, labels, strict=True):
        middle = np.median(features[labels == label], axis=0)
        distances.append(np.sqrt(((row - middle) ** 2).sum()))
    expected = -np.abs(np.array(distances) - np.median(distances))
    np.testing.assert_allclose(moderate(features, labels), expected, atol=1e-12)
    order = rng.permutation(len(features))
    np.testing.assert_allclose(moderate(features[order], labels[order]), expected[order], atol=1e-12)


def test_moderate_needs_one_label_per_row():
    with pytest.raises(InputError, match="labels has 1 rows, but there are 2 examples"):
        moderate([[0.0], [1.0]], [0])


def test_prototypical_by_hand():
    # The far pair is one cluster with its centroid at 101; 0, 2, 3 the other, with 5/3.
    scores = prototypical([[0.0], [2.0], [3.0], [100.0], [102.0]], clusters=2)
    np.testing.assert_allclose(scores, [-5 / 3, -1 / 3, -4 / 3, -1.0, -1.0])


def test_with_one_cluster_it_is_the_distance_to_the_mean():
    x = np.random.default_rng(0).normal(size=(30, 4))
    np.testing.assert_allclose(prototypical(x, clusters=1), -np.linalg.norm(x - x.mean(axis=0), axis=1), atol=1e-12)


def test_every_example_belongs_to_a_centroid_that_is_the_mean_of_its_members():
    x = np.random.default_rng(1).normal(size=(200, 3))
    scores = prototypical(x, clusters=5, seed=7)
    fitted = KMeans(5, n_init=1, random_state=7).fit(x)
    for label in range(5):
        members = x[fitted.labels_ == label]
        own = -np.linalg.norm(members - members.mean(axis=0), axis=1)
        np.testing.assert_allclose(scores[fitted.labels_ == label], own, atol=1e-2)


def test_prototypical_is_the_same_for_the_same_seed():
    x = np.random.default_rng(2).normal(size=(600, 8)).astype(np.float32)
    np.testing.assert_array_equal(prototypical(x, clusters=12, seed=3), prototypical(x, clusters=12, seed=3))
    assert not np.array_equal(prototypical(x, clusters=12, seed=3), prototypical(x, clusters=12, seed=4))


def test_fewer_distinct_rows_than_clusters_is_no_error():
    np.testing.assert_array_equal(prototypical([[0.0], [0.0], [1.0]], clusters=3), [0.0, 0.0, 0.0])


@pytest.mark.parametrize("clusters", [0, 4, 1.5, True])
def test_an_impossible_number_of_clusters_says_what_is_possible(clusters):
    with pytest.raises(InputError, match="clusters should be a whole number, 1 to 3"):
        prototypical([[0.0], [1.0], [2.0]], clusters=clusters)
