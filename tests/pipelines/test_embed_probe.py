import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from goodgrain.errors import InputError
from goodgrain.pipelines.embed import embed
from goodgrain.pipelines.embed_probe import check_probe, folds, out_of_fold


def test_the_probe_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = (rng.normal(size=(90, 6)) + 2 * np.eye(3, 6)[labels]) * [1, 10, 100, 1, 1, 0]
    ours, others = out_of_fold(features, labels, classes=4, seed=0, others=[2 * features])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    split = PredefinedSplit(folds(labels, seed=0))
    oracle = cross_val_predict(model, features, labels, cv=split, method="predict_proba")
    np.testing.assert_allclose(ours[:, :3], oracle, atol=1e-5)
    assert not ours[:, 3].any()  # a class that nobody has
    assert not np.allclose(ours, others)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 5))
def test_folds_spread_every_class(labels, seed):
    fold = folds(np.array(labels), seed=seed)
    for j in set(labels):
        sizes = np.bincount(fold[np.array(labels) == j], minlength=5)
        assert sizes.max() - sizes.min() <= 1


def test_the_probe_finds_the_truth_under_the_noise(pools, tmp_path):
    pool, _ = pools

    def shape(images):
        bright = images[..., 0] > 120.0
        return np.stack([bright.mean(axis=1).std(axis=1), bright.mean(axis=2).std(axis=1)], axis=1)

    seen = embed(pool, model=shape, output=tmp_path / "seen")
    predicted = seen.probabilities.argmax(axis=1)
    assert (predicted == pool.clean_labels).mean() > 0.9 > (pool.labels == pool.clean_labels).mean()


def test_ten_examples_by_hand():
    # Class by class in turn: each fold holds one of each, so all five classifiers see 4 + 4 apart at -1 and 1.
    labels = np.repeat([0, 1], 5)
    made = out_of_fold(np.where(labels == 0, -1.0, 1.0)[:, None], labels, classes=2, seed=0)[0]
    assert np.bincount(folds(labels, seed=0)).tolist() == [2] * 5
    np.testing.assert_allclose(made[:, 1], np.where(labels == 0, made[0, 1], made[9, 1]), rtol=1e-5)
    # C = 0.01, w solves w / C = 8 sigmoid(-w): w = 0.03922, so the probability is sigmoid(0.03922)
    np.testing.assert_allclose(made[9, 1], 0.509803, atol=1e-5)


@pytest.mark.parametrize("labels", [None, np.zeros(9, dtype=np.int64), np.array([0, 0, 0, 1])])
def test_labels_that_no_probe_can_learn(labels):
    with pytest.raises(InputError, match="a probe needs"):
        check_probe(labels)
