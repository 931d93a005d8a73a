import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.learn.toys import blobs, flat
from tests.losses.test_contrastive import numpy_nt_xent
from torch import nn

from goodgrain.data.pool import Pool
from goodgrain.data.views import contrastive, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import Batch, Part, Standard, fit, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Run
from goodgrain.learn.learners.contrastive import SimCLR, of_all
from goodgrain.learn.streams import stream_seed
from goodgrain.losses.contrastive import nt_xent


def prepared(learner, pool, *, seed=0):
    """The learner as it is before its first step."""
    torch.manual_seed(stream_seed(seed, "prepare"))
    learner.prepare(pool, Run(seed, 1, Engine("cpu")))
    return learner


def bits(learner):
    """Every tensor that training leaves behind."""
    parts = {name: part.state_dict() for name, part in learner.saved().items() if isinstance(part, nn.Module)}
    return {(name, key): value.numpy().tobytes() for name, state in parts.items() for key, value in state.items()}


def test_the_loss_of_a_step_is_the_papers():
    """At rate zero nothing moves, so the step can be done again in NumPy."""
    pool = blobs(12)
    learner = SimCLR(flat(pool), lr=0.0, batch_size=12, projection=4, temperature=0.3, flip=False)
    history = fit(learner, pool, epochs=1, seed=3, device="cpu")
    (draw,) = learner.begin_epoch(pool, 0)
    pixels = to_pixels(pool.images(draw["train"]))
    step = stream_seed(3, "step", 0, 0, 0)
    views = [
        contrastive((8, 8), flip=False, channels=1)(pixels, stream_seed(step, name)) for name in ("first", "second")
    ]
    every = pool.images(np.arange(12)) / 255
    inner, _, outer = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) if isinstance(layer, nn.Linear) else None
        for layer in learner.projection
    )
    rows = []
    for view in views:
        features = ((view.numpy() - every.mean()) / every.std()).reshape(12, -1)
        hidden = np.maximum(features @ inner[0].T + inner[1], 0)
        rows.append(hidden @ outer[0].T + outer[1])
    assert history.loss[0] == pytest.approx(numpy_nt_xent(*rows, 0.3), rel=1e-4)


def test_the_features_and_the_projection_learn_and_the_head_waits():
    pool = blobs()
    start = bits(prepared(SimCLR(), pool))
    learner = SimCLR()
    history = fit(learner, pool, epochs=8, seed=0, device="cpu")
    moved = {name for name, value in bits(learner).items() if value != start[name]}
    still = {name for name in start if name not in moved}
    assert still == {
        ("network", "head.weight"),
        ("network", "head.bias"),
        ("normalize", "mean"),
        ("normalize", "deviation"),
    }
    assert history.loss[-1] < history.loss[0] - 0.2
    onwards = Standard(learner.network, lr=0.0)
    fit(onwards, pool, epochs=1, seed=0, device="cpu")
    assert torch.equal(onwards.network.features[0].weight, learner.network.features[0].weight)


def test_all_images_are_learned_from_and_no_label_is():
    pool = blobs(60)
    labels = np.where(np.arange(60) % 2, -1, 0)
    unlabeled = pool.with_labels(labels)
    first, second = SimCLR(), SimCLR()
    history = fit(first, pool, epochs=2, seed=1, device="cpu")
    fit(second, unlabeled, epochs=2, seed=1, device="cpu")
    assert bits(first) == bits(second)
    for epoch in (0, 1):
        drawn = [draw["train"] for draw in second.begin_epoch(unlabeled, epoch)]
        assert sorted(np.concatenate(drawn)) == list(range(60))
    assert np.isnan(history.margin).all()
    assert not history.correct.any()


