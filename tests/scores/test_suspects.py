import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores.suspects import suspects


def test_by_hand():
    # Mean probability of class 0 among examples labelled 0: (.9 + .8 + .2) / 3 = .633; of class 1 likewise
    # (.7 + .6 + .05) / 3 = .45. Row 2 (labelled 0) has p1 = .8 >= .45; row 5 (labelled 1) has p0 = .95 >= .633.
    p0 = np.array([0.9, 0.8, 0.2, 0.3, 0.4, 0.95])
    found = suspects([0, 0, 0, 1, 1, 1], np.stack([p0, 1 - p0], axis=1))
    assert found.positions.tolist() == [5, 2]
    assert found.suggested.tolist() == [0, 1]
    np.testing.assert_allclose(found.confidence, [0.9, 0.6])


def oracle(labels, p):
    n, c = p.shape
    usual = [np.mean([p[i, j] for i in range(n) if labels[i] == j] or [np.inf]) for j in range(c)]
    found = []
    for i in range(n):
        members = [j for j in range(c) if p[i, j] >= usual[j]]
        if members:
            j = max(members, key=lambda k: (p[i, k], -k))
            if j != labels[i] and p[i, j] > p[i, labels[i]]:
                found.append((-(p[i, j] - p[i, labels[i]]), i, j))
    return [(i, j) for _, i, j in sorted(found)]


@given(st.integers(0, 1000))
def test_equals_the_plain_definition_in_any_order(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 0.5), size=30)
    labels = rng.integers(0, 4, size=30)
    found = suspects(labels, p)
    assert list(zip(found.positions.tolist(), found.suggested.tolist(), strict=True)) == oracle(labels, p)
    shuffle = rng.permutation(30)
    mixed = suspects(labels[shuffle], p[shuffle])
    assert shuffle[mixed.positions].tolist() == found.positions.tolist()


def test_a_model_that_agrees_suspects_nobody():
    p = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1
    assert len(suspects([0, 1, 2, 0], p).positions) == 0


def test_labels_outside_the_classes():
    with pytest.raises(InputError, match="labels should be 0..1; 1 are not, the first is 2 at row 0"):
        suspects([2], [[0.5, 0.5]])
