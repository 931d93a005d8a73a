import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.losses.contrastive import nt_xent


def test_by_hand():
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    # directions: a1 = a2 = b2 = (1, 0), b1 = (0, 1); cosines over t = .5 are 2 or 0
    of_a = np.log(np.exp(2) + 1 + np.exp(2)) - 2  # both a: their partner 2; b1 0, b2 2
    of_b1 = np.log(3)  # its partner 0, as all others
    of_b2 = np.log(1 + 2 * np.exp(2))  # its partner 0; both a 2
    assert float(nt_xent(first, second)) == pytest.approx((2 * of_a + of_b1 + of_b2) / 4, rel=1e-6)


def numpy_nt_xent(first, second, temperature):
    """Pair by pair, from Eq. 1."""
    rows = [*first, *second]

    def cosine(i, k):
        return rows[i] @ rows[k] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[k]))

    losses = []
    for i in range(len(rows)):
        partner = (i + len(first)) % len(rows)
        others = sum(np.exp(cosine(i, k) / temperature) for k in range(len(rows)) if k != i)
        losses.append(-np.log(np.exp(cosine(i, partner) / temperature) / others))
    return np.mean(losses)


def pairs(seed, b, d, *, apart=1.0):
    """Two views of b images: random directions, and the same with noise."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(b, d))
    return first, first + apart * rng.normal(size=(b, d))


@given(
    seed=st.integers(0, 10_000),
    b=st.integers(1, 6),
    d=st.integers(1, 4),
    temperature=st.sampled_from([0.05, 0.5, 1.0, 3.0]),
)
def test_equals_the_numpy_version(seed, b, d, temperature):
    first, second = pairs(seed, b, d)
    loss = nt_xent(torch.from_numpy(first), torch.from_numpy(second), temperature=temperature)
    assert float(loss) == pytest.approx(numpy_nt_xent(first, second, temperature), rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 7.0, 1e4]))
def test_neither_the_order_of_the_pairs_nor_of_the_views_nor_lengths_matter(seed, scale):
    rng = np.random.default_rng(seed)
    first, second = map(torch.from_numpy, pairs(seed, 6, 3))
    order = torch.from_numpy(rng.permutation(6))
    expected = pytest.approx(float(nt_xent(first, second)), rel=1e-9)
    assert float(nt_xent(first[order], second[order])) == expected
    assert float(nt_xent(second, first)) == expected
    assert float(nt_xent(scale * first, second)) == expected


@given(seed=st.integers(0, 10_000))
def test_it_falls_as_pairs_come_together(seed):
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    first, away = torch.from_numpy(directions[:3]), torch.from_numpy(directions[3:])  # apart from each other and all
    losses = [float(nt_xent(first, share * first + (1 - share) * away)) for share in (0.0, 0.3, 0.6, 1.0)]
    assert all(np.diff(losses) < 0)


def test_its_bounds():
    lonely = torch.ones(1, 3)  # one pair has nothing to be confused with, not even itself
    assert float(nt_xent(lonely, -lonely, temperature=1e-3)) == 0
    assert float(nt_xent(torch.ones(4, 3), torch.ones(4, 3))) == pytest.approx(np.log(7))


@pytest.mark.parametrize("temperature", [1e-4, 1e-3, 1e3])
def test_no_temperature_overflows(temperature):
    first, second = (torch.tensor(rows, dtype=torch.float32, requires_grad=True) for rows in pairs(0, 8, 4))
    loss = nt_xent(first, second, temperature=temperature)
    gradients = torch.autograd.grad(loss, (first, second))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_gradient_is_that_of_the_definition():
    first, second = (torch.from_numpy(rows).requires_grad_() for rows in pairs(1, 3, 2))
    (gradient,) = torch.autograd.grad(nt_xent(first, second, temperature=0.2), first)
    step = 1e-6
    for i, j in np.ndindex(3, 2):
        moved = [first.detach().numpy().copy() for _ in range(2)]
        moved[0][i, j] += step
        moved[1][i, j] -= step
        above, below = (numpy_nt_xent(rows, second.detach().numpy(), 0.2) for rows in moved)
        assert float(gradient[i, j]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)