def test_stopped_in_an_epoch_it_ends_with_the_same_bits(tmp_path):
    class Stopped(Exception):
        pass

    def stop(epoch, step, steps, terms):
        if (epoch, step) == (2, 1):
            raise Stopped

    pool, whole, again = blobs(), SimCLR(batch_size=16), SimCLR(batch_size=16)
    expected = fit(whole, pool, epochs=4, seed=7, device="cpu")
    path = tmp_path / "training.pt"
    with pytest.raises(Stopped):
        fit(SimCLR(batch_size=16), pool, epochs=4, seed=7, checkpoint=path, progress=stop, device="cpu")
    torch.rand(3)  # whatever the caller's generator did
    history = fit(again, pool, epochs=4, seed=7, checkpoint=path, device="cpu")
    assert bits(again) == bits(whole)
    assert history.loss.tolist() == expected.loss.tolist()
    with pytest.raises(InputError, match=r"there, temperature is 0.2; here, 0.5"):
        fit(SimCLR(temperature=0.5, batch_size=16), pool, epochs=4, seed=7, checkpoint=path, device="cpu")


def test_it_knows_features_and_no_classes():
    pool, learner = blobs(), SimCLR()
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    probabilities, features = predict(learner, pool, [4, 2])
    assert probabilities.shape == (2, 0)
    with torch.no_grad():
        expected = learner.network.eval().features(learner.saved()["normalize"](to_pixels(pool.images([4, 2]))))
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)


class Seat:
    """One of two processes, played in turn: its own rows have a gradient, the other's are values."""

    processes = 2

    def __init__(self, rank, rows):
        self.rank, self.rows = rank, rows

    def gather(self, own):
        assert torch.equal(own, self.rows[self.rank])
        assert not own.requires_grad
        return torch.cat([rows.detach() for rows in self.rows])


def test_two_processes_take_the_step_of_one():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 2, 3, 5, generator=generator)  # (view, process, b, d)
    alone = nn.Linear(5, 4)
    first, second = alone(pixels).flatten(1, 2)
    whole = nt_xent(first, second)
    whole.backward()
    gradients = []
    for rank in (0, 1):
        network = copy.deepcopy(alone)
        network.zero_grad()
        rows = network(pixels)  # (view, process, b, d)
        loss = nt_xent(*(of_all(rows[view, rank], Seat(rank, rows[view])) for view in (0, 1)))
        assert torch.allclose(loss, whole)
        (loss * Seat.processes).backward()
        gradients.append(network.weight.grad)
    assert not torch.allclose(gradients[0], gradients[1])
    assert torch.allclose(torch.stack(gradients).mean(dim=0), alone.weight.grad, atol=1e-6)


class Twin(Engine):
    """One of two processes that have the same images and views, so that what the other gathers is its own."""

    def __init__(self):
        super().__init__("cpu")
        self.processes = 2

    def gather(self, own):
        return torch.cat([own, own])

    def average_gradients(self, optimizer):
        """The other's are the same."""


def test_a_step_of_two_processes_has_the_whole_gradient():
    pool = blobs(6)
    learner = SimCLR(flat(pool), lr=0.0, weight_decay=0, flip=False)
    learner.prepare(pool, Run(0, 1, Twin()))
    positions = torch.arange(6)
    pixels = to_pixels(pool.images(positions.numpy()))
    told = learner.step(Batch({"train": Part(positions, pixels, positions)}, 0.5, 9)).terms["loss"]
    views = [contrastive((8, 8), flip=False, channels=1)(pixels, stream_seed(9, name)) for name in ("first", "second")]
    rows = [learner.projection(learner.network(learner.saved()["normalize"](view))[1]) for view in views]
    loss = nt_xent(*(torch.cat([view, view]) for view in rows), temperature=0.2)
    assert torch.allclose(told, loss)
    for weights, gradient in zip(
        learner.projection.parameters(), torch.autograd.grad(loss, list(learner.projection.parameters())), strict=True
    ):
        assert torch.allclose(weights.grad, gradient, atol=1e-6)


