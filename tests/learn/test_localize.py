from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import oracles_boxes as slow
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.data.views import Normalize, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import Standard, fit
from goodgrain.learn.localize import cam_boxes, predict_boxes
from goodgrain.metrics import gt_known_loc
from goodgrain.models import Split, class_activation_maps


class Colours:
    """A classifier made by hand: class 0 looks for red, class 1 for blue, a place at a time; sees what it was sent."""

    device = torch.device("cpu")

    def __init__(self):
        layers = nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), nn.Dropout(0.9), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.network = Split(nn.Sequential(*layers), nn.Linear(3, 2))
        layers[0].weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.network.head.weight.data = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]])
        self.normalize = Normalize(torch.zeros(3), torch.ones(3))
        self.batches = []

    def boxes(self, pixels):
        """Left and top are the mean of red and of blue, right and bottom 1."""
        self.batches.append(len(pixels))
        means = pixels.mean(dim=(2, 3))
        return torch.stack([means[:, 0], means[:, 2], *torch.ones(2, len(pixels))], dim=1)


def two_objects(n=6, size=(16, 24), seed=0):
    """A red and a blue rectangle in each image, which do not touch; the label says whose box is the true one."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((n, *size, 3), np.uint8), np.arange(n) % 2
    boxes = np.zeros((n, 2, 4))
    for image, pair in zip(images, boxes, strict=True):
        for which, (first, channel) in enumerate(((0, 0), (size[1] // 2 + 1, 2))):
            left, top = first + rng.integers(0, 4), rng.integers(0, size[0] // 2)
            right, bottom = left + rng.integers(3, 7), top + rng.integers(3, size[0] // 2)
            image[top:bottom, left:right, channel] = 200
            pair[which] = np.array([left, top, right, bottom]) / [size[1], size[0], size[1], size[0]]
    chosen = boxes[np.arange(n), labels].astype(np.float32)
    return replace(Pool.from_arrays(images, labels, classes=["red", "blue"]), boxes=chosen)


def test_the_rectangle_of_the_class_is_found():
    learner, pool = Colours(), two_objects(300)
    learner.network.train()  # evaluation mode is its business: dropout would tear holes
    found = cam_boxes(learner, pool)
    assert found == pytest.approx(pool.boxes)
    assert gt_known_loc(found, pool.boxes) == 1.0
    other = cam_boxes(learner, pool.with_labels(1 - pool.labels))
    assert gt_known_loc(other, pool.boxes) == 0.0


def test_the_share_counts():
    pool = two_objects(1)
    images = pool.images([0])
    images[0, 0, 0] = (60, 0, 0)  # joins nothing, and is 0.3 of the brightest
    images[0, :, :12, 0] = np.maximum(images[0, :, :12, 0], 60)
    dim = Pool.from_arrays(images, [0], classes=["red", "blue"])
    assert cam_boxes(Colours(), dim)[0].tolist() == [0, 0, 0.5, 1]
    assert cam_boxes(Colours(), dim, share=0.5) == pytest.approx(pool.boxes)


def test_a_trained_network_is_asked_in_evaluation_mode_with_its_own_statistics():
    pool = two_objects(40)
    learner = Standard(flip=False)
    fit(learner, pool, epochs=2, seed=0, device="cpu")
    found = cam_boxes(learner, pool)
    assert not learner.network.training
    with torch.no_grad():
        pixels = learner.normalize(to_pixels(pool.images(np.arange(40))))
        maps = class_activation_maps(learner.network, pixels, torch.from_numpy(pool.labels))
    assert found == pytest.approx(np.array([slow.box_around(cam, 0.2) for cam in maps.tolist()]), abs=1e-6)
    assert np.array_equal(found, cam_boxes(learner, pool))


def test_predictions_are_made_in_batches_and_in_order():
    learner, pool = Colours(), two_objects(300)
    found = predict_boxes(learner, pool)
    means = pool.images(np.arange(300)).reshape(300, -1, 3).mean(axis=1) / 255
    assert found == pytest.approx(np.stack([means[:, 0], means[:, 2], *np.ones((2, 300))], axis=1), abs=1e-6)
    assert len(learner.batches) > 1
    assert sum(learner.batches) == 300


def test_images_without_a_class_are_told():
    pool = two_objects(6)
    labels = pool.labels.copy()
    labels[[2, 4]] = UNLABELED, OOD
    with pytest.raises(InputError) as refused:
        cam_boxes(Colours(), pool.with_labels(labels))
    assert str(refused.value) == (
        "activation maps are of each image's own class; 2 of 6 images have none, the first is '2'. "
        "Take the subset of those with a label."
    )
    with pytest.raises(InputError, match="share should be 0 or more and below 1; 1.0 came"):
        cam_boxes(Colours(), pool, share=1.0)


def test_a_class_that_the_network_does_not_know_is_told():
    pool = replace(two_objects(3), labels=np.array([0, 1, 2]), classes=("red", "blue", "green"))
    with pytest.raises(InputError, match="classes should be 0..1; 2 is not"):
        cam_boxes(Colours(), pool)
