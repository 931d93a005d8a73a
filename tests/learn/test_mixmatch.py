import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.learn.test_calibration import same, weights
from tests.learn.toys import blobs, flat

from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.data.views import to_pixels, weak
from goodgrain.errors import InputError
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.learner import Batch, Part, Run
from goodgrain.learn.learners.calibration import Calibration
from goodgrain.learn.learners.mixmatch import MixMatch
from goodgrain.learn.streams import generator, stream_seed


def half_labeled(n=60, labeled=12, strangers=0):
    """Blobs of which the first have a label and the last are of no class."""
    pool = blobs(n)
    labels = pool.labels.copy()
    labels[labeled:] = UNLABELED
    labels[n - strangers :] = OOD
    return pool.with_labels(labels)


def part_of(pool, positions):
    rows = np.asarray(positions)
    return Part(torch.from_numpy(rows), to_pixels(pool.images(rows)), torch.from_numpy(pool.labels[rows]))


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_the_terms_of_one_step_match_a_slow_numpy_version():
    pool = half_labeled()
    learner = MixMatch(flat(pool), flip=False, batch_size=4, lr=0.1, ramp=0.5, lambda_u=75.0)
    learner.prepare(pool, Run(seed=3, epochs=1, engine=Engine("cpu")))
    batch = Batch({"labeled": part_of(pool, [0, 1, 2, 3]), "unlabeled": part_of(pool, [20, 30, 40, 50])}, 0.25, 17)
    head = learner.network.head
    w, b = head.weight.detach().numpy().copy().astype(np.float64), head.bias.detach().numpy().copy()
    outcome = learner.step(batch)

    def logits(pixels):
        return learner.normalize(pixels).flatten(1).detach().numpy().astype(np.float64) @ w.T + b

    view = weak((8, 8), flip=False)
    first = view(batch.parts["labeled"].pixels, stream_seed(17, "labeled"))
    twice = batch.parts["unlabeled"].pixels.repeat(2, 1, 1, 1)
    more = view(twice, stream_seed(17, "unlabeled"))
    guesses = []
    predicted = softmax(logits(more))
    for i in range(4):
        mean = (predicted[i] + predicted[i + 4]) / 2
        guesses.append(mean**2 / (mean**2).sum())
    targets = np.concatenate([np.eye(3)[pool.labels[:4]], guesses, guesses])
    draws = generator(17, "mix")
    share = draws.beta(0.75, 0.75)
    share = max(share, 1 - share)
    order = draws.permutation(12)
    pixels = torch.cat([first, more]).numpy()
    mixed = np.stack([share * pixels[i] + (1 - share) * pixels[order[i]] for i in range(12)])
    soft = np.stack([share * targets[i] + (1 - share) * targets[order[i]] for i in range(12)])
    p = softmax(logits(torch.from_numpy(mixed)))
    labeled = -np.mean([(soft[i] * np.log(p[i])).sum() for i in range(4)])
    unlabeled = np.mean([((p[i] - soft[i]) ** 2).mean() for i in range(4, 12)])
    assert float(outcome.terms["labeled"]) == pytest.approx(labeled, rel=1e-5)
    assert float(outcome.terms["unlabeled"]) == pytest.approx(unlabeled, rel=1e-4)
    assert float(outcome.terms["loss"]) == pytest.approx(labeled + 75.0 * 0.5 * unlabeled, rel=1e-4)


def test_the_weight_rises_over_its_share_of_all_steps():
    learner = MixMatch(ramp=0.4)
    assert [learner._risen(p) for p in (0.0, 0.1, 0.2, 0.4, 0.9)] == pytest.approx([0, 0.25, 0.5, 1, 1])
    assert MixMatch(ramp=0.0)._risen(0.0) == 1.0


def test_every_kind_of_image_comes_in_its_own_endless_order():
    pool = half_labeled(60, 12, strangers=18)
    learner = MixMatch(flip=False, batch_size=5, ood=Calibration())
    learner.prepare(pool, Run(seed=0, epochs=9, engine=Engine("cpu")))
    epochs = [learner.begin_epoch(pool, epoch) for epoch in range(6)]
    assert {len(draws) for draws in epochs} == {6}  # 30 unlabelled images, 5 a step
    for name, label in (("labeled", None), ("unlabeled", UNLABELED), ("ood", OOD)):
        shown = np.concatenate([draw[name] for draws in epochs for draw in draws])
        labels = pool.labels[shown]
        assert (labels >= 0).all() if label is None else (labels == label).all()
        counts = np.bincount(shown, minlength=60)
        assert np.ptp(counts[np.unique(shown)]) <= 1  # turn by turn: nobody twice before everybody once


def test_weight_0_of_ood_images_changes_nothing():
    pool = half_labeled(60, 12, strangers=18)
    alone = pool.subset(np.flatnonzero(pool.labels != OOD))
    trained = {}
    for name, images, ood in (
        ("alone", alone, None),
        ("weight 0", pool, Calibration(weight=0.0)),
        ("weighted", pool, Calibration()),
    ):
        learner = MixMatch(flip=False, batch_size=5, **({} if ood is None else {"ood": ood}))
        fit(learner, images, epochs=2, seed=0, device="cpu")
        trained[name] = weights(learner)
    assert same(trained["alone"], trained["weight 0"])
    assert not same(trained["alone"], trained["weighted"])


def test_unlabelled_images_help_where_labels_are_few():
    images, truth = load_digits(return_X_y=True)
    pool = Pool.from_arrays((images.reshape(-1, 8, 8) * 15).astype(np.uint8), truth)
    labels = np.where(np.arange(len(pool)) < 40, truth, UNLABELED)
    labels[1000:] = truth[1000:]
    train, test = pool.with_labels(labels).subset(range(1000)), pool.subset(range(1000, len(pool)))
    reached = {}
    for name, learner, images, epochs in (
        ("standard", Standard(flip=False, batch_size=20), train.subset(range(40)), 100),
        ("mixmatch", MixMatch(flip=False, batch_size=20, lr=0.05), train, 8),
    ):
        fit(learner, images, epochs=epochs, seed=0, device="cpu")
        reached[name] = (predict(learner, test)[0].argmax(axis=1) == test.labels).mean()
    assert reached["mixmatch"] > reached["standard"] + 0.02


def test_refusals():
    with pytest.raises(InputError, match="MixMatch needs images without a label"):
        fit(MixMatch(flip=False), blobs(20), epochs=1, seed=0, device="cpu")
    with pytest.raises(InputError, match="lambda_u should be 0 or more and ramp in"):
        MixMatch(ramp=2.0)
