import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from goodgrain.models import running_statistics, statistics_kept

CONTEXTS = pytest.mark.parametrize("context", [statistics_kept, running_statistics])


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5),
        nn.Linear(12, 2),
    )  # fmt: skip


def buffers(module):
    return {name: value.clone() for name, value in module.named_buffers()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_kept_by_hand():
    # mean 6, variance 1: (5 - 6) / 1 and (7 - 6) / 1, and the running mean 0 stays; without the context it is .1 * 6
    layer, values = nn.BatchNorm1d(1, eps=1e-12), torch.tensor([[5.0], [7.0]])
    with statistics_kept(layer):
        assert layer(values).flatten().tolist() == [-1.0, 1.0]
    assert layer.running_mean.item() == 0.0
    layer(values)
    assert layer.running_mean.item() == pytest.approx(0.6)


def test_running_by_hand():
    # running mean 3 and variance 4: (5 - 3) / 2 and (7 - 3) / 2
    layer = nn.BatchNorm1d(1, eps=1e-12)
    layer.running_mean.fill_(3.0)
    layer.running_var.fill_(4.0)
    with running_statistics(layer):
        assert layer(torch.tensor([[5.0], [7.0]])).flatten().tolist() == [1.0, 2.0]
    assert (layer.running_mean.item(), layer.running_var.item(), layer.training) == (3.0, 4.0, True)


@given(seed=st.integers(0, 10_000), b=st.integers(2, 5), d=st.integers(1, 4))
def test_both_equal_the_slow_oracle(seed, b, d):
    rng = np.random.default_rng(seed)
    values, mean, variance = rng.normal(size=(b, d)), rng.normal(size=d), rng.uniform(0.5, 2, size=d)
    layer = nn.BatchNorm1d(d).double()
    layer.running_mean.copy_(torch.from_numpy(mean))
    layer.running_var.copy_(torch.from_numpy(variance))
    kept, running = np.zeros((b, d)), np.zeros((b, d))
    for j in range(d):
        own_mean = sum(values[:, j]) / b
        own_variance = sum((value - own_mean) ** 2 for value in values[:, j]) / b
        for i in range(b):
            kept[i, j] = (values[i, j] - own_mean) / np.sqrt(own_variance + layer.eps)
            running[i, j] = (values[i, j] - mean[j]) / np.sqrt(variance[j] + layer.eps)
    for context, expected in ((statistics_kept, kept), (running_statistics, running)):
        with context(layer):
            assert np.allclose(layer(torch.from_numpy(values)).detach().numpy(), expected)


def test_kept_computes_what_training_computes_and_running_what_evaluation_does():
    images, model = torch.randn(4, 1, 4, 4), network()
    model[5].p = 0.0  # dropout stays in training in both
    expected, after = copy.deepcopy(model)(images), copy.deepcopy(model).eval()(images)
    with statistics_kept(model):
        assert torch.equal(model(images), expected)
    with running_statistics(model):
        assert torch.equal(model(images), after)


@CONTEXTS
def test_running_statistics_and_modes_stay(context):
    model = network()
    model[1].eval()  # frozen by its owner
    before, modes = buffers(model), [module.training for module in model.modules()]
    with context(model):
        model(torch.randn(4, 1, 4, 4))
        assert model[5].training
    assert same(before, buffers(model))
    assert [module.training for module in model.modules()] == modes
    assert all(layer.track_running_stats for layer in (model[1], model[4]))
    model(torch.randn(4, 1, 4, 4))
    changed = {name for name, value in buffers(model).items() if not torch.equal(value, before[name])}
    assert changed == {"4.running_mean", "4.running_var", "4.num_batches_tracked"}


@CONTEXTS
def test_a_frozen_layer_stays_frozen(context):
    layer, values = nn.BatchNorm1d(1, eps=1e-12).eval(), torch.tensor([[5.0], [7.0]])
    with context(layer):
        assert layer(values).flatten().tolist() == [5.0, 7.0]
    assert not layer.training


@CONTEXTS
def test_an_error_within_leaves_the_network_as_it_was(context):
    model = network()
    with pytest.raises(RuntimeError, match="mine"), context(model):
        raise RuntimeError("mine")
    assert model[1].training
    assert model[1].track_running_stats


@CONTEXTS
def test_layers_that_never_track_are_not_touched(context):
    layer, values = nn.BatchNorm1d(1, eps=1e-12, track_running_stats=False), torch.tensor([[5.0], [7.0]])
    with context(layer):
        assert layer(values).flatten().tolist() == [-1.0, 1.0]  # it has no other statistics than the batch's
    assert not layer.track_running_stats


@CONTEXTS
def test_contexts_nest(context):
    layer = nn.BatchNorm1d(1)
    with context(layer):
        with context(layer):
            layer(torch.ones(2, 1))
        layer(torch.ones(2, 1))
    assert layer.num_batches_tracked.item() == 0
    assert layer.track_running_stats
    assert layer.training
