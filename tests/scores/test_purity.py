import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores import label_agreement


def slow(features, labels, k):
    """Every pair's cosine, a full sort, and a count."""
    shares = []
    for i, row in enumerate(features):
        cosines = [
            (float(row @ other / np.linalg.norm(row) / np.linalg.norm(other)), j)
            for j, other in enumerate(features)
            if j != i
        ]
        nearest = [j for _, j in sorted(cosines, reverse=True)[:k]]
        shares.append(max(np.bincount(labels[nearest])) / k)
    return np.array(shares)


@given(seed=st.integers(0, 10_000), n=st.integers(3, 25), k=st.integers(1, 6))
def test_it_equals_the_slow_version(seed, n, k):
    rng = np.random.default_rng(seed)
    features, labels, k = rng.normal(size=(n, 4)), rng.integers(0, 3, n), min(k, n - 1)
    assert label_agreement(features, labels, neighbors=k) == pytest.approx(slow(features, labels, k))


@given(seed=st.integers(0, 10_000))
def test_rows_may_come_in_any_order(seed):
    rng = np.random.default_rng(seed)
    features, labels, order = rng.normal(size=(20, 3)), rng.integers(0, 4, 20), rng.permutation(20)
    whole = label_agreement(features, labels, neighbors=5)
    assert label_agreement(features[order], labels[order], neighbors=5) == pytest.approx(whole[order])


def test_the_own_label_has_no_say():
    features = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1.0]])
    before = label_agreement(features, [0, 1, 1, 0], neighbors=2)[0]
    assert label_agreement(features, [1, 1, 1, 0], neighbors=2)[0] == before == 1.0


def test_scattered_labels_are_told_from_a_class_with_wrong_ones():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.eye(4) * 10, 100, axis=0) + rng.normal(size=(400, 4))
    labels = np.repeat(np.arange(4), 100)
    wrong = rng.choice(300, 60, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 4
    labels[300:] = rng.integers(0, 4, 100)  # the fourth cluster is of no class
    agreement = label_agreement(clusters, labels)
    assert agreement[wrong].mean() > 0.7
    assert agreement[300:].mean() < 0.5


def test_too_many_neighbors_are_refused():
    with pytest.raises(InputError, match="neighbors should be"):
        label_agreement(np.eye(3), [0, 1, 2], neighbors=3)
    with pytest.raises(InputError, match="there is 1 example"):
        label_agreement([[1.0]], [0], neighbors=1)
