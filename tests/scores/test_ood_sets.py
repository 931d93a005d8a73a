import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores.ood_sets import largest_correlation, shared_features


def oracle(features, labels, ood_features, ood_probabilities):
    """Feature by feature, class by class, with NumPy's own correlation."""

    def most(column, targets):
        best = 0.0
        for target in targets.T:
            if column.std() > 1e-12 and target.std() > 1e-12:
                best = max(best, abs(np.corrcoef(column, target)[0, 1]))
        return best

    onehot = np.eye(labels.max() + 1)[labels]
    products = [
        most(features[:, j], onehot) * most(ood_features[:, j], ood_probabilities) for j in range(features.shape[1])
    ]
    return float(np.mean(products))


def problem(seed, n=30, m=25, d=6, c=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % c)
    features = rng.normal(size=(n, d)) + labels[:, None] * rng.normal(size=d)
    return features, labels, rng.normal(size=(m, d)), rng.dirichlet(np.ones(c), size=m)


def test_by_hand():
    # feature 0 is the class on the target and goes with the prediction on OOD images; feature 1 is the class as well,
    # but constant on OOD images; feature 2 goes with the prediction, but not with the class
    features = [[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]]
    strange = [[1, 3, 1], [0, 3, 0]]
    assert shared_features(features, [0, 0, 1, 1], strange, [[1, 0], [0, 1]]) == pytest.approx(1 / 3)


@given(st.integers(0, 200))
def test_equals_the_slow_oracle(seed):
    given_ = problem(seed)
    assert shared_features(*given_) == pytest.approx(oracle(*given_), abs=1e-9)


@given(st.integers(0, 50))
def test_scale_shift_and_order_do_not_matter(seed):
    features, labels, strange, probabilities = problem(seed)
    rng = np.random.default_rng(seed)
    order, other = rng.permutation(len(features)), rng.permutation(len(strange))
    moved = shared_features(3 * features[order] + 1, labels[order], 0.1 * strange[other] - 7, probabilities[other])
    assert moved == pytest.approx(shared_features(features, labels, strange, probabilities), abs=1e-9)
    assert 0 <= moved <= 1


def test_a_set_that_excites_nothing_shares_nothing():
    features, labels, strange, probabilities = problem(0)
    assert shared_features(features, labels, np.zeros_like(strange), probabilities) == 0.0
    constant = np.full_like(probabilities, 1 / 3)
    assert shared_features(features, labels, strange, constant) == 0.0


def test_a_constant_feature_that_rounds_is_constant():
    assert largest_correlation(np.full((5, 1), 0.1) * 3, np.arange(5.0)[:, None]).tolist() == [0.0]


def test_refusals():
    features, labels, strange, probabilities = problem(0)
    with pytest.raises(InputError, match="features have 6 dimensions and ood_features 5. Take both from one model"):
        shared_features(features, labels, strange[:, :5], probabilities)
    with pytest.raises(InputError, match="probabilities"):
        shared_features(features, labels, strange, probabilities[:3])
