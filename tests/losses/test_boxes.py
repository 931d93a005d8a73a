import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles_boxes as slow
from goodgrain.errors import InputError
from goodgrain.losses import BOX_LOSSES, d_iou, l1, l1_iou

TRUE = [[0.0, 0.0, 0.5, 1.0]]


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def problem(seed, b, spread):
    """True boxes within the image, and predictions that may lie anywhere and have any order of corners."""
    rng = np.random.default_rng(seed)
    low, high = rng.uniform(0, 0.5, (b, 2)), rng.uniform(0.51, 1, (b, 2))
    true = np.concatenate([low, high], axis=1)
    return true + rng.normal(0, spread, (b, 4)), true


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        # a quarter to the right: differences (.25, 0, .25, 0); shared .25, union .75; the box around is .75 by 1
        ([0.25, 0.0, 0.75, 1.0], (0.015625, 0.4 * 2 / 3, 0.4 * 0.0625 / 1.5625)),
        # apart: nothing shared; the centres are .5 apart, the box around is the image
        ([0.5, 0.0, 1.0, 1.0], (0.0625, 0.4, 0.4 * 0.25 / 2)),
        # right left of left: empty; the centre is that of the true box
        ([0.5, 0.0, 0.0, 1.0], (0.0625, 0.4, 0.0)),
        # a coordinate off by 2 counts 1.5
        ([0.0, 0.0, 0.5, 3.0], (0.375, 0.4 * 2 / 3, 0.4 * 1 / 9.25)),
        (TRUE[0], (0.0, 0.0, 0.0)),
    ],
)
def test_by_hand(predicted, expected):
    losses = [float(loss(tensor([predicted]), tensor(TRUE))) for loss in (l1, l1_iou, d_iou)]
    assert losses == pytest.approx(np.cumsum(expected), abs=1e-12)


@pytest.mark.parametrize("name", BOX_LOSSES)
@given(seed=st.integers(0, 10_000), b=st.integers(1, 5), spread=st.sampled_from([0.0, 0.05, 0.4, 3.0]))
def test_equals_exact_arithmetic(name, seed, b, spread):
    predicted, true = problem(seed, b, spread)
    loss = float(BOX_LOSSES[name](torch.from_numpy(predicted), torch.from_numpy(true)))
    assert loss == pytest.approx(slow.box_loss(name, predicted, true), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_gradients_are_those_of_small_differences(name):
    predicted, true = problem(3, 6, 0.2)
    predicted[0, [0, 2]] = predicted[0, [2, 0]]  # an empty one
    leaf = torch.from_numpy(predicted).requires_grad_()
    assert torch.autograd.gradcheck(BOX_LOSSES[name], (leaf, torch.from_numpy(true)))


@pytest.mark.parametrize("name", BOX_LOSSES)
@pytest.mark.parametrize(
    "predicted",
    [
        [0.0, 0.0, 0.0, 0.0],  # a point at a corner of the true box
        [0.3, 0.3, 0.3, 0.3],  # a point within
        [9.0, 9.0, 9.0, 9.0],
        [1.0, 1.0, -1.0, -1.0],
        [0.5, 0.0, 1.0, 1.0],  # touches
        [0.0, 1.0, 0.5, 0.0],
        [-1e6, -1e6, 1e6, 1e6],
        TRUE[0],
    ],
)
def test_gradients_are_finite_everywhere(name, predicted):
    leaf = torch.tensor([predicted], requires_grad=True)
    loss = BOX_LOSSES[name](leaf, torch.tensor(TRUE))
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(leaf.grad.isfinite().all())


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_any_start_ends_at_the_true_box(name):
    """Downhill from boxes that do not touch, or are empty: the L1 term brings them near."""
    starts = tensor([[0.7, 0.7, 0.9, 0.9], [0.9, 0.9, 0.1, 0.1], [2.0, -1.0, 2.0, -1.0]])
    true = tensor([[0.1, 0.2, 0.4, 0.5]]).expand(3, 4)
    boxes = starts.clone().requires_grad_()
    for rate in np.geomspace(3, 0.003, 400):
        (gradient,) = torch.autograd.grad(BOX_LOSSES[name](boxes, true), boxes)
        boxes = (boxes - rate * gradient).detach().requires_grad_()
    assert boxes.detach().numpy() == pytest.approx(true.numpy(), abs=0.02)


@given(seed=st.integers(0, 10_000))
def test_what_is_added_is_bounded(seed):
    """1 - IoU is at most 1, the centres less than a diagonal apart: each adds 0.4 at most, wherever the box is."""
    predicted, true = (torch.from_numpy(array) for array in problem(seed, 4, 10.0))
    plain, overlap, centred = (float(loss(predicted, true)) for loss in (l1, l1_iou, d_iou))
    assert plain <= overlap <= plain + 0.4 + 1e-12
    assert overlap <= centred <= overlap + 0.4


@pytest.mark.parametrize("name", BOX_LOSSES)
@pytest.mark.parametrize("shapes", [((2, 4), (1, 4)), ((2, 3), (2, 3)), ((4,), (4,)), ((0, 4), (0, 4))])
def test_other_shapes_are_refused(name, shapes):
    predicted, true = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(InputError) as refused:
        BOX_LOSSES[name](predicted, true)
    assert str(refused.value) == (
        "predicted and true should both be (b, 4), left, top, right and bottom of at least 1 box; "
        f"their shapes are {shapes[0]} and {shapes[1]}."
    )
