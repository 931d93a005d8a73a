from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from goodgrain.data.pool import OOD, Pool
from goodgrain.data.views import Normalize
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Part, Run
from goodgrain.learn.learners.backbone import turns
from goodgrain.learn.learners.calibration import Calibration, Calibrator
from goodgrain.losses import taufe
from goodgrain.models import last_maps


def pool_with_ood(n=48, strangers=40, seed=0):
    """Two classes that differ in the bright half, and noise of no class that is brighter than both."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 100, (n + strangers, 8, 8), dtype=np.uint8)
    labels = np.arange(n) % 2
    images[:n][labels == 0, :4] += 100
    images[:n][labels == 1, 4:] += 100
    images[n:] += 120
    return Pool.from_arrays(images, np.concatenate([labels, np.full(strangers, OOD)]), classes=["up", "down"])


def trained(pool, ood=None, *, epochs=3, seed=0, **recipe):
    learner = Standard(flip=False, **({} if ood is None else {"ood": ood}), **{"batch_size": 16, **recipe})
    return learner, fit(learner, pool, epochs=epochs, seed=seed, device="cpu")


def weights(learner):
    return {name: value.clone() for name, value in learner.network.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("statistics", ["shared", "separate", "running"])
@pytest.mark.parametrize(("method", "penalty"), [("taufe", "absolute"), ("taufe", "relative"), ("oat", "absolute")])
def test_weight_0_is_standard_training_to_the_bit(method, penalty, statistics):
    pool = pool_with_ood()
    alone = pool.subset(np.flatnonzero(pool.labels != OOD))
    expected, history = trained(alone)
    learner, seen = trained(pool, Calibration(method=method, weight=0.0, penalty=penalty, statistics=statistics))
    assert same(weights(expected), weights(learner))
    assert np.array_equal(history.loss, seen.loss)
    assert (seen.terms["ood"] > 0).all()
    assert not same(weights(expected), weights(trained(pool, Calibration(method=method))[0]))


def test_only_a_shared_pass_lets_ood_images_into_the_running_statistics():
    pool, least = pool_with_ood(), 1e-30  # adds nothing to the loss in float32
    alone = trained(pool.subset(np.flatnonzero(pool.labels != OOD)))[0].network.state_dict()
    for statistics, left_alone in (("separate", True), ("running", True), ("shared", False)):
        found = trained(pool, Calibration(weight=least, statistics=statistics))[0].network.state_dict()
        buffers = [name for name in found if "running_mean" in name]
        assert buffers
        assert all(torch.equal(found[name], alone[name]) for name in buffers) is left_alone


def test_one_step_adds_the_weighted_penalty():
    # lr 0 leaves the weights alone, so that one epoch's terms can be added up: loss = cross-entropy + 0.1 taufe
    _, history = trained(pool_with_ood(), Calibration(weight=0.1), epochs=1, lr=0.0)
    terms = history.terms
    assert np.allclose(terms["loss"], terms["cross_entropy"] + 0.1 * terms["ood"], rtol=1e-6)


@pytest.mark.parametrize("statistics", ["shared", "separate"])
def test_maps_are_silenced_place_by_place(statistics):
    small = pool_with_ood()
    images = small.images(np.arange(len(small)))[..., 0].repeat(3, axis=1).repeat(3, axis=2)  # so that maps have places
    pool = Pool.from_arrays(images, small.labels, classes=small.classes)
    asked = {"epochs": 1, "lr": 0.0, "batch_size": 48}  # one step, which changes no weight
    learner, history = trained(pool, Calibration(layer="maps", statistics=statistics), **asked)
    _, pooled = trained(pool, Calibration(statistics=statistics), **asked)
    # The mean of squares over places is at least the square of their mean, and more where places differ.
    assert history.terms["ood"][0] > pooled.terms["ood"][0]
    silent, _ = trained(pool, Calibration(weight=1.0, layer="maps", statistics="shared"), epochs=30)
    strange = torch.from_numpy(pool.images(np.flatnonzero(pool.labels == OOD))).float()[:, None, :, :, 0] / 255
    with torch.no_grad():
        silent.network.eval()
        after = last_maps(silent.network, silent.normalize(strange)).square().mean()
        learner.network.eval()
        before = last_maps(learner.network, learner.normalize(strange)).square().mean()
    assert after < before / 10


@pytest.mark.parametrize("statistics", ["running", "shared"])
def test_features_of_ood_images_go_out_and_accuracy_stays(statistics):
    pool = pool_with_ood()
    strange, own = np.flatnonzero(pool.labels == OOD), np.flatnonzero(pool.labels >= 0)
    squares = {}
    for name, ood in {"standard": None, "taufe": Calibration(statistics=statistics)}.items():
        learner, _ = trained(pool if ood else pool.subset(own), ood, epochs=30)
        _, features = predict(learner, pool)
        probabilities, _ = predict(learner, pool)
        squares[name] = (features[strange] ** 2).sum(axis=1).mean()
        assert (probabilities[own].argmax(axis=1) == pool.labels[own]).mean() == 1.0
    assert squares["taufe"] < squares["standard"] / 10


@pytest.mark.parametrize("statistics", ["shared", "separate"])
@pytest.mark.parametrize("layer", ["penultimate", "maps"])
def test_the_relative_penalty_compares_features_of_the_same_step_and_layer(layer, statistics):
    small = pool_with_ood()
    images = small.images(np.arange(len(small)))[..., 0].repeat(3, axis=1).repeat(3, axis=2)  # so that maps have places
    pool = Pool.from_arrays(images, small.labels, classes=small.classes)
    learner, _ = trained(pool, epochs=1)
    pixels = torch.from_numpy(images).float()[:, None] / 255
    strange = torch.from_numpy(pool.labels == OOD)
    part = Part(torch.zeros(40, dtype=torch.int64), pixels[strange], torch.full((40,), OOD))
    asked = Calibration(penalty="relative", layer=layer, statistics=statistics)
    calibrator = Calibrator(asked, pool, Run(0, 1, Engine("cpu")), augment=False)
    _, _, terms = calibrator.forward(learner.backbone, pixels[~strange], Batch({"ood": part}, 0.5, 0))

    learner.network.train()
    seen = partial(last_maps, learner.network) if layer == "maps" else lambda shown: learner.network(shown)[1]
    if statistics == "shared":
        together = seen(learner.normalize(torch.cat([pixels[~strange], pixels[strange]])))
        own, other = together[:48], together[48:]
    else:
        own, other = seen(learner.normalize(pixels[~strange])), seen(learner.normalize(pixels[strange]))
    expected = (other.square().mean() / own.square().mean()).item()
    assert terms["ood"].item() == pytest.approx(expected, rel=1e-4)


def test_the_penalty_is_relative_by_itself_where_there_is_no_batch_normalisation():
    pool = pool_with_ood()

    def ended(network, penalty):
        torch.manual_seed(0)
        layers = nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2)
        chosen = "small" if network == "small" else nn.Sequential(*layers)
        return weights(trained(pool, Calibration(penalty=penalty), network=chosen, lr=0.02)[0])

    for network, alike, unlike in (("small", "absolute", "relative"), ("mlp", "relative", "absolute")):
        assert same(ended(network, "auto"), ended(network, alike))
        assert not same(ended(network, "auto"), ended(network, unlike))


def test_without_batch_normalisation_only_the_relative_penalty_tells_the_two_kinds_apart():
    pool = pool_with_ood()
    strange, own = np.flatnonzero(pool.labels == OOD), np.flatnonzero(pool.labels >= 0)
    lengths, shares = {}, {}
    for penalty in ("none", "absolute", "relative"):
        torch.manual_seed(0)
        layers = nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        asked = Calibration(weight=0.0) if penalty == "none" else Calibration(penalty=penalty)
        learner, _ = trained(pool, asked, epochs=40, network=nn.Sequential(*layers), lr=0.02)
        probabilities, features = predict(learner, pool)
        assert (probabilities[own].argmax(axis=1) == pool.labels[own]).mean() == 1.0
        lengths[penalty] = (features[own] ** 2).mean()
        shares[penalty] = (features[strange] ** 2).mean() / lengths[penalty]
    assert lengths["absolute"] < lengths["none"] < lengths["relative"], "Eq. 3.3 shrinks the target's features too"
    assert shares["relative"] < shares["absolute"] / 100 < shares["none"] / 100


def test_the_endless_order_shows_every_image_once_a_turn_and_no_epoch_begins_it_anew():
    positions = np.arange(10, 17)
    drawn = turns(positions, 0, 70, seed=3, name="ood")
    for turn in drawn.reshape(10, 7):
        assert sorted(turn) == positions.tolist()
    assert len({tuple(turn) for turn in drawn.reshape(10, 7).tolist()}) > 5
    by_epochs = [turns(positions, epoch * 5, 5, seed=3, name="ood") for epoch in range(14)]
    assert np.array_equal(np.concatenate(by_epochs), drawn)


def test_as_many_ood_images_as_labelled_ones_each_step_and_more_by_ratio():
    pool = pool_with_ood(strangers=5)
    for ratio, expected in ((1.0, 16), (0.5, 8), (2.0, 32)):
        learner = Standard(flip=False, batch_size=16, ood=Calibration(ratio=ratio))
        fit(learner, pool, epochs=1, seed=0, device="cpu")
        draws = learner.begin_epoch(pool, 4)
        assert [len(draw["ood"]) for draw in draws] == [expected] * 3
        assert all((pool.labels[draw["ood"]] == OOD).all() for draw in draws)


def test_pixel_statistics_are_those_of_the_target_images():
    pool = pool_with_ood()
    own = Normalize.of(pool.subset(np.flatnonzero(pool.labels != OOD)))
    assert torch.equal(Normalize.of(pool).mean, own.mean)
    strange = pool.subset(np.flatnonzero(pool.labels == OOD))
    assert Normalize.of(strange).mean > own.mean  # where there is nothing else, they count


def test_a_killed_training_goes_on_with_the_same_ood_images(tmp_path):
    pool = pool_with_ood()
    expected, _ = trained(pool, Calibration(), epochs=4)

    class Killed(Exception):
        pass

    def kill(epoch, step, steps, terms):
        if (epoch, step) == (2, 1):
            raise Killed

    def again(progress=None):
        learner = Standard(flip=False, batch_size=16, ood=Calibration())
        fit(learner, pool, epochs=4, seed=0, device="cpu", checkpoint=tmp_path / "c.pt", progress=progress)
        return learner

    with pytest.raises(Killed):
        again(kill)
    assert same(weights(expected), weights(again()))


def test_the_head_gets_no_gradient_from_taufe():
    pool = pool_with_ood()
    learner, _ = trained(pool, Calibration(weight=1.0), epochs=1)
    head = learner.network.head
    _, features = learner.backbone.forward(torch.rand(4, 1, 8, 8))
    for weight in head.parameters():
        weight.grad = None
    taufe(features).backward()
    assert all(weight.grad is None for weight in head.parameters())
    assert any(weight.grad is not None for weight in learner.network.features.parameters())


def test_refusals():
    alone = pool_with_ood(strangers=0)
    with pytest.raises(InputError, match="taufe learns from out-of-distribution images, and the pool has none"):
        trained(alone, Calibration())
    with pytest.raises(UnknownName, match="no calibration method 'tauffe'. Did you mean 'taufe'"):
        Calibration(method="tauffe")
    with pytest.raises(InputError, match="weight should be"):
        Calibration(weight=-1.0)
    with pytest.raises(InputError, match="ratio should be"):
        Calibration(ratio=0.0)
    with pytest.raises(UnknownName, match="no layer 'map'. Did you mean 'maps'"):
        Calibration(layer="map")
    with pytest.raises(UnknownName, match="no statistics 'shard'. Did you mean 'shared'"):
        Calibration(statistics="shard")
