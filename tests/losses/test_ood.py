import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import oracles_ood as oracles
from goodgrain.errors import InputError, UnknownName
from goodgrain.losses import oat, taufe

SEEDS = st.integers(0, 10_000)
SHAPES = st.lists(st.integers(1, 4), min_size=2, max_size=4)


def random_tensor(seed, shape, scale=3.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape) * scale)


def test_taufe_by_hand():
    # squares 1 + 4 + 4 = 9 and 0 + 0 + 9 = 9: 18 / 2 images, or 18 / 6 numbers
    features = torch.tensor([[1.0, -2.0, 2.0], [0.0, 0.0, 3.0]])
    assert taufe(features, reduction="sum").item() == 9.0
    assert taufe(features).item() == 3.0


def test_taufe_of_a_map_by_hand():
    # one image, 2 x 1 x 2: 1 + 1 + 1 + 25 = 28, over 4 numbers
    maps = torch.tensor([[[[1.0, 1.0]], [[-1.0, 5.0]]]])
    assert taufe(maps, reduction="sum").item() == 28.0
    assert taufe(maps).item() == 7.0


def test_relative_taufe_by_hand():
    # 18 / 6 numbers = 3 over (1 + 0 + 4 + 1 + 9 + 9) / 6 = 4, by either reduction
    features = torch.tensor([[1.0, -2.0, 2.0], [0.0, 0.0, 3.0]])
    own = torch.tensor([[1.0, 0.0, 2.0], [1.0, 3.0, 3.0]])
    assert taufe(features, relative_to=own).item() == 0.75
    assert taufe(features, reduction="sum", relative_to=own).item() == 0.75


@given(seed=SEEDS, shape=SHAPES, m=st.integers(1, 5), reduction=st.sampled_from(["mean", "sum"]))
def test_relative_taufe_equals_the_slow_oracle(seed, shape, m, reduction):
    features, own = random_tensor(seed, shape), random_tensor(seed + 1, [m, *shape[1:]])
    expected = oracles.taufe(features.numpy(), reduction) / oracles.taufe(own.numpy(), reduction)
    assert taufe(features, reduction=reduction, relative_to=own).item() == pytest.approx(expected)


@given(seed=SEEDS, shape=SHAPES, scale=st.floats(0.01, 100))
def test_no_scale_of_all_features_meets_the_relative_penalty(seed, shape, scale):
    features, own = random_tensor(seed, shape), random_tensor(seed + 1, shape)
    assert taufe(scale * features, relative_to=scale * own).item() == pytest.approx(
        taufe(features, relative_to=own).item()
    )
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    taufe(factor * features, relative_to=factor * own).backward()
    assert factor.grad.item() == pytest.approx(0, abs=1e-9), "no gradient asks for another scale"
    taufe(factor * features).backward()
    assert factor.grad.item() > 0, "Eq. 3.3 asks for a smaller one"


def test_relative_taufe_of_dead_features_is_finite():
    dead = torch.zeros(2, 3, requires_grad=True)
    value = taufe(dead, relative_to=dead)
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(dead.grad).all()


def test_oat_by_hand():
    # p = (.2, .8): -(log .2 + log .8) / 2 = .9163; p = (.5, .5): log 2 = .6931; their mean
    logits = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64).log()
    assert oat(logits).item() == pytest.approx((0.916291 + 0.693147) / 2, abs=1e-6)


@given(seed=SEEDS, shape=SHAPES, reduction=st.sampled_from(["mean", "sum"]))
def test_taufe_equals_the_slow_oracle(seed, shape, reduction):
    features = random_tensor(seed, shape)
    expected = oracles.taufe(features.numpy(), reduction)
    assert taufe(features, reduction=reduction).item() == pytest.approx(expected)


@given(seed=SEEDS, shape=SHAPES)
def test_sum_is_d_times_mean_for_any_shape(seed, shape):
    features = random_tensor(seed, shape)
    d = features[0].numel()
    assert taufe(features, reduction="sum").item() == pytest.approx(d * taufe(features).item())


