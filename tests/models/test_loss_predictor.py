import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import SwinConfig, SwinForImageClassification, ViTConfig, ViTForImageClassification

from goodgrain.errors import InputError
from goodgrain.models import LossPredictor, preact_resnet18, resnet18, resnet50, small
from goodgrain.models.loss_predictor import find_stages
from oracles_loss_prediction import predicted
from recipes.toys import mlp, vit

IMAGES = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def plain_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


def deep_vit():
    shape = {"image_size": 12, "patch_size": 4, "num_channels": 1}
    size = {"hidden_size": 16, "num_hidden_layers": 9, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTForImageClassification(ViTConfig(**shape, **size))


def swin():
    shape = {"image_size": 16, "patch_size": 2, "num_channels": 1, "window_size": 2, "embed_dim": 4}
    return SwinForImageClassification(SwinConfig(**shape, depths=[1, 1, 2], num_heads=[1, 1, 2]))


class HandWritten(nn.Module):
    """A convolution for patches, then torch's own encoder, in a part of its own."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.encoder = nn.TransformerEncoder(layer, 7, enable_nested_tensor=False)
        self.head = nn.Linear(8, 2)

    def forward(self, images):
        return self.head(self.encoder(self.patches(images).flatten(2).transpose(1, 2)).mean(dim=1))


class Body(nn.Module):
    """Functions between its layers; its second layer gives two things, its last is never reached."""

    def __init__(self):
        super().__init__()
        self.never = nn.Conv2d(4, 4, 1)
        self.first, self.second = nn.Conv2d(1, 2, 3), Pair()

    def forward(self, images):
        return self.second(torch.relu_(self.first(images)))[0]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, 3, 3)

    def forward(self, maps):
        return self.layer(maps), maps


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = Body(), nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.body(images).mean(dim=(2, 3)))


def hooks_of(network):
    return [hook for layer in network.modules() for hook in (*layer._forward_hooks, *layer._forward_pre_hooks)]


def seen(network, images, predictor):
    with torch.no_grad(), predictor.watching(network) as means:
        network(images)
    return means


def test_by_hand():
    """One map, doubled: (1, 2, 3, 6) -> mean 6 -> relu(6, 1 - 6) = (6, 0) -> 6 / 2 + 0 + 1/4."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(4, 2))
    image = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    predictor = LossPredictor(network, image, hidden=2)
    with torch.no_grad():
        network[0].weight.fill_(2.0)
        predictor.branches[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        predictor.branches[0].bias.copy_(torch.tensor([0.0, 1.0]))
        predictor.last.weight.copy_(torch.tensor([[0.5, 3.0]]))
        predictor.last.bias.fill_(0.25)
    means = seen(network, image, predictor)
    assert {layer: rows.tolist() for layer, rows in means.items()} == {"0": [[6.0]]}
    assert predictor(means).tolist() == [3.25]


def test_equals_the_slow_oracle():
    torch.manual_seed(0)
    network = small(classes=3, channels=1).eval()
    predictor = LossPredictor(network, IMAGES, hidden=5)
    got = predictor(seen(network, IMAGES, predictor))
    with torch.no_grad():
        stages = [network.features[: place + 1](IMAGES).numpy() for place in (3, 4, 5)]
    branches = [(layer.weight.tolist(), layer.bias.tolist()) for layer in predictor.branches]
    last = (predictor.last.weight.tolist(), predictor.last.bias.tolist())
    expected = [predicted([maps[i] for maps in stages], branches, last) for i in range(len(IMAGES))]
    np.testing.assert_allclose(got.tolist(), expected, atol=1e-5)


@pytest.mark.parametrize("build", [lambda: small(classes=2, channels=1), plain_cnn, vit, HandWritten])
def test_each_image_by_itself(build):
    torch.manual_seed(0)
    network = build().eval()
    predictor = LossPredictor(network, IMAGES)
    together = predictor(seen(network, IMAGES, predictor))
    for order in ([2, 0], [3]):
        assert torch.allclose(predictor(seen(network, IMAGES[order], predictor)), together[order], atol=1e-5)
    assert together.std() > 0


@pytest.mark.parametrize(
    ("build", "shape", "expected"),
    [
        (lambda: resnet18(classes=2), (3, 32, 32), [64, 128, 256, 512]),
        (lambda: preact_resnet18(classes=2), (3, 16, 16), [64, 128, 256, 512]),
        (lambda: resnet50(classes=2), (3, 64, 64), [256, 512, 1024, 2048]),  # and not the larger maps of its stem
        (lambda: small(classes=2), (3, 8, 8), [16, 64, 96]),  # down to one place
    ],
)
def test_the_stages_of_residual_networks(build, shape, expected):
    assert list(find_stages(build(), torch.zeros(1, *shape)).values()) == expected


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (plain_cnn, {"3": 4, "6": 6, "8": 8}),  # poolings and activations, but not the last pooling to one place
        (vit, {"vit.embeddings": 16, "vit.layernorm": 16}),  # the normalisation ends the only layer
        # of embeddings and nine layers the 2nd, 5th, 7th and 10th: 10 (i + 1) / 4, rounded down
        (deep_vit, {"vit.layers.0": 16, "vit.layers.3": 16, "vit.layers.5": 16, "vit.layernorm": 16}),
        (swin, {"swin.encoder.layers.0.blocks.0": 4, "swin.encoder.layers.1.blocks.0": 8, "swin.layernorm": 16}),
        # of the patches and seven layers, every second
        (HandWritten, {f"encoder.layers.{i}": 8 for i in (0, 2, 4, 6)}),
        (Wrapped, {"body.first": 2, "body.second": 3}),
        (
            lambda: nn.Sequential(nn.Sequential(Body()), nn.Flatten(), nn.Linear(192, 2)),
            {"0.0.first": 2, "0.0.second": 3},
        ),
    ],
    ids=["cnn", "vit", "deep vit", "swin", "hand-written", "wrapped", "nested"],
)
def test_the_stages_of_any_network(build, expected):
    size = 16 if build is swin else 12
    assert find_stages(build(), torch.zeros(1, 1, size, size)) == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 2), min_size=1, max_size=7), st.integers(1, 5))
