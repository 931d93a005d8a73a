import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.learn.toys import blobs, flat

from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.learners.backbone import shuffled
from goodgrain.learn.schedules import warm_cosine
from goodgrain.metrics import accuracy


def test_one_step_is_the_closed_form():
    """One batch: W - rate * (p - y)^T x / b on normalised pixels, at half the rate (the middle of the cosine)."""
    pool = blobs(12, classes=3)
    learner = Standard(
        flat(pool, zero=True), lr=0.4, momentum=0, weight_decay=0, warmup=0, batch_size=12, augment=False
    )
    history = fit(learner, pool, epochs=1, seed=0, device="cpu")
    pixels = pool.images(np.arange(12)).reshape(12, -1) / 255
    x = (pixels - pixels.mean()) / pixels.std()
    residual = np.full((12, 3), 1 / 3) - np.eye(3)[pool.labels]
    weights = -0.2 * residual.T @ x / 12
    bias = -0.2 * residual.mean(axis=0)
    np.testing.assert_allclose(learner.network.head.weight.detach().numpy(), weights, atol=1e-5)
    np.testing.assert_allclose(learner.network.head.bias.detach().numpy(), bias, atol=1e-6)
    np.testing.assert_allclose(history.loss, [np.log(3)], atol=1e-6)


def test_momentum_and_decay_by_hand():
    """Two images of one pixel in one step: Nesterov turns the gradient g into g + momentum * g."""
    images = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1)
    pool = Pool.from_arrays(images, [0, 1])
    learner = Standard(
        flat(pool, zero=True), lr=1.0, momentum=0.5, weight_decay=0.1, warmup=0, batch_size=2, augment=False
    )
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    # x = (-1, 1), p = 1/2: dW_0 = ((.5 - 1)(-1) + (.5)(1)) / 2 = .5; decay of zero weights is zero;
    # Nesterov's first step is g + m g = .75, at half the rate .375
    np.testing.assert_allclose(learner.network.head.weight.detach().numpy(), [[-0.375], [0.375]], atol=1e-6)


def test_digits_are_learned_in_seconds():
    digits = load_digits()
    images = (digits.images * 15.9375).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    learner = Standard(flip=False)
    fit(learner, Pool.from_arrays(images[train], digits.target[train]), epochs=10, seed=0, device="cpu")
    held_out = Pool.from_arrays(images[test], digits.target[test])
    assert accuracy(predict(learner, held_out)[0].argmax(axis=1), held_out.labels) >= 0.96


def test_the_seed_decides_everything():
    pool = blobs()
    runs = []
    for seed in (3, 3, 4):
        torch.rand(5)
        learner = Standard()
        history = fit(learner, pool, epochs=2, seed=seed, device="cpu")
        runs.append((history.margin.tobytes(), learner.network.head.weight.detach().numpy().tobytes()))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_fitting_again_starts_afresh():
    pool, learner = blobs(), Standard()
    first = fit(learner, pool, epochs=1, seed=3, device="cpu").margin
    assert np.array_equal(first, fit(learner, pool, epochs=1, seed=3, device="cpu").margin)


def test_only_labelled_images_are_trained_on():
    labels = np.arange(40) % 2
    labels[:10], labels[10:20] = -1, -2
    pool = Pool.from_arrays(np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8), labels)
    history = fit(Standard(), pool, epochs=1, seed=0, device="cpu")
    assert np.isnan(history.margin[:, :20]).all()
    assert not history.correct[:, :20].any()
    assert np.isfinite(history.margin[:, 20:]).all()


@pytest.mark.parametrize(("count", "size"), [(9, 4), (129, 128), (2, 16), (100, 16)])
def test_batches_cover_all_and_differ_by_one_at_most(count, size):
    batches = shuffled(np.arange(count) * 3, size, np.random.default_rng(0))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(0, count * 3, 3))
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1


def test_the_rate_rises_then_falls():
    rates = [warm_cosine(progress, warmup=0.1) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert np.argmax(rates) == 10
    assert all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(0)


def test_settings_out_of_range_are_told():
    with pytest.raises(InputError, match="batch_size should be 2 or more; 1 came"):
        Standard(batch_size=1)
    with pytest.raises(InputError, match=r"momentum and warmup in \[0, 1\); .*momentum=1.5"):
        Standard(momentum=1.5)
    pool = Pool.from_arrays(np.zeros((3, 8, 8), np.uint8), [0, -1, -1], classes=["a", "b"])
    with pytest.raises(InputError, match="at least 2 labelled images; the pool has 1"):
        fit(Standard(), pool, epochs=1, seed=0)
