import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores import (
    energy,
    knn,
    label_agreement,
    mahalanobis,
    max_logit,
    msp,
    nearest_in,
    nearest_ood,
    odin,
    react,
)


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


def problem(seed, n=20, m=60, d=5, c=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(m) % c)
    reference = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 2 * labels[:, None]
    return rng.normal(size=(n, d)) * 2, reference, labels


def logits_of(seed, n=30, c=4):
    return np.random.default_rng(seed).normal(size=(n, c)) * 5


@given(st.integers(0, 60))
def test_scores_of_logits_equal_torch(seed):
    logits = logits_of(seed)
    torched = torch.from_numpy(logits)
    np.testing.assert_allclose(max_logit(logits), torched.max(dim=1).values)
    for t in (0.5, 1.0, 10.0):
        np.testing.assert_allclose(energy(logits, temperature=t), t * torch.logsumexp(torched / t, dim=1), rtol=1e-9)
    np.testing.assert_allclose(odin(logits), (torched / 1000).softmax(dim=1).max(dim=1).values, rtol=1e-12)
    np.testing.assert_allclose(msp(torched.softmax(dim=1)), torched.softmax(dim=1).max(dim=1).values, rtol=1e-12)


@given(st.integers(0, 60))
def test_react_is_the_energy_of_a_head_that_sees_cut_features(seed):
    rng = np.random.default_rng(seed)
    head = torch.nn.Linear(6, 3).double()
    features = rng.normal(size=(9, 6)) * 3
    with torch.no_grad():
        expected = torch.logsumexp(head(torch.from_numpy(features).clamp(max=1.2)), dim=1)
    weight, bias = (part.detach().numpy() for part in (head.weight, head.bias))
    np.testing.assert_allclose(react(features, weight, bias, clip=1.2), expected, rtol=1e-9)
    uncut = react(features, weight, bias, clip=1e9)
    np.testing.assert_allclose(uncut, energy(features @ weight.T + bias))


@given(st.integers(0, 60))
def test_distances_equal_loops(seed):
    features, reference, labels = problem(seed)
    means = [reference[labels == c].mean(axis=0) for c in range(3)]
    centred = np.array([row - means[label] for row, label in zip(reference, labels, strict=True)])
    covariance = sum(np.outer(row, row) for row in centred) / len(reference)
    expected = [-min((x - m) @ np.linalg.inv(covariance) @ (x - m) for m in means) for x in features]
    np.testing.assert_allclose(mahalanobis(features, reference, labels), expected, rtol=1e-6)

    def unit(x):
        return x / np.linalg.norm(x)

    for k in (1, 7):
        expected = [-sorted(np.linalg.norm(unit(x) - unit(r)) for r in reference)[k - 1] for x in features]
        np.testing.assert_allclose(knn(features, reference, k=k), expected, atol=1e-7)
    expected = [max(unit(x) @ unit(r) for r in reference) for x in features]
    np.testing.assert_allclose(nearest_in(features, reference), expected, atol=1e-12)
    expected = [min(np.linalg.norm(x - r) for r in reference) for x in features]
    np.testing.assert_allclose(nearest_ood(features, reference), expected, rtol=1e-12)


def test_a_singular_covariance_and_a_class_that_is_missing():
    # the second feature is constant: it has no say; class 1 has no example
    reference, labels = [[0.0, 5.0], [2.0, 5.0], [10.0, 5.0], [12.0, 5.0]], [0, 0, 2, 2]
    np.testing.assert_allclose(mahalanobis([[1.0, 5.0], [11.0, 5.0], [3.0, 5.0]], reference, labels), [0, 0, -4])


@given(st.integers(0, 20))
def test_rows_are_scored_one_by_one(seed):
    features, reference, labels = problem(seed)
    order = np.random.default_rng(seed).permutation(len(features))
    for score in (
        lambda x: mahalanobis(x, reference, labels),
        lambda x: knn(x, reference, k=3),
        lambda x: nearest_in(x, reference),
        lambda x: nearest_ood(x, reference),
    ):
        np.testing.assert_allclose(score(features[order]), score(features)[order], atol=1e-12)


def test_a_known_ood_example_is_at_distance_0_exactly():
    rows = np.random.default_rng(0).normal(size=(40, 30)) + 1e4
    assert nearest_ood(rows[:7], rows).tolist() == [0.0] * 7


def test_refusals_of_purity_scores():
    with pytest.raises(InputError, match="features have 2 dimensions and the reference 3. Take both from one model"):
        knn(np.ones((2, 2)), np.ones((3, 3)), k=1)
    with pytest.raises(InputError, match="k should be a whole number, 1 to 3; 4 came"):
        knn(np.ones((2, 2)), np.ones((3, 2)), k=4)
    with pytest.raises(InputError, match=r"weight should be \(c, 2\), one column per feature"):
        react(np.ones((2, 2)), np.ones((3, 4)), np.zeros(3), clip=1.0)
    with pytest.raises(InputError, match="temperature should be above 0"):
        energy([[1.0, 2.0]], temperature=0)