@given(seed=SEEDS, b=st.integers(1, 5), c=st.integers(1, 6))
def test_oat_equals_the_slow_oracle(seed, b, c):
    logits = random_tensor(seed, (b, c))
    assert oat(logits).item() == pytest.approx(oracles.oat(logits.numpy()))


@given(seed=SEEDS, b=st.integers(1, 5), c=st.integers(2, 6), shift=st.floats(-50, 50))
def test_oat_is_least_where_predictions_are_uniform_and_sees_no_shift(seed, b, c, shift):
    logits = random_tensor(seed, (b, c))
    assert oat(logits).item() > np.log(c)
    assert oat(torch.full((b, c), shift, dtype=torch.float64)).item() == pytest.approx(np.log(c))
    assert oat(logits + shift).item() == pytest.approx(oat(logits).item())


def test_oat_stays_finite_where_a_softmax_would_be_0():
    # log p = (0, -1000): half of 1000
    assert oat(torch.tensor([[500.0, -500.0]])).item() == 500.0


@given(seed=SEEDS, shape=SHAPES, weight=st.sampled_from([0.01, 0.1, 1.0]))
def test_the_gradient_is_2_lambda_f_over_b_d(seed, shape, weight):
    features = random_tensor(seed, shape).requires_grad_()
    (weight * taufe(features)).backward()
    assert torch.allclose(features.grad, 2 * weight * features.detach() / features.numel(), rtol=1e-12)


@given(seed=SEEDS, b=st.integers(1, 4), c=st.integers(2, 5))
def test_the_gradient_of_oat_is_p_minus_1_over_c_over_b(seed, b, c):
    logits = random_tensor(seed, (b, c)).requires_grad_()
    oat(logits).backward()
    expected = (torch.softmax(logits.detach(), dim=1) - 1 / c) / b
    assert torch.allclose(logits.grad, expected, atol=1e-12)


def test_the_head_gets_no_gradient_from_taufe_and_some_from_oat():
    torch.manual_seed(0)
    body, head = nn.Linear(4, 3), nn.Linear(3, 2)
    features = body(torch.randn(5, 4))
    logits = head(features)
    given = [*body.parameters(), *head.parameters()]
    of_taufe = torch.autograd.grad(taufe(features), given, allow_unused=True, retain_graph=True)
    assert [gradient is None for gradient in of_taufe] == [False, False, True, True]
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(oat(logits), given))


def test_inputs_stay_as_they_were():
    features, logits = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 2.0]])
    taufe(features), oat(logits)
    assert torch.equal(features, torch.tensor([[3.0, 4.0]]))
    assert torch.equal(logits, torch.tensor([[1.0, 2.0]]))


@pytest.mark.parametrize("shape", [(3,), (), (0, 4), (4, 0)])
def test_taufe_says_which_shape_it_wants(shape):
    with pytest.raises(InputError) as refused:
        taufe(torch.zeros(shape))
    assert str(refused.value) == f"features should be (b, d) or (b, ...) of at least 1 image; their shape is {shape}."


def test_both_kinds_of_features_should_be_of_one_layer():
    with pytest.raises(InputError, match=r"should be of one layer; \(4, 3\) and \(4, 2\) came."):
        taufe(torch.zeros(4, 3), relative_to=torch.zeros(4, 2))
    with pytest.raises(InputError, match=r"relative_to should be \(b, d\) or .* of at least 1 image"):
        taufe(torch.zeros(4, 3), relative_to=torch.zeros(0, 3))


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 0), (2, 3, 4)])
def test_oat_says_which_shape_it_wants(shape):
    with pytest.raises(InputError) as refused:
        oat(torch.zeros(shape))
    assert str(refused.value) == f"logits should be (b, c) of at least 1 image; their shape is {shape}."


def test_an_unknown_reduction_offers_the_nearest():
    with pytest.raises(UnknownName) as refused:
        taufe(torch.zeros(1, 1), reduction="means")
    assert str(refused.value) == "no reduction 'means'. Did you mean 'mean'? Known: mean, sum"
