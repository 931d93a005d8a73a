from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learn.toys import blobs, flat

from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import fit, observe, predict
from goodgrain.learn.learners.boxes import BoxRegression, boxed_positions
from goodgrain.learn.localize import predict_boxes
from goodgrain.metrics import mean_iou


def rectangles(n=200, *, size=16, seed=0):
    """Dim noise with one bright rectangle, whose box is known."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, size, size)).astype(np.uint8)
    low = rng.integers(0, size // 2, (n, 2))
    high = low + rng.integers(size // 4, size // 2 + 1, (n, 2))
    for image, (left, top), (right, bottom) in zip(images, low, high, strict=True):
        image[top:bottom, left:right] += 150
    boxes = np.concatenate([low, high], axis=1) / size
    return replace(Pool.from_arrays(images, np.arange(n) % 2), boxes=boxes.astype(np.float32))


@pytest.mark.parametrize("loss", ["l1", "l1_iou", "d_iou"])
def test_bright_rectangles_are_found(loss):
    train, test = rectangles(400), rectangles(100, seed=1)
    learner = BoxRegression(loss=loss, batch_size=32)
    history = fit(learner, train, epochs=8, seed=0, device="cpu")
    blind = mean_iou(np.tile(train.boxes.mean(axis=0), (100, 1)), test.boxes)
    seen = mean_iou(predict_boxes(learner, test), test.boxes)
    assert history.loss[-1] < history.loss[0] / 2
    assert blind < 0.3
    assert seen > blind + 0.3


def test_one_step_is_the_closed_form():
    """One batch of a linear network from zero: W - rate * (0 - box)^T x / (4 b), at half the rate (mid-cosine)."""
    pool = rectangles(12, size=8)
    network = flat(pool, zero=True)  # split to its head, which then has four outputs
    network[1] = torch.nn.Linear(64, 4)
    torch.nn.init.zeros_(network[1].weight)
    torch.nn.init.zeros_(network[1].bias)
    learner = BoxRegression(network, lr=0.4, momentum=0, weight_decay=0, warmup=0, batch_size=12, augment=False)
    history = fit(learner, pool, epochs=1, seed=0, device="cpu")
    pixels = pool.images(np.arange(12)).reshape(12, -1) / 255
    x = (pixels - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(learner.network.head.weight.detach().numpy(), 0.2 * pool.boxes.T @ x / 48, atol=1e-6)
    np.testing.assert_allclose(learner.network.head.bias.detach().numpy(), 0.2 * pool.boxes.sum(axis=0) / 48, atol=1e-6)
    np.testing.assert_allclose(history.loss, [(pool.boxes**2 / 2).mean()], rtol=1e-5)


def test_the_seed_decides_everything():
    pool, weights = rectangles(40, size=8), []
    for seed in (3, 3, 4):
        torch.rand(5)
        learner = BoxRegression()
        fit(learner, pool, epochs=1, seed=seed, device="cpu")
        weights.append(learner.network.head.weight.detach().numpy().tobytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_only_known_boxes_of_the_target_are_trained_on():
    """A class label is not needed, a box is; a box of an OOD image does not count."""
    pool = rectangles(40, size=8)
    boxes, labels = pool.boxes.copy(), pool.labels.copy()
    boxes[:10], labels[10:20], labels[20:25] = np.nan, UNLABELED, OOD
    pool = replace(pool, boxes=boxes, labels=labels)
    assert boxed_positions(pool).tolist() == [*range(10, 20), *range(25, 40)]
    learner = BoxRegression(batch_size=4)
    history = fit(learner, pool, epochs=2, seed=0, device="cpu")
    assert np.isfinite(history.loss).all()
    drawn = [np.concatenate([draw["train"] for draw in learner.begin_epoch(pool, epoch)]) for epoch in (0, 1)]
    assert [sorted(one) for one in drawn] == [boxed_positions(pool).tolist()] * 2
    assert drawn[0].tolist() != drawn[1].tolist()


def test_boxes_end_at_the_border_and_nothing_remembers_a_prediction():
    pool = rectangles(30, size=8)
    learner = BoxRegression(augment=False)
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    with torch.no_grad():
        learner.network.head.bias.copy_(torch.tensor([-9.0, -9.0, 9.0, 9.0]))
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    found = learner.boxes(torch.rand(5, 1, 8, 8))
    assert torch.equal(found, torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(5, 4))
    assert not found.requires_grad
    assert all(torch.equal(before[name], value) for name, value in learner.network.state_dict().items())


def test_it_knows_features_and_no_classes():
    pool, learner = rectangles(30, size=8), BoxRegression()
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    probabilities, features = predict(learner, pool)
    assert probabilities.shape == (30, 0)
    outputs = features @ learner.network.head.weight.detach().numpy().T + learner.network.head.bias.detach().numpy()
    assert predict_boxes(learner, pool) == pytest.approx(outputs.clip(0, 1), abs=1e-5)
    assert observe(learner, pool, seed=0, strong=False).columns == ("ids", "labels", "features")


def test_the_configuration_names_what_was_asked_for():
    config = BoxRegression(loss="d_iou", augment=False, lr=0.1).config()
    assert config["learner"] == "box_regression"
    assert (config["loss"], config["augment"], config["lr"]) == ("d_iou", False, 0.1)


def test_refusals():
    with pytest.raises(UnknownName, match="no box loss 'diou'. Did you mean 'd_iou'\\? Known: d_iou, l1, l1_iou"):
        BoxRegression(loss="diou")
    with pytest.raises(InputError) as refused:
        fit(BoxRegression(), blobs(8), epochs=1, seed=0, device="cpu")
    assert str(refused.value) == (
        "box regression needs at least 2 images with a known box; the pool has 0. "
        "Give them as the pool's boxes, (n, 4)."
    )
