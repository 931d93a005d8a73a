import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodgrain.errors import InputError, UnknownName
from goodgrain.scores import aum, el2n, forgetting, grand, small_loss


def test_small_loss_by_hand():
    np.testing.assert_array_equal(small_loss([0.5, 2.0, 0.0]), [-0.5, -2.0, 0.0])


def test_forgetting_by_hand():
    # Columns: always right; learned late; forgotten twice; right once, then lost; never right.
    correct = np.array(
        [
            [1, 0, 1, 1, 0],
            [1, 0, 0, 0, 0],
            [1, 1, 1, 0, 0],
            [1, 1, 0, 0, 0],
        ],
        dtype=bool,
    )
    np.testing.assert_array_equal(forgetting(correct), [0, 0, 2, 1, 4])
    np.testing.assert_array_equal(forgetting(correct, never_learned="least"), [0, 0, 2, 1, 0])
    with pytest.raises(UnknownName, match="no never_learned 'last'. Did you mean 'least'"):
        forgetting(correct, never_learned="last")


@given(hnp.arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_forgetting_equals_a_loop_and_the_never_learned_come_first(correct):
    expected = []
    for history in correct.T.tolist():
        events = sum(was and not now for was, now in itertools.pairwise(history))
        expected.append(events if any(history) else len(history))
    counts = forgetting(correct)
    np.testing.assert_array_equal(counts, expected)
    learned = correct.any(axis=0)
    if learned.any() and not learned.all():
        assert counts[~learned].min() > counts[learned].max()


def test_forgetting_takes_zeros_and_ones_but_nothing_else():
    np.testing.assert_array_equal(forgetting([[1, 0], [0, 0]]), [1, 2])
    with pytest.raises(InputError, match="should be booleans"):
        forgetting([[0.5, 1.0]])
    with pytest.raises(InputError, match=r"should be \(epochs, examples\)"):
        forgetting([True, False])


def test_grand_by_hand():
    # ||(.7, -.8, .1)|| = sqrt(1.14) = 1.06771; sqrt(1 + 1 + 4) = 2.44949
    np.testing.assert_allclose(grand([[0.7, 0.2, 0.1]], [1], [[1.0, 2.0]]), [2.61534], atol=1e-5)


def test_grand_is_the_gradient_of_the_last_layer():
    """The closed form equals autograd, weight and bias together."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    head = torch.nn.Linear(4, 3, dtype=torch.float64)
    norms = []
    for row, label in zip(features, labels, strict=True):
        head.zero_grad()
        torch.nn.functional.cross_entropy(head(row), label).backward()
        norms.append(float(torch.cat([head.weight.grad.flatten(), head.bias.grad]).norm()))
    probabilities = head(features).softmax(dim=1).detach()
    np.testing.assert_allclose(grand(probabilities, labels, features), norms, rtol=1e-12)


def test_el2n_by_hand():
    np.testing.assert_allclose(el2n([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], [1, 1]), [np.sqrt(1.14), 0.0])


def test_several_models_are_averaged():
    rng = np.random.default_rng(0)
    p, h, y = rng.dirichlet(np.ones(3), size=(4, 6)), rng.normal(size=(4, 6, 5)), rng.integers(3, size=6)
    np.testing.assert_allclose(grand(p, y, h), np.mean([grand(*m) for m in zip(p, [y] * 4, h, strict=True)], axis=0))
    np.testing.assert_allclose(el2n(p, y), np.mean([el2n(m, y) for m in p], axis=0))
    # without features, the gradient of the bias alone remains
    np.testing.assert_allclose(grand(p, y, np.zeros_like(h)), el2n(p, y))


def test_models_that_do_not_fit_are_refused():
    p, h = np.full((2, 3, 2), 0.5), np.ones((3, 4))
    with pytest.raises(InputError, match="probabilities come from 2 models, features from 1"):
        grand(p, [0, 1, 0], h)
    with pytest.raises(InputError, match="there are 3 examples"):
        grand(p[0], [0, 1, 0], h[:2])
    with pytest.raises(InputError, match=r"labels should be 0\.\.1"):
        el2n(p, [0, 1, 2])
    with pytest.raises(InputError, match="should sum to 1"):
        el2n(2 * p, [0, 1, 0])


def test_aum_by_hand():
    # Means over two epochs: 2 and -1; the example whose label loses comes first.
    np.testing.assert_array_equal(aum([[1.0, -2.0], [3.0, 0.0]]), [-2.0, 1.0])


@given(hnp.arrays(np.float32, (4, 6), elements=st.floats(-50, 50, width=32)))
def test_aum_falls_when_the_given_label_gains(margins):
    assert (aum(margins + np.float32(1)) < aum(margins)).all()
