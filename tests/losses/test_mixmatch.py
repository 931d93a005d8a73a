import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.losses.mixmatch import (
    mix,
    negative_entropy,
    refine,
    sharpen,
    soft_cross_entropy,
    squared_error,
    uniform_divergence,
)
from goodgrain.losses.noisy import class_balance


def drawn(seed, n=5, c=4, spread=3.0):
    """Logits (n, c) and target distributions (n, c)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, spread, (n, c)), rng.dirichlet(np.ones(c), size=n)


def softmax(logits):
    return np.array([np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in logits])


def value(function, *arrays):
    return float(function(*(torch.from_numpy(array) for array in arrays)))


def test_sharpen_by_hand():
    # .36 / (.36 + .16)
    assert sharpen(torch.tensor([[0.6, 0.4]]), 0.5)[0].tolist() == pytest.approx([0.6923, 0.3077], abs=1e-4)


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.05, 3.0))
def test_sharpen_equals_the_numpy_version(seed, temperature):
    _, p = drawn(seed)
    expected = [[x ** (1 / temperature) for x in row] for row in p]
    expected = np.array([np.array(row) / sum(row) for row in expected])
    got = sharpen(torch.from_numpy(p), temperature).numpy()
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert (got.argmax(axis=1) == p.argmax(axis=1)).all()


def test_a_sharp_prediction_stays_a_distribution():
    sure = sharpen(torch.tensor([[1.0, 0.0], [0.3, 0.7]]), 1e-3)  # .7 ** 1000 is 0 in float32
    assert sure.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_refine_by_hand():
    labels, clean = torch.tensor([1, 1, 0]), torch.tensor([1.0, 0.0, 0.5])
    predicted = torch.tensor([[0.9, 0.1]]).expand(3, 2)
    assert refine(labels, clean, predicted).flatten().tolist() == pytest.approx([0, 1, 0.9, 0.1, 0.95, 0.05])


def test_mix_by_hand():
    rows = torch.tensor([[[1.0]], [[2.0]], [[4.0]]])
    assert mix(rows, 0.75, torch.tensor([2, 0, 2])).flatten().tolist() == [1.75, 1.75, 4.0]


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_what_is_mixed_of_distributions_is_one(seed, share):
    _, p = drawn(seed)
    order = np.random.default_rng(seed).permutation(5)
    mixed = mix(torch.from_numpy(p), share, torch.from_numpy(order)).numpy()
    assert mixed.sum(axis=1) == pytest.approx(np.ones(5))
    assert mixed == pytest.approx(np.array([share * p[i] + (1 - share) * p[order[i]] for i in range(5)]))
    assert mixed.mean(axis=0) == pytest.approx(p.mean(axis=0))  # partners are a permutation: nobody counts twice


@given(seed=st.integers(0, 10_000))
def test_each_term_equals_the_numpy_version(seed):
    logits, targets = drawn(seed)
    p = softmax(logits)
    cross_entropy = -sum(targets[i, k] * np.log(p[i, k]) for i in range(5) for k in range(4)) / 5
    error = sum((targets[i, k] - p[i, k]) ** 2 for i in range(5) for k in range(4)) / 20
    mean = p.mean(axis=0)
    divergence = sum(0.25 * np.log(0.25 / mean[k]) for k in range(4))
    assert value(soft_cross_entropy, logits, targets) == pytest.approx(cross_entropy)
    assert value(squared_error, logits, targets) == pytest.approx(error)
    assert value(uniform_divergence, logits) == pytest.approx(divergence, abs=1e-12)
    assert value(negative_entropy, logits) == pytest.approx((p * np.log(p)).sum(axis=1).mean())


@given(seed=st.integers(0, 10_000))
def test_the_divergence_is_the_class_balance_without_its_constant(seed):
    logits = torch.from_numpy(drawn(seed, spread=1.0)[0])
    balance = float(class_balance(logits.softmax(dim=1)))
    assert float(uniform_divergence(logits)) == pytest.approx(balance - np.log(4), abs=1e-9)


def test_a_class_that_was_given_up_is_called_back():
    logits = torch.tensor([[0.0, -300.0], [0.0, -300.0]], requires_grad=True)
    divergence = uniform_divergence(logits)
    assert divergence.item() == pytest.approx(150 - np.log(2), rel=1e-5)
    divergence.backward()
    assert (logits.grad[:, 1] < -0.1).all()
