import numpy as np
import pytest
import torch
from tests.learn.toys import blobs, flat
from torch import nn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.learn import DivideMix, Standard, fit, predict
from goodgrain.learn.attack import RADIUS, adversarial_accuracy, logits_of, pgd


def oracle(logits, pixels, labels, start, *, steps, radius, step):
    """Pixel by pixel, image by image, from a given start."""
    moved = start.clone()
    for _ in range(steps):
        for row in range(len(moved)):
            image = moved[row : row + 1].clone().requires_grad_()
            functional.cross_entropy(logits(image), labels[row : row + 1]).backward()
            for place in np.ndindex(*pixels.shape[1:]):
                value = moved[row][place] + step * torch.sign(image.grad[0][place])
                value = min(max(value, pixels[row][place] - radius), pixels[row][place] + radius)
                moved[row][place] = min(max(value, torch.tensor(0.0)), torch.tensor(1.0))
    return moved


def test_an_image_moves_against_its_class_by_hand():
    # logits (x, -x): the loss of class 0 falls with x, so each step takes 2/255 off, as far as 8/255
    network = nn.Linear(1, 2, bias=False)
    network.weight.data = torch.tensor([[1.0], [-1.0]])
    pixels = torch.full((1, 1, 1, 1), 0.5)
    moved = pgd(lambda x: network(x.flatten(1)), pixels, torch.tensor([0]), steps=20, seed=0)
    assert moved.item() == pytest.approx(0.5 - 8 / 255)
    dark = torch.full((1, 1, 1, 1), 0.01)
    assert pgd(lambda x: network(x.flatten(1)), dark, torch.tensor([0]), steps=20, seed=0).item() == 0.0


def test_equals_the_slow_oracle():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))
    pixels, labels = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    start = pgd(network, pixels, labels, steps=0, seed=5)
    assert ((start - pixels).abs() <= RADIUS + 1e-6).all()
    assert not torch.equal(start, pixels)
    ours = pgd(network, pixels, labels, steps=5, seed=5)
    theirs = oracle(network, pixels, labels, start, steps=5, radius=RADIUS, step=2 / 255)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_stays_in_the_ball_and_raises_the_loss():
    pool = blobs(60)
    learner = Standard(flip=False, batch_size=16)
    fit(learner, pool, epochs=4, seed=0, device="cpu")
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    logits = logits_of(learner)
    pixels = torch.from_numpy(pool.images(np.arange(60))).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(pool.labels)
    moved = pgd(logits, pixels, labels, steps=10, seed=1)
    assert ((moved - pixels).abs() <= RADIUS + 1e-6).all()
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert functional.cross_entropy(logits(moved), labels) > functional.cross_entropy(logits(pixels), labels)
    assert torch.equal(moved, pgd(logits, pixels, labels, steps=10, seed=1))
    assert all(torch.equal(before[name], value) for name, value in learner.network.state_dict().items())
    clean = (predict(learner, pool)[0].argmax(axis=1) == pool.labels).mean()
    assert adversarial_accuracy(logits, pool, steps=0, radius=0.0) == clean
    assert adversarial_accuracy(logits, pool, steps=10, radius=0.5, step=0.1) < clean


def test_refusals():
    with pytest.raises(InputError, match="steps, radius and step should be 0 or more"):
        pgd(nn.Flatten(), torch.zeros(1, 1, 1, 2), torch.tensor([0]), steps=-1, seed=0)
    unlabeled = Pool.from_arrays(np.zeros((2, 8, 8), np.uint8), [-1, -1], classes=["a"])
    with pytest.raises(InputError, match="adversarial accuracy needs labelled images"):
        adversarial_accuracy(flat(blobs(6)), unlabeled)
    with pytest.raises(InputError, match="an attack needs a learner with one network; DivideMix has none"):
        logits_of(DivideMix())
