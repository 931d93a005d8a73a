import sys

import pytest
import torch

from goodgrain.errors import InputError, MissingExtra, UnknownName
from goodgrain.models import Split, load_network

TIMM = """
import torch
from torch import nn

ASKED = []

def list_models():
    return ["resnet10t", "resnet18", "vit_tiny_patch16_224"]

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(8, classes)

    def forward(self, images):
        return self.fc(self.body(images))

def create_model(name, pretrained=False, num_classes=1000, in_chans=3):
    ASKED.append((name, pretrained, num_classes, in_chans))
    if name.startswith("vit"):
        raise RuntimeError("no weights for this one")
    network = Net(num_classes, in_chans)
    if pretrained:
        nn.init.constant_(network.body[0].weight, 0.5)
    return network
"""


@pytest.fixture
def timm(monkeypatch, tmp_path):
    """A package of timm's name and form, with a network of its own."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(TIMM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    yield
    sys.modules.pop("timm", None)


@pytest.mark.parametrize("name", ["small", "resnet18", "preact_resnet18", "timm:resnet18"])
def test_initial_weights_depend_on_the_seed_alone(name, timm):
    torch.manual_seed(1)
    first = load_network(name, classes=3, channels=3, seed=5, size=(16, 16))
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    second = load_network(name, classes=3, channels=3, seed=5, size=(16, 16))
    other = load_network(name, classes=3, channels=3, seed=6, size=(16, 16))
    for (key, weights), again in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(weights, again), key
    assert not torch.equal(first.head.weight, other.head.weight)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's generator was left alone


def test_a_dash_is_as_good_as_an_underscore():
    one, other = (load_network(name, classes=3, channels=1, seed=0) for name in ("preact-resnet18", "preact_resnet18"))
    assert str(one) == str(other)


def test_an_unknown_name_offers_the_nearest():
    sentence = r"no network 'resnet81'. Did you mean 'resnet18'\? Known: preact_resnet18, resnet18, resnet50, small"
    with pytest.raises(UnknownName, match=sentence):
        load_network("resnet81", classes=3, channels=3, seed=0)


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


def test_a_network_of_timm_is_told_classes_channels_and_weights(timm):
    network = load_network("timm:resnet18", classes=4, channels=1, seed=0, size=(8, 8))
    published = load_network("timm:resnet18.a1_in1k?pretrained", classes=4, channels=3, seed=0, size=(8, 8))
    hub = load_network("timm:hf-hub:someone/theirs", classes=4, channels=3, seed=0, size=(8, 8))
    assert sys.modules["timm"].ASKED == [
        ("resnet18", False, 4, 1),
        ("resnet18.a1_in1k", True, 4, 3),
        ("hf-hub:someone/theirs", False, 4, 3),
    ]
    assert network.head.weight.shape == hub.head.weight.shape == (4, 8)
    images = torch.ones(1, 3, 8, 8)
    features = torch.relu(0.5 * 27 + published.features.body[0].bias)  # a sum over 3 x 3 x 3 ones, the same everywhere
    torch.testing.assert_close(published(images)[1][0], features)


def test_what_timm_cannot_do_is_told(timm):
    with pytest.raises(InputError, match=r"timm has no network 'resnet81'. Did you mean 'timm:resnet18'\? .* all 3"):
        load_network("timm:resnet81", classes=4, channels=3, seed=0)
    with pytest.raises(InputError, match="only option of a timm network is \\?pretrained"):
        load_network("timm:resnet18?weights", classes=4, channels=3, seed=0)
    with pytest.raises(InputError, match="timm cannot build timm:vit_tiny_patch16_224: RuntimeError: no weights for"):
        load_network("timm:vit_tiny_patch16_224", classes=4, channels=3, seed=0)


def test_without_timm_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"timm is not installed. Install it with: pip install 'goodgrain\[timm\]'"):
        load_network("timm:resnet18", classes=4, channels=3, seed=0)