def nearest_label(features, labels, *, known, draws):
    """Accuracy of the nearest neighbour by cosine among a few labelled images per class, over many draws of them."""
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    hits = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        chosen = np.concatenate([rng.choice(np.flatnonzero(labels == c), known, replace=False) for c in range(10)])
        rest = np.setdiff1d(np.arange(len(labels)), chosen)
        hits.append(labels[chosen][(rows[rest] @ rows[chosen].T).argmax(axis=1)] == labels[rest])
    return np.mean(hits)


def test_digits_come_nearer_to_their_kind():
    digits = load_digits()
    images, labels = (digits.images[:500] * 15.9375).astype(np.uint8), digits.target[:500]
    pool = Pool.from_arrays(images, np.full(500, -1), classes=[str(digit) for digit in range(10)])
    untrained, learner = prepared(SimCLR(flip=False), pool), SimCLR(flip=False)
    fit(learner, pool, epochs=10, seed=0, device="cpu")
    before, after = (nearest_label(predict(one, pool)[1], labels, known=5, draws=10) for one in (untrained, learner))
    assert after > before + 0.03  # measured: .69 and .76


def test_the_view_shows_a_part_of_the_image():
    """A ramp stays a ramp when a part of it is stretched: its slopes tell which share of each side is shown."""
    size, count = 33, 300
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    pixels = torch.stack([rows, columns]).expand(count, 2, size, size)
    views = contrastive((size, size), channels=1)(pixels, 5)
    high = views[:, 0, -1, 16] - views[:, 0, 0, 16]
    wide = views[:, 1, 16, -1] - views[:, 1, 16, 0]  # below 0 where left and right are swapped
    torch.testing.assert_close(views[:, 0, 16, 16], (views[:, 0, -1, 16] + views[:, 0, 0, 16]) / 2, atol=1e-3, rtol=0)
    areas = high * wide.abs()
    assert 0.2 - 0.05 < areas.min() < 0.3  # whole pixels
    assert areas.max() > 0.85
    assert (high > 0).all()
    assert 110 < (wide < 0).sum() < 190
    assert (contrastive((size, size), flip=False, channels=1)(pixels, 5)[:, 1].diff(dim=2) > -1e-6).all()


def test_the_view_changes_colours_and_drops_some():
    pixels = torch.tensor([0.8, 0.4, 0.2])[:, None, None].expand(400, 3, 8, 8).contiguous()
    views = contrastive((8, 8))(pixels, 1)
    colours = views[:, :, 4, 4]
    grey = (colours.max(dim=1).values - colours.min(dim=1).values) < 1e-3
    assert 50 < grey.sum() < 115  # one in five
    same = (colours - pixels[:, :, 0, 0]).abs().max(dim=1).values < 1e-3
    assert 35 < same.sum() < 95  # .2 * .8
    assert len({tuple(colour) for colour in colours[~grey & ~same].tolist()}) > 200


@pytest.mark.parametrize("channels", [1, 3])
def test_the_view_repeats_by_its_seed_whatever_was_drawn_before(channels):
    pixels = torch.rand(6, channels, 20, 28)
    before = pixels.clone()
    view = contrastive((20, 28), channels=channels)
    first = view(pixels, 11)
    state = torch.random.get_rng_state()
    assert torch.equal(contrastive((20, 28), channels=channels)(pixels, 11), first)
    assert not torch.equal(view(pixels, 12), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(pixels, before)
    assert first.shape == pixels.shape
    assert first.is_contiguous()
    assert first.min() >= 0
    assert first.max() <= 1


def test_what_cannot_be_is_told():
    with pytest.raises(InputError, match="temperature should be above 0 .*; temperature=0, projection=128 came"):
        SimCLR(temperature=0)
    with pytest.raises(InputError, match="projection=0"):
        SimCLR(projection=0)
    pool = Pool.from_arrays(np.zeros((1, 8, 8), np.uint8), [0])
    with pytest.raises(InputError, match="at least 2 images; the pool has 1"):
        fit(SimCLR(), pool, epochs=1, seed=0)
