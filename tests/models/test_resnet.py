import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.models import load_network, preact_resnet18, resnet18, resnet50, small
from goodgrain.models.resnet import _PreActivated


def count(build, **shape):
    with torch.device("meta"):
        return sum(weights.numel() for weights in build(**shape).parameters())


def restless(network):
    """Running statistics and scales that differ from 0 and 1, so that a missing normalisation shows."""
    draw = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias.data):
                tensor.normal_(0, 0.3, generator=draw)
            for tensor in (layer.running_var, layer.weight.data):
                tensor.uniform_(0.5, 1.5, generator=draw)
    return network.eval()


class Steps:
    """The weights of a network in the order of its definition, taken one layer at a time by plain functions."""

    def __init__(self, network):
        self.convolutions = iter([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)])
        self.norms = iter([layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)])

    def conv(self, maps, stride=1):
        layer = next(self.convolutions)
        return functional.conv2d(maps, layer.weight, stride=stride, padding=layer.weight.shape[-1] // 2)

    def norm(self, maps):
        layer = next(self.norms)
        return functional.batch_norm(maps, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def slow_preact_resnet18(network, images):
    steps = Steps(network)
    maps = torch.relu(steps.norm(steps.conv(images)))
    for index, stride in enumerate([1, 1, 2, 1, 2, 1, 2, 1]):
        active = torch.relu(steps.norm(maps))
        inner = steps.conv(torch.relu(steps.norm(steps.conv(active, stride))))
        maps = inner + (steps.conv(active, stride) if index in (2, 4, 6) else maps)
    return maps.mean(dim=(2, 3))


def slow_resnet50(network, images, *, large):
    steps = Steps(network)
    maps = torch.relu(steps.norm(steps.conv(images, 2 if large else 1)))
    if large:
        maps = functional.max_pool2d(maps, 3, 2, 1)
    for group, blocks in enumerate((3, 4, 6, 3)):
        for index in range(blocks):
            stride = 2 if group and not index else 1
            inner = torch.relu(steps.norm(steps.conv(maps)))
            inner = torch.relu(steps.norm(steps.conv(inner, stride)))
            inner = steps.norm(steps.conv(inner))
            maps = torch.relu(inner + (maps if index else steps.norm(steps.conv(maps, stride))))
    return maps.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("build", "shape", "published"),
    [
        (resnet50, {"classes": 1000}, 25_557_032),
        (resnet50, {"classes": 1000, "size": (64, 64)}, 25_557_032),
        (resnet50, {"classes": 10, "size": (63, 80)}, 23_520_842),  # a stem of 3 x 3 x 3 x 64 weights instead of 7 x 7
        (resnet18, {"classes": 10}, 11_173_962),
        # 11,171,146 where the stem is not normalised; that adds a scale and a shift of 64
        (preact_resnet18, {"classes": 10}, 11_171_146 + 128),
    ],
)
def test_as_many_parameters_as_published(build, shape, published):
    assert count(build, **shape) == published


def test_small_is_small():
    assert 150_000 < count(small, classes=10) < 250_000


@pytest.mark.parametrize("channels", [1, 3])
def test_preact_resnet18_equals_its_layers_one_by_one(channels):
    network = restless(load_network("preact_resnet18", classes=4, channels=channels, seed=0))
    images = torch.randn(2, channels, 9, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, features = network(images)
        torch.testing.assert_close(features, slow_preact_resnet18(network, images), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits, network.head(features))
    assert (features < 0).any()  # nothing activates the last sum


@pytest.mark.parametrize(("size", "large"), [((16, 20), False), ((64, 64), True)])
def test_resnet50_equals_its_layers_one_by_one(size, large):
    network = restless(load_network("resnet50", classes=4, channels=1, seed=0, size=size))
    images = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network(images)[1]
        torch.testing.assert_close(features, slow_resnet50(network, images, large=large), rtol=1e-4, atol=1e-4)


def test_pre_activation_leaves_the_way_around_untouched():
    torch.manual_seed(0)
    same, halved = restless(_PreActivated(16, 16, 1)), restless(_PreActivated(16, 32, 2))
    maps = torch.randn(2, 16, 6, 6)
    for block in (same, halved):
        block.inner[-1].weight.data.zero_()
    before = maps.clone()
    with torch.no_grad():
        assert torch.equal(same(maps), maps)  # negative values too: no activation after the sum
        dead = same.activation[0]
        lower = torch.where(dead(maps) < 0, maps - 1, maps)  # other maps, but the same after the activation
        assert not torch.equal(lower, maps)
        halved.activation = same.activation
        assert torch.equal(halved(lower), halved(maps))  # a strided way around starts behind the activation
    assert torch.equal(maps, before)


@settings(max_examples=8, deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.sampled_from([1, 3]), st.integers(2, 12))
def test_small_takes_any_size_from_eight_pixels(height, width, channels, classes):
    network = load_network("small", classes=classes, channels=channels, seed=0, size=(height, width))
    logits, features = network(torch.randn(2, channels, height, width))
    torch.testing.assert_close(network.head(features), logits)
    assert logits.shape == (2, classes)
    torch.autograd.backward(logits.square().mean())
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())


@pytest.mark.parametrize(("size", "channels"), [((32, 32), 3), ((8, 8), 1), ((17, 9), 3)])
def test_the_fast_layout_of_small_gives_the_gradients_of_double_precision(size, channels):
    images, gradients = torch.randn(33, channels, *size, generator=torch.Generator().manual_seed(0)), []
    for kind in (torch.float32, torch.float64):
        network = load_network("small", classes=5, channels=channels, seed=0, size=size).to(kind)
        torch.autograd.backward(network(images.to(kind))[0].square().mean())
        gradients.append(torch.cat([weights.grad.double().flatten() for weights in network.parameters()]))
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()


@pytest.mark.parametrize("name", ["preact_resnet18", "resnet50"])
def test_every_weight_learns(name):
    network = load_network(name, classes=3, channels=3, seed=0, size=(16, 16))
    images: Tensor = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward(functional.cross_entropy(network(images)[0], torch.tensor([0, 1, 2, 0])))
    for key, weights in network.named_parameters():
        assert 0 < weights.grad.abs().sum() < torch.inf, key
