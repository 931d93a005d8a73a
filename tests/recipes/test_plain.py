import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from goodgrain.losses import oat, taufe
from goodgrain.models import Penultimate, small, statistics_kept
from recipes.toys import (
    CLASSES,
    accuracy,
    mlp,
    ood_images,
    ood_loader,
    own_loader,
    program,
    resnet,
    same,
    squared_length,
    vit,
    weights_of,
)


def vit_logits():
    """Of transformers, in a loop that expects logits."""

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = vit()

        def forward(self, images):
            return self.network(images).logits

    return Logits()


NETWORKS = pytest.mark.parametrize("build", [resnet, mlp, vit_logits])
NAMES = {
    "cross_entropy": cross_entropy, "itertools": itertools, "oat": oat, "taufe": taufe, "torch": torch,
    "DataLoader": DataLoader, "Penultimate": Penultimate, "statistics_kept": statistics_kept,
}  # fmt: skip


def train(build, code, *, epochs=3, steps=None, optimizer=torch.optim.Adam):
    """Run a loop of the guide."""
    torch.manual_seed(0)
    model = build().train()
    loader = own_loader() if steps is None else list(itertools.islice(own_loader(), steps))
    mine = {"model": model, "loader": loader, "ood_loader": ood_loader(), "epochs": epochs}
    exec(code, {**NAMES, **mine, "optimizer": optimizer(model.parameters(), lr=1e-2)})
    return model


@NETWORKS
def test_weight_0_is_the_loop_without_the_added_lines_to_the_bit(build):
    expected = weights_of(train(build, program("A plain loop", None)))
    assert same(expected, weights_of(train(build, program("A plain loop", 0.0))))
    assert not same(expected, weights_of(train(build, program("A plain loop"))))


@pytest.mark.parametrize(
    ("build", "statistics"), [(resnet, "separate"), (resnet, "running"), (mlp, "separate"), (vit_logits, "separate")]
)
def test_features_of_ood_images_go_out_and_accuracy_stays(build, statistics):
    lengths = {}
    for weight in (0.0, 0.1):
        code = program("A plain loop", weight).replace("(model)  ", f"(model, statistics={statistics!r})")
        model = train(build, code, epochs=20)
        assert accuracy(model) == 1.0
        lengths[weight] = squared_length(model, statistics)
    assert lengths[0.1] < lengths[0.0] / 10


@NETWORKS
def test_the_head_gets_no_gradient(build):
    # after one plain step from the same weights, heads differ by what the penalty gave them: nothing
    without, with_penalty = (
        train(build, program("A plain loop", weight), epochs=1, steps=1, optimizer=torch.optim.SGD)
        for weight in (0.0, 10.0)
    )
    assert same(list(without.modules())[-1].state_dict(), list(with_penalty.modules())[-1].state_dict())
    assert not same(without.state_dict(), with_penalty.state_dict())


@pytest.mark.parametrize("build", [vit_logits, mlp])
def test_the_relative_penalty_of_the_guide(build):
    images, labels = next(iter(own_loader()))
    strangers = next(iter(ood_loader()))
    torch.manual_seed(0)
    model = build().train()
    names = {**NAMES, "model": model, "images": images, "labels": labels, "ood_batches": iter([strangers])}
    exec(program("Without batch normalisation", 3.0), names)
    own, strange = (Penultimate(model)(shown).square().mean() for shown in (images, strangers))
    expected = cross_entropy(model(images), labels) + 3.0 * strange / own
    assert names["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_dropout_draws_from_the_global_stream_unless_that_is_forked():
    def build():
        return nn.Sequential(mlp(), nn.ReLU(), nn.Dropout(), nn.Linear(CLASSES, CLASSES))

    loop = program("A plain loop", 0.0)
    expected = weights_of(train(build, program("A plain loop", None)))
    assert not same(expected, weights_of(train(build, loop)))
    line = next(line for line in loop.splitlines() if "taufe" in line)
    forked = loop.replace(line, f"        with torch.random.fork_rng():\n    {line}")
    assert same(expected, weights_of(train(build, forked)))


def test_oat_flattens_predictions_of_ood_images():
    gaps = []
    for weight in (None, 1.0):
        model = train(resnet, program("OAT", weight), epochs=10)
        with torch.no_grad(), statistics_kept(model.train()):
            gaps.append(float(oat(model(ood_images()))) - float(torch.tensor(CLASSES).log()))  # 0: all are uniform
    assert gaps[1] < gaps[0] / 10


def test_ood_batches_are_endless_shuffled_anew_and_leave_the_global_stream_alone():
    # 48 images in batches of 32: turns of one batch, each of them other images in another order
    before = torch.get_rng_state()
    names = {**NAMES, "ood_images": ood_images()}
    exec(program("OOD images without end"), names)
    batches = list(itertools.islice(itertools.chain.from_iterable(itertools.repeat(names["ood_loader"])), 6))
    assert torch.equal(before, torch.get_rng_state())
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(batches, 2))
    known = {tuple(image) for image in ood_images().flatten(1).tolist()}
    assert {tuple(image) for batch in batches for image in batch.flatten(1).tolist()} == known


def test_one_pass_over_both_as_published():
    torch.manual_seed(0)
    parts, (images, labels) = small(classes=CLASSES, channels=1), next(iter(own_loader()))
    strangers = next(iter(ood_loader()))
    logits, features = parts(torch.cat([images, strangers]))
    expected = cross_entropy(logits[:16], labels) + 0.1 * features[16:].square().mean()
    mean = parts.features[1].running_mean.clone()
    model = nn.Sequential(parts.features, parts.head)
    names = {**NAMES, "model": model, "images": images, "labels": labels, "ood_batches": iter([strangers])}
    exec(program("One forward pass, or two"), names)
    assert names["loss"].item() == pytest.approx(expected.item())
    assert not torch.equal(mean, parts.features[1].running_mean)  # OOD images count in the running statistics
