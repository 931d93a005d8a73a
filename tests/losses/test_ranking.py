import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles_meta as oracle
from goodgrain.errors import InputError
from goodgrain.losses.ranking import loss_prediction, meta_ranking


@pytest.mark.parametrize(
    ("gap", "sign", "expected"),
    [(0.05, 1, 0.05), (-0.05, 1, 0.15), (-0.05, -1, 0.05), (0.05, 0, 0), (-9.0, 0, 0), (0.1, 1, 0), (-3.0, -1, 0)],
)
def test_meta_ranking_by_hand(gap, sign, expected):
    first, second = torch.tensor([1 + gap], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert float(meta_ranking(first, second, torch.tensor([sign]))) == pytest.approx(expected, abs=1e-12)


def test_loss_prediction_by_hand():
    predicted, losses = torch.tensor([0.5, 2.0, 0.0, 0.0]), torch.tensor([3.0, 1.0, 2.0, 0.0])
    # (0, 3): 3 > 0, 1 - .5 = .5; (1, 2): 1 < 2, 1 + 2 = 3; the mean is 1.75
    assert float(loss_prediction(predicted, losses)) == 1.75
    assert float(loss_prediction(predicted, losses, margin=0.5)) == 1.25  # 0 and 2.5
    # equal losses count as "not larger": 1 - (0 - .5)
    assert float(loss_prediction(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 1.0]))) == 1.5


@given(seed=st.integers(0, 10_000), b=st.integers(1, 9), margin=st.sampled_from([0.1, 1.0]))
def test_equal_the_oracles(seed, b, margin):
    rng = np.random.default_rng(seed)
    first, second, sign = rng.normal(0, 0.3, b), rng.normal(0, 0.3, b), rng.integers(-1, 2, b)
    tensors = [torch.from_numpy(part) for part in (first, second, sign)]
    ranked = float(meta_ranking(*tensors, margin=margin))
    assert ranked == pytest.approx(oracle.meta_ranking(first, second, sign, margin))
    losses = rng.integers(0, 4, b).astype(float)  # with ties
    predicted = float(loss_prediction(tensors[0], torch.from_numpy(losses), margin=margin))
    assert predicted == pytest.approx(oracle.loss_prediction(first, losses, margin))


@given(seed=st.integers(0, 10_000))
def test_the_loss_of_a_pair_does_not_depend_on_which_comes_first_nor_on_a_shift(seed):
    rng = np.random.default_rng(seed)
    first, second = (torch.from_numpy(rng.normal(size=6)) for _ in range(2))
    sign = torch.from_numpy(rng.integers(-1, 2, 6))
    loss = float(meta_ranking(first, second, sign))
    assert float(meta_ranking(second, first, -sign)) == pytest.approx(loss)
    assert float(meta_ranking(first + 5, second + 5, sign)) == pytest.approx(loss)


def test_a_step_down_the_gradient_puts_a_pair_in_order_and_leaves_equals_alone():
    first, second = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    meta_ranking(first, second, torch.tensor([1, -1, 0])).backward()
    assert first.grad.tolist() == [-1, 1, 0]
    assert second.grad.tolist() == [1, -1, 0]


def test_the_true_losses_get_no_gradient():
    predicted, losses = torch.zeros(4, requires_grad=True), torch.arange(4.0, requires_grad=True)
    loss_prediction(predicted, losses).backward()
    assert losses.grad is None
    assert predicted.grad.tolist() == [0.5, 0.5, -0.5, -0.5]


def test_a_batch_of_one_has_no_pair_and_can_still_be_differentiated():
    predicted = torch.ones(1, requires_grad=True)
    loss = loss_prediction(predicted, torch.ones(1))
    loss.backward()
    assert (loss.item(), predicted.grad.tolist()) == (0.0, [0.0])


def test_shapes_that_would_pair_everything_with_everything_are_refused():
    with pytest.raises(InputError, match=r"same shape \(b,\); the shapes are predicted \(4, 1\), losses \(4,\). Flat"):
        loss_prediction(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(InputError, match=r"scores_first \(4, 1\), scores_second \(4, 1\), sign \(4, 1\)"):
        meta_ranking(*torch.zeros(3, 4, 1))
