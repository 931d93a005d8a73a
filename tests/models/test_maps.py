import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from goodgrain.errors import InputError
from goodgrain.models import (
    Split,
    class_activation_maps,
    last_maps,
    load_network,
    preact_resnet18,
    resnet18,
    resnet50,
    small,
    split,
)


class Functional(nn.Module):
    """Activates and pools by functions, as many networks do: no layer ever holds its last maps."""

    def __init__(self, pool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 3, padding=1)
        self.pool = pool
        self.fc = nn.Linear(5, 4)

    def forward(self, images):
        return self.fc(self.pool(functional.relu(self.layer(images))).flatten(1))


class Selected(nn.Module):
    """A pooling that is a layer of its own and flattens, and dropout behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.SiLU(inplace=True))
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(6, 4)

    def forward(self, images):
        return self.classifier(self.drop(self.global_pool(self.body(images))))


class Tokens(nn.Module):
    """A vision transformer in small: features are the row of the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        rows = self.embed(images).flatten(2).transpose(1, 2)
        rows = self.encoder(torch.cat([self.token.expand(len(images), -1, -1), rows], dim=1))
        return self.head(rows[:, 0])


def lively(network):
    """In evaluation mode, with running statistics and shifts that do something."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return network.eval()


def pooling(images):
    return images.mean(dim=(2, 3))


NETWORKS = {
    "small": lambda: small(classes=4),
    "resnet18": lambda: resnet18(classes=4),
    "preact_resnet18": lambda: preact_resnet18(classes=4),
    "resnet50": lambda: resnet50(classes=4, size=(16, 16)),
    "mean": lambda: Functional(pooling),
    "avg_pool2d": lambda: Functional(lambda maps: functional.avg_pool2d(maps, 16)),
    "adaptive": lambda: Functional(lambda maps: functional.adaptive_avg_pool2d(maps, 1)),
    "selected": Selected,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_weighted_by_the_head_average_to_the_logits(name):
    """What makes a class activation map one: pooled, it is the logit less the bias."""
    torch.manual_seed(0)
    pixels = torch.randn(3, 3, 16, 16)
    network = lively(split(NETWORKS[name](), pixels))
    with torch.no_grad():
        logits, features = network(pixels)
        maps = last_maps(network, pixels)
    assert maps.shape[:2] == features.shape
    torch.testing.assert_close(maps.mean(dim=(2, 3)), features)
    weighted = torch.einsum("cd,bdhw->bchw", network.head.weight, maps) + network.head.bias[:, None, None]
    torch.testing.assert_close(weighted.mean(dim=(2, 3)), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "size"), [("small", 2), ("resnet18", 2), ("mean", 16), ("selected", 7)])
def test_they_are_the_maps_before_the_pooling(name, size):
    pixels = torch.randn(2, 3, 16, 16)
    network = lively(split(NETWORKS[name](), pixels))
    assert last_maps(network, pixels).shape[2:] == (size, size)


def test_maps_by_hand():
    """Two channels of fixed filters: the first copies the image, the second its negative; both are activated."""
    convolution = nn.Conv2d(1, 2, 1, bias=False)
    convolution.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    network = Split(
        nn.Sequential(convolution, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(2, 2)
    )
    network.head.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 2.0]])
    image = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    pixels = image.expand(2, 1, 2, 2)
    up, down = image.clamp(min=0), (-image).clamp(min=0)
    assert torch.equal(last_maps(network, pixels)[0], torch.stack([up, down]))
    cams = class_activation_maps(network, pixels, torch.tensor([0, 1]))
    assert torch.equal(cams, torch.stack([up, 2 * down - up]))


def test_activation_maps_equal_the_loop():
    torch.manual_seed(0)
    pixels, classes = torch.randn(3, 3, 24, 16), [2, 0, 2]
    network = lively(small(classes=4))
    with torch.no_grad():
        cams = class_activation_maps(network, pixels, torch.tensor(classes)).numpy()
        maps = last_maps(network, pixels).numpy()
        weights = network.head.weight.numpy()
    assert cams.shape == (3, 24, 16)
    for cam, channels, label in zip(cams, maps, classes, strict=True):
        coarse = np.zeros(channels.shape[1:])
        for weight, channel in zip(weights[label], channels, strict=True):
            coarse += weight * channel
        assert cam == pytest.approx(stretched(coarse, (24, 16)), abs=1e-4)


def stretched(coarse, size):
    """Bilinear, point by point: centres of pixels on centres of pixels, and the border goes on."""
    fine = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = np.clip((row + 0.5) * coarse.shape[0] / size[0] - 0.5, 0, coarse.shape[0] - 1)
            x = np.clip((column + 0.5) * coarse.shape[1] / size[1] - 0.5, 0, coarse.shape[1] - 1)
            for r, wr in ((int(y), 1 - y % 1), (int(np.ceil(y)), y % 1)):
                for c, wc in ((int(x), 1 - x % 1), (int(np.ceil(x)), x % 1)):
                    fine[row, column] += wr * wc * coarse[r, c]
    return fine


def test_maps_give_a_gradient_and_leave_the_mode_alone():
    network = small(classes=4)
    pixels = torch.randn(4, 3, 16, 16)
    maps = last_maps(network, pixels)
    maps.square().mean().backward()
    assert network.training
    assert network.features[0].weight.grad.abs().max() > 0
    assert network.head.weight.grad is None


def test_low_precision_finds_the_same_maps():
    pixels = torch.randn(4, 3, 16, 16)
    network = lively(small(classes=4))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        maps = last_maps(network, pixels)
    with torch.no_grad():
        exact = last_maps(network, pixels)
    assert maps.dtype == torch.bfloat16
    assert float((maps.float() - exact).norm() / exact.norm()) < 0.05


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 3), nn.ReLU(), nn.Linear(3, 4))


def flattened():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(980, 4))


def largest():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 4))


def hidden():
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 4)
    )


def projected():
    """Goes on after the pooling, on maps of one place."""
    layers = nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(5, 7, 1), nn.ReLU(), nn.Flatten(), nn.Linear(7, 4)
    return nn.Sequential(*layers)


def crowded():
    """Made for larger images: its last maps have one place."""
    return nn.Sequential(nn.Conv2d(3, 5, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))


@pytest.mark.parametrize("build", [perceptron, flattened, largest, hidden, projected, crowded, Tokens])
def test_a_network_without_such_maps_is_told(build):
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 16, 16)
    network = split(build(), pixels).eval()
    width = network.head.in_features
    with pytest.raises(InputError) as refused:
        class_activation_maps(network, pixels, torch.tensor([0, 1]))
    assert str(refused.value) == (
        f"the features (2, {width}) of this network are not the means of maps with several places, so "
        "it does not tell where it looks. Take one with global average pooling right before its linear head, such "
        "as a ResNet, and images that are large enough for it."
    )


def test_other_refusals():
    pixels, network = torch.zeros(2, 3, 16, 16), load_network("small", classes=4, channels=3, seed=0, size=(16, 16))
    with pytest.raises(InputError, match=r"classes should be one per image, \(2,\); their shape is \(3,\)"):
        class_activation_maps(network, pixels, torch.tensor([0, 1, 2]))
    for outside in (4, -1):
        with pytest.raises(InputError, match=f"classes should be 0..3; {outside} is not"):
            class_activation_maps(network, pixels, torch.tensor([0, outside]))
    with pytest.raises(InputError, match="need a linear head; this network's is Identity"):
        class_activation_maps(Split(network.features, nn.Identity()), pixels, torch.tensor([0, 1]))
