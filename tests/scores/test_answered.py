"""The probe between answers of both kinds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from goodgrain.errors import InputError
from goodgrain.scores import nearest_both, probe


def by_descent(x, own, strange, strength):
    """The same objective, written out: 1/2 |w|^2 + C sum of weighted log-losses, by a general optimiser."""
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    rows, signs = np.concatenate([own, strange]), np.repeat([1.0, -1.0], [len(own), len(strange)])
    each = np.where(signs > 0, len(rows) / (2 * len(own)), len(rows) / (2 * len(strange)))

    def loss(w):
        return w[1:] @ w[1:] / 2 + strength * (each * np.logaddexp(0, -signs * (x[rows] @ w[1:] + w[0]))).sum()

    w = minimize(loss, np.zeros(x.shape[1] + 1), tol=1e-12).x
    return x @ w[1:] + w[0]


@given(st.integers(0, 2**32 - 1))
def test_equals_the_objective_written_out(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 3)) * [1, 10, 0.1] + 5
    order = rng.permutation(30)
    own, strange = order[:7], order[7:10]
    np.testing.assert_allclose(probe(x, own, strange), by_descent(x, own, strange, 0.01), atol=2e-4)


def test_the_order_of_rows_and_answers_does_not_matter():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    order = rng.permutation(40)
    first = probe(x, [1, 2, 3], [7, 9])
    back = np.argsort(order)
    np.testing.assert_allclose(probe(x[order], back[[3, 1, 2]], back[[9, 7]])[back], first, atol=1e-9)
    assert probe(x, [7, 9], [1, 2, 3]) == pytest.approx(-first, abs=1e-6)


def test_finds_the_direction_that_tells_the_answers_apart():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 20))
    inside = x[:, 3] > 0
    asked = rng.permutation(400)[:100]
    odds = probe(x, asked[inside[asked]], asked[~inside[asked]])
    assert ((odds > 0) == inside).mean() > 0.8


@pytest.mark.parametrize(
    ("inside", "ood", "sentence"),
    [
        ([], [1], "no example in inside"),
        ([0], [], "no example in ood"),
        ([0, 1], [1], "position 1 is in inside and in ood"),
        ([0], [9], "9"),
    ],
)
def test_says_what_is_wrong(inside, ood, sentence):
    with pytest.raises(InputError, match=sentence):
        probe(np.eye(4), inside, ood)


@given(st.integers(0, 2**32 - 1))
def test_nearest_both_is_the_likeness_to_the_one_less_that_to_the_other(seed):
    rng = np.random.default_rng(seed)
    x, own, strange = (rng.normal(size=(n, 4)) for n in (12, 3, 5))

    def cosine(a, b):
        return a @ b / (a @ a * (b @ b)) ** 0.5

    slow = [max(cosine(row, one) for one in own) - max(cosine(row, one) for one in strange) for row in x]
    np.testing.assert_allclose(nearest_both(x, own, strange), slow, atol=1e-12)
    np.testing.assert_allclose(nearest_both(3 * x, own[::-1], 2 * strange), slow, atol=1e-12)
    np.testing.assert_array_equal(nearest_both(x, strange, own), -nearest_both(x, own, strange))