def test_stages_end_before_the_maps_shrink_or_lie_at_equal_distances(strides, most):
    convolutions = [nn.Conv2d(1, 1, 3, stride, padding=1) for stride in strides]
    found = [int(name) for name in find_stages(nn.Sequential(*convolutions), torch.zeros(1, 1, 129, 129), most=most)]
    last = len(strides) - 1
    shrinking = [place for place in range(last) if strides[place + 1] == 2]
    assert found[-1] == last
    if len(shrinking) >= 2:
        assert found == [*shrinking, last][-most:]
    else:
        gaps = np.diff([-1, *found])
        assert len(found) == min(most, len(strides))
        assert gaps.max() - gaps.min() <= 1


def test_at_most_so_many_and_the_last_ones():
    network = resnet18(classes=2)
    assert list(find_stages(network, torch.zeros(1, 3, 16, 16), most=2).values()) == [256, 512]
    assert len(LossPredictor(network, torch.zeros(1, 3, 16, 16), most=1).branches) == 1


def test_means_are_taken_before_maps_are_overwritten():
    network = Wrapped()
    with torch.no_grad():
        network.body.first.weight.zero_()
        network.body.first.bias.copy_(torch.tensor([-1.0, 2.0]))
    predictor = LossPredictor(network, IMAGES)
    assert predictor.layers == ("body.first", "body.second")
    assert seen(network, IMAGES, predictor)["body.first"].tolist() == [[-1.0, 2.0]] * 4


def test_of_several_passes_the_first_counts():
    network = plain_cnn().eval()
    predictor = LossPredictor(network, IMAGES)
    with torch.no_grad(), predictor.watching(network) as means:
        network(IMAGES)
        network(IMAGES[:1] + 1)
    assert torch.equal(predictor(means), predictor(seen(network, IMAGES, predictor)))


@pytest.mark.parametrize("build", [plain_cnn, lambda: small(classes=2, channels=1), vit])
def test_the_network_stays_as_it_was(build):
    network = build().train()
    network.get_submodule("0" if build is plain_cnn else "head" if build is not vit else "classifier").eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    predictor = LossPredictor(network, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert not set(map(id, network.parameters())) & set(map(id, predictor.parameters()))
    with pytest.raises(ZeroDivisionError), predictor.watching(network):
        raise ZeroDivisionError
    assert not hooks_of(network)


def test_the_gradient_reaches_every_stage_and_not_the_head():
    network = plain_cnn()
    predictor = LossPredictor(network, IMAGES)
    with predictor.watching(network) as means:
        network(IMAGES)
    predictor(means).sum().backward()
    assert all(network[place].weight.grad.any() for place in (0, 4, 7))
    assert network[11].weight.grad is None
    network.zero_grad()
    with predictor.watching(network) as means:
        network(IMAGES)
    predictor({layer: rows.detach() for layer, rows in means.items()}).sum().backward()
    assert network[0].weight.grad is None


def test_means_of_low_precision_maps_are_float32():
    network = plain_cnn()
    predictor = LossPredictor(network, IMAGES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        means = seen(network, IMAGES, predictor)
    assert {rows.dtype for rows in means.values()} == {torch.float32}


def test_what_cannot_be_is_told():
    with pytest.raises(
        InputError, match=r"the network Sequential has no layer with weight matrices that gives maps .*there is"
    ):
        LossPredictor(mlp(), IMAGES)
    with pytest.raises(InputError, match="most should be a whole number, at least 1; 0 came"):
        find_stages(plain_cnn(), IMAGES, most=0)
    with pytest.raises(InputError, match="hidden should be a whole number, at least 1; 0 came"):
        LossPredictor(plain_cnn(), IMAGES, hidden=0)
    predictor = LossPredictor(plain_cnn(), IMAGES)
    with pytest.raises(InputError, match=r"no maps of 3, 6, 8 were seen. Run the network within `with predictor"):
        predictor({})
