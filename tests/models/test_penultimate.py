import copy
import pickle

import pytest
import torch
from torch import nn

from goodgrain.errors import InputError, UnknownName
from goodgrain.losses import taufe
from goodgrain.models import Penultimate, small, split
from recipes.toys import mlp, resnet, vit

IMAGES = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))


class Patches(nn.Module):
    """A vision transformer of timm's shape: forward_features, forward_head, a head that is named; tokens on request."""

    def __init__(self, pool=True):
        super().__init__()
        self.patch_embed = nn.Conv2d(1, 8, 4, 4)
        self.blocks = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.pool = pool
        self.head = nn.Linear(8, 3)
        self.aux = nn.Linear(8, 5)  # defined last, never reached

    def forward_features(self, images):
        return self.blocks(self.patch_embed(images).flatten(2).transpose(1, 2))

    def forward_head(self, tokens):
        return self.head(tokens.mean(dim=1) if self.pool else tokens)

    def forward(self, images):
        return self.forward_head(self.forward_features(images))


class Keyword(nn.Module):
    """Calls its head by keyword and returns a dictionary; something linear follows the head."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.scale = nn.Linear(144, 6), nn.Linear(6, 3), nn.Linear(3, 3)

    def forward(self, images, *, double=False):
        features = self.body(images.flatten(1)) * (2 if double else 1)
        return {"logits": self.scale(self.head(input=features))}


class Listing(nn.Module):
    def forward(self, rows):
        return torch.stack(rows).sum(dim=0)


def hooks_of(network):
    return [hook for layer in network.modules() for hook in (*layer._forward_hooks, *layer._forward_pre_hooks)]


def test_by_hand():
    # (1, 2) -> (1 + 2, 1 - 2) -> relu -> (3, 0), which the head gets
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    assert Penultimate(network)(torch.tensor([[1.0, 2.0]])).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize(
    ("build", "head"),
    [(resnet, "1"), (mlp, "6"), (Patches, "head"), (lambda: small(classes=2, channels=1), "head")],
)
def test_features_are_those_of_the_network_taken_apart(build, head):
    torch.manual_seed(0)
    network = build().eval()
    parts = split(network, IMAGES)
    penultimate = Penultimate(network)
    features = penultimate(IMAGES)
    assert penultimate.head == head
    assert torch.equal(features, parts(IMAGES)[1])
    assert torch.equal(network.get_submodule(head)(features), parts(IMAGES)[0])


def test_a_vit_of_transformers():
    network = vit().train()
    output, features = Penultimate(network).with_output(pixel_values=IMAGES, labels=torch.zeros(4, dtype=torch.int64))
    assert torch.equal(features, network.vit(IMAGES).last_hidden_state[:, 0])
    assert torch.equal(output.logits, network.classifier(features))
    assert output.loss.requires_grad


def test_tokens_come_as_the_head_got_them():
    network = Patches(pool=False)
    assert torch.equal(Penultimate(network)(IMAGES), network.forward_features(IMAGES))
    assert Penultimate(network)(IMAGES).shape == (4, 9, 8)


def test_an_example_finds_the_head_right_away_and_leaves_everything_as_it_was():
    network = resnet().train()
    network[0][1].eval()  # a frozen layer
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    penultimate = Penultimate(network, IMAGES[:1])
    assert penultimate.head == "1"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes


@pytest.mark.parametrize("head", ["head", "body"])
def test_a_named_head_and_the_network_s_own_arguments(head):
    network, rows = Keyword(), IMAGES.flatten(1)
    assert Penultimate(network, IMAGES).head == "scale"
    expected = network.body(rows) * 2 if head == "head" else rows
    assert torch.equal(Penultimate(network, head=head)(IMAGES, double=True), expected)


def test_gradients_reach_the_body_and_not_the_head():
    network = mlp().train()
    penultimate = Penultimate(network)
    features = [penultimate(IMAGES), penultimate(IMAGES + 1)]  # several calls before one backward pass
    (network(IMAGES).sum() * 0 + sum(taufe(part) for part in features)).backward()
    together = network[1].weight.grad.clone()
    assert not network[6].weight.grad.any()
    alone = [torch.autograd.grad(taufe(penultimate(images)), network[1].weight)[0] for images in (IMAGES, IMAGES + 1)]
    assert torch.allclose(together, alone[0] + alone[1])


def test_statistics():
    network = mlp().train()
    layer, values = network[2], network[1](IMAGES.flatten(1))
    kept = Penultimate(network)(IMAGES)
    assert layer.num_batches_tracked.item() == 0
    running = Penultimate(network, statistics="running")(IMAGES)
    assert layer.num_batches_tracked.item() == 0
    assert layer.training
    shared = Penultimate(network, statistics="shared")(IMAGES)
    assert layer.num_batches_tracked.item() == 1
    assert torch.allclose(layer.running_mean, 0.1 * values.mean(dim=0), atol=1e-6)
    assert torch.equal(kept, shared)
    assert not torch.allclose(kept, running)


def test_autocast():
    network = mlp()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = Penultimate(network)(IMAGES)
        taufe(features).backward()
    assert features.dtype == torch.bfloat16
    assert network[1].weight.grad.isfinite().all()


def test_no_hook_stays_and_nothing_is_saved():
    network = vit()
    before = pickle.dumps(network)
    penultimate = Penultimate(network, IMAGES)
    penultimate(IMAGES)
    assert not hooks_of(network)
    with pytest.raises(ValueError, match="image size"):
        penultimate(torch.zeros(1, 1, 5, 5))
    assert not hooks_of(network)
    assert pickle.dumps(network) == before


def test_a_copy_looks_at_the_copied_network():
    class Owner(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = mlp()
            self.penultimate = Penultimate(self.network, IMAGES)

    owner = Owner()
    assert all(name.startswith("network.") for name in owner.state_dict())
    for twin in (copy.deepcopy(owner), Owner()):
        assert twin.penultimate.network is twin.network
    network, penultimate = pickle.loads(pickle.dumps((owner.network, owner.penultimate)))
    assert penultimate.network is network
    assert torch.equal(penultimate(IMAGES), owner.penultimate(IMAGES))


def test_wrappers_are_looked_through():
    network = mlp()
    for wrapped in (torch.compile(network, backend="eager"), nn.DataParallel(network)):
        penultimate = Penultimate(wrapped, IMAGES)
        assert penultimate.network is network
        assert torch.equal(penultimate(IMAGES), Penultimate(network)(IMAGES))


def test_a_network_that_is_a_linear_layer():
    network = nn.Linear(3, 2)
    penultimate = Penultimate(network)
    rows = torch.ones(1, 3)
    assert torch.equal(penultimate(rows), rows)
    assert torch.equal(penultimate(rows), rows)  # found once, called "", found again


def test_refusals():
    with pytest.raises(InputError) as refused:
        Penultimate(lambda images: images)
    assert str(refused.value) == "network should be a torch.nn.Module; function came."
    with pytest.raises(UnknownName) as unknown:
        Penultimate(mlp(), statistics="seperate")
    assert str(unknown.value) == "no statistics 'seperate'. Did you mean 'separate'? Known: running, separate, shared"
    with pytest.raises(UnknownName) as unknown:
        Penultimate(Keyword(), head="haed")
    assert str(unknown.value) == "no layer 'haed'. Did you mean 'head'? Known: body, head, scale"
    with pytest.raises(InputError) as refused:
        Penultimate(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), IMAGES)
    sentence = "the network Sequential reaches no nn.Linear layer. Name the layer that is its head: head='...'."
    assert str(refused.value) == sentence
    with pytest.raises(InputError) as refused:
        Penultimate(Patches(), head="aux")(IMAGES)
    sentence = "the network Patches reaches no layer 'aux'. Name the layer that is its head: head='...'."
    assert str(refused.value) == sentence


def test_a_head_that_gets_no_tensor():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.join = Listing()

        def forward(self, images):
            return self.join([images, images])

    with pytest.raises(InputError) as refused:
        Penultimate(Network(), head="join")(IMAGES)
    assert str(refused.value) == (
        "the layer 'join' of the network Network should get a tensor of features; it gets list. "
        "Name another one: head='...'."
    )
