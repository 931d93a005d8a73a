import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.losses.noisy import class_balance, consistency, sop


def log(rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def test_sop_by_hand():
    u, v = torch.tensor([[0.5]]), torch.tensor([[0.9, 0.4, 0.3]])  # the given class's own v plays no part
    terms = sop(log([[0.2, 0.5, 0.3]]), torch.tensor([0]), u.double(), v.double())
    assert terms.adjusted.numpy() == pytest.approx(np.array([[0.45, 0.34, 0.21]]))  # the sum was 1 already
    assert float(terms.cross_entropy) == pytest.approx(0.79851, abs=1e-5)  # -log .45
    assert float(terms.squared_error) == pytest.approx(1.2762, abs=1e-4)  # (.25 - 1)^2 + (1 - .16)^2 + .09^2


def test_consistency_by_hand():
    weak, strong = log([[0.2, 0.5, 0.3]]), log([[0.1, 0.6, 0.3]])
    assert float(consistency(weak, strong)) == pytest.approx(0.2 * np.log(2) + 0.5 * np.log(5 / 6))  # .04747


def test_class_balance_by_hand():
    # the mean prediction is (.5, .25, .25)
    expected = -(np.log(0.5) + 2 * np.log(0.25)) / 3
    assert float(class_balance(torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]]))) == pytest.approx(expected)


def numpy_sop(logits, labels, u, v):
    """Row by row, from the definitions."""
    n, c = logits.shape
    adjusted, errors, entropies = np.zeros((n, c)), [], []
    for i in range(n):
        p = np.exp(logits[i] - logits[i].max())
        p /= p.sum()
        y = np.eye(c)[labels[i]]
        hard = np.eye(c)[int(np.argmax(logits[i]))]
        gained, lost = np.clip(u[i, 0] ** 2 * y, 0, 1), np.clip(v[i] ** 2 * (1 - y), 0, 1)
        p = np.maximum(p + gained - lost, 1e-4)
        adjusted[i] = p / np.abs(p).sum()
        entropies.append(-np.log(max(adjusted[i, labels[i]], 1e-4)))
        errors.append(((hard + gained - lost - y) ** 2).sum())
    return np.mean(entropies), np.sum(errors) / n, adjusted


@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), c=st.integers(2, 5), scale=st.sampled_from([1e-8, 0.5, 2.0]))
def test_sop_equals_the_numpy_version(seed, n, c, scale):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (n, c)), rng.integers(0, c, n)
    u, v = rng.normal(0, scale, (n, 1)), rng.normal(0, scale, (n, c))
    terms = sop(*(torch.from_numpy(array) for array in (logits, labels, u, v)))
    cross_entropy, squared_error, adjusted = numpy_sop(logits, labels, u, v)
    assert float(terms.cross_entropy) == pytest.approx(cross_entropy, rel=1e-9)
    assert float(terms.squared_error) == pytest.approx(squared_error, rel=1e-9)
    assert terms.adjusted.numpy() == pytest.approx(adjusted, rel=1e-9)
    assert float(class_balance(terms.adjusted)) == pytest.approx(-np.log(np.maximum(adjusted.mean(0), 1e-4)).mean())


@given(seed=st.integers(0, 10_000))
def test_consistency_equals_the_numpy_version(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(4), size=5), rng.dirichlet(np.ones(4), size=5)
    expected = (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
    assert float(consistency(torch.from_numpy(p).log(), torch.from_numpy(q).log())) == pytest.approx(expected)


def leaves(seed=0, n=4, c=3):
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(n, c)), rng.normal(0, 0.5, (n, 1)), rng.normal(0, 0.5, (n, c))
    return *(torch.from_numpy(array).requires_grad_() for array in arrays), torch.from_numpy(rng.integers(0, c, n))


def test_the_cross_entropy_gives_no_gradient_to_v():
    logits, u, v, labels = leaves()
    terms = sop(logits, labels, u, v)
    of_v, of_u, of_logits = torch.autograd.grad(
        terms.cross_entropy, [v, u, logits], retain_graph=True, allow_unused=True
    )
    assert of_v is None
    assert of_u.abs().max() > 0
    assert of_logits.abs().max() > 0
    (balance_of_v,) = torch.autograd.grad(class_balance(terms.adjusted), [v], retain_graph=True, allow_unused=True)
    assert balance_of_v is None


def test_the_squared_error_gives_a_gradient_to_u_and_v_alone():
    logits, u, v, labels = leaves()
    of_logits, of_u, of_v = torch.autograd.grad(
        sop(logits, labels, u, v).squared_error, [logits, u, v], allow_unused=True
    )
    assert of_logits is None
    given = torch.nn.functional.one_hot(labels, 3).bool()
    assert (of_v[given] == 0).all()
    assert (of_v[~given] != 0).any()
    assert (of_u != 0).any()


def test_the_strong_view_learns_from_the_weak_one_and_not_the_reverse():
    weak, strong = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    of_weak, of_strong = torch.autograd.grad(consistency(weak, strong), [weak, strong], allow_unused=True)
    assert of_weak is None
    assert of_strong.abs().max() > 0


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    terms = sop(logits, torch.tensor([1, 0]), torch.zeros(2, 1), torch.full((2, 2), 5.0))
    loss = terms.cross_entropy + terms.squared_error + class_balance(terms.adjusted) + consistency(logits, -logits)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(logits.grad.isfinite().all())
