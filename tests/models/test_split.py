import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from goodgrain.errors import InputError, UnknownName
from goodgrain.models import Split, load_network, split


class Patches(nn.Module):
    """A vision transformer in small: patches, attention, the class token's row into the head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(16, classes)  # defined first, reached last
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.embed(images).flatten(2).transpose(1, 2)
        rows = self.encoder(torch.cat([self.token.expand(len(images), -1, -1), rows], dim=1))
        logits: Tensor = self.head(rows[:, 0])
        return logits


class Auxiliary(nn.Module):
    """Has a second head that is defined last but not reached."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU())
        self.heads = nn.ModuleDict({"main": nn.Linear(7, 3), "auxiliary": nn.Linear(7, 5)})

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.heads["main"](self.body(images))
        return logits


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )


def nested() -> nn.Module:
    return nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(192, 9)), nn.Sequential(nn.Tanh(), nn.Linear(9, 3)))


@pytest.mark.parametrize(
    ("build", "width"),
    [
        (convolutional, 6),
        (nested, 9),
        (Auxiliary, 7),
        (lambda: Patches(3), 16),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), 192),
    ],
)
def test_any_network_splits_into_the_input_of_its_last_linear_layer(build, width):
    torch.manual_seed(0)
    network = build().eval()
    images = torch.randn(4, 3, 8, 8)
    parts = split(network, images)
    logits, features = parts(images)
    assert features.shape == (4, width)
    torch.testing.assert_close(logits, network(images), rtol=0, atol=0)
    torch.testing.assert_close(features @ parts.head.weight.T + parts.head.bias, logits)


def test_the_network_itself_stays_as_it_was():
    network = nested()
    before = str(network)
    training = network.training
    parts = split(network, torch.zeros(2, 3, 8, 8))
    with torch.no_grad():
        parts.head.weight.zero_()
    assert str(network) == before
    assert network.training == training
    assert network[1][1].weight.abs().sum() > 0
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_linear_layer_alone_has_its_input_as_features():
    parts = split(nn.Linear(4, 3), torch.ones(2, 4))
    assert torch.equal(parts(torch.ones(2, 4))[1], torch.ones(2, 4))


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.LogSoftmax(1)),
            "does something after its last linear layer",
        ),
        (nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()), "reaches no nn.Linear layer"),
        (nn.Linear(8, 3), "should return one row of logits per image; it returns shape \\(2, 3, 8, 3\\)"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 3), nn.Flatten()), "should get one row of features per image"),
        (nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), "cannot take images of shape \\(2, 3, 8, 8\\)"),
    ],
)
def test_a_network_that_cannot_be_split_is_told_why(network, sentence):
    with pytest.raises(InputError, match=sentence):
        split(network, torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_initial_weights_depend_on_the_seed_alone(name):
    torch.manual_seed(1)
    first = load_network(name, classes=3, channels=3, seed=5)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    second = load_network(name, classes=3, channels=3, seed=5)
    other = load_network(name, classes=3, channels=3, seed=6)
    for (key, weights), again in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(weights, again), key
    assert not torch.equal(first.head.weight, other.head.weight)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's generator was left alone


@settings(max_examples=8, deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.sampled_from([1, 3]), st.integers(2, 12))
def test_small_takes_any_size_from_eight_pixels(height, width, channels, classes):
    network = load_network("small", classes=classes, channels=channels, seed=0, size=(height, width))
    logits, features = network(torch.randn(2, channels, height, width))
    torch.testing.assert_close(network.head(features), logits)
    assert logits.shape == (2, classes)
    torch.autograd.backward(logits.square().mean())
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())


def test_small_is_small():
    network = load_network("small", classes=10, channels=3, seed=0)
    assert 150_000 < sum(weights.numel() for weights in network.parameters()) < 250_000


def test_a_function_is_imported_and_given_what_it_takes(monkeypatch, tmp_path):
    (tmp_path / "their_networks.py").write_text(
        "from torch import nn\n"
        "def flat(channels, size, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))\n"
        "def listed(**given):\n"
        "    return sorted(given)\n"
        "def five():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    network = load_network("their_networks:flat", classes=4, channels=1, seed=0, size=(8, 8))
    assert isinstance(network, Split)
    assert network.head.weight.shape == (4, 64)
    with pytest.raises(InputError, match=r"should return a torch.nn.Module; it returns list"):
        load_network("their_networks:listed", classes=4, channels=1, seed=0, size=(8, 8))
    with pytest.raises(InputError, match="returns 5 logits, but there are 4 classes"):
        load_network("their_networks:five", classes=4, channels=1, seed=0, size=(8, 8))
    with pytest.raises(InputError, match=r"their_networks:gone cannot be imported"):
        load_network("their_networks:gone", classes=4, channels=1, seed=0)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"no network 'resnet81'. Did you mean 'resnet18'\? Known: resnet18, small"):
        load_network("resnet81", classes=3, channels=3, seed=0)


@pytest.mark.parametrize(("size", "channels"), [((32, 32), 3), ((8, 8), 1), ((17, 9), 3)])
def test_the_fast_layout_of_small_gives_the_gradients_of_double_precision(size, channels):
    images, gradients = torch.randn(33, channels, *size, generator=torch.Generator().manual_seed(0)), []
    for kind in (torch.float32, torch.float64):
        network = load_network("small", classes=5, channels=channels, seed=0, size=size).to(kind)
        torch.autograd.backward(network(images.to(kind))[0].square().mean())
        gradients.append(torch.cat([weights.grad.double().flatten() for weights in network.parameters()]))
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()
