import pytest
import torch
from torch import Tensor, nn

from goodgrain.errors import InputError
from goodgrain.models import split


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


class Picky(nn.Module):
    """Asserts the size of its images, as vision transformers do."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[2] == 224, "height should be 224"
        return images


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
        (Picky(), "Picky cannot take images of shape \\(2, 3, 8, 8\\): height should be 224"),
        (nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), "cannot take images of shape \\(2, 3, 8, 8\\)"),
    ],
)
def test_a_network_that_cannot_be_split_is_told_why(network, sentence):
    with pytest.raises(InputError, match=sentence):
        split(network, torch.zeros(2, 3, 8, 8))
