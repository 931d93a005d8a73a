import dataclasses

import numpy as np
import pytest
import torch
from tests.learn.toys import TwoNetworks, blobs

from goodgrain.data.pool import Pool
from goodgrain.data.views import strong, to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import Standard, fit, observe, predict
from goodgrain.learn.streams import stream_seed


@pytest.fixture(scope="module")
def trained():
    pool, learner = blobs(), Standard(flip=False)
    return pool, learner, fit(learner, pool, epochs=3, seed=0, device="cpu")


def one_view(learner, pool, seed, view):
    """Probabilities and features of one strong view, straight from the network."""
    pixels = strong((8, 8), flip=False)(
        to_pixels(pool.images(np.arange(len(pool)))), stream_seed(stream_seed(seed, "strong", view), 0)
    )
    network = learner.network.eval()
    with torch.no_grad():
        logits, features = network(learner.saved()["normalize"](pixels))
    return logits.softmax(dim=1).numpy(), features.numpy()


def test_everything_is_what_the_network_says(trained):
    pool, learner, history = trained
    seen = observe(learner, pool, seed=4, history=history)
    with torch.no_grad():
        logits, features = learner.network.eval()(learner.saved()["normalize"](to_pixels(pool.images(np.arange(60)))))
    probabilities = logits.double().softmax(dim=1).numpy()
    np.testing.assert_allclose(seen.probabilities, probabilities, atol=1e-5)
    np.testing.assert_allclose(seen.features, features, atol=1e-5)
    np.testing.assert_allclose(seen.losses, -np.log(probabilities[np.arange(60), pool.labels]), rtol=1e-3, atol=1e-5)
    assert seen.ids.tolist() == pool.ids.tolist()
    assert seen.labels.tolist() == pool.labels.tolist()
    assert np.array_equal(seen.correct, history.correct)
    assert np.array_equal(seen.margin, history.margin)
    assert seen.probabilities.dtype == seen.features.dtype == seen.strong_features.dtype == np.float32


def test_strong_views_are_averaged_and_seeded(trained):
    pool, learner, _ = trained
    views = [one_view(learner, pool, 4, view) for view in range(3)]
    seen = observe(learner, pool, seed=4, views=3)
    np.testing.assert_allclose(seen.strong_probabilities, np.mean([p for p, _ in views], axis=0), atol=1e-5)
    np.testing.assert_allclose(seen.strong_features, np.mean([f for _, f in views], axis=0), atol=1e-5)
    again = observe(learner, pool, seed=4, views=3)
    assert seen.strong_features.tobytes() == again.strong_features.tobytes()
    assert not np.array_equal(
        observe(learner, pool, seed=5).strong_features, observe(learner, pool, seed=4).strong_features
    )


def test_predict_takes_positions_in_their_order(trained):
    pool, learner, _ = trained
    everything, features = predict(learner, pool)
    some, their_features = predict(learner, pool, [5, 0, 33])
    np.testing.assert_allclose(some, everything[[5, 0, 33]], atol=1e-6)
    np.testing.assert_allclose(their_features, features[[5, 0, 33]], atol=1e-5)
    with pytest.raises(InputError, match="positions should be 0..59; 60 is not"):
        predict(learner, pool, [60])
    with pytest.raises(InputError, match="no image to predict"):
        predict(learner, pool, [])


def test_a_pool_with_unlabelled_images_is_observed_without_labels():
    full = blobs()
    labels = full.labels.copy()
    labels[7] = -1
    pool, learner = full.with_labels(labels), Standard()
    history = fit(learner, pool, epochs=1, seed=0, device="cpu")
    seen = observe(learner, pool, seed=0, strong=False, history=history)
    assert seen.columns == ("ids", "probabilities", "features")


def test_any_learner_can_be_observed():
    pool, learner = blobs(), TwoNetworks()
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    seen = observe(learner, pool, seed=0)
    both = [network(to_pixels(pool.images(np.arange(60)))).softmax(dim=1) for network in learner.networks.eval()]
    np.testing.assert_allclose(seen.probabilities, torch.stack(both).mean(dim=0).detach(), atol=1e-6)


def test_an_example_that_is_surely_wrong_has_a_finite_loss():
    pool, learner = blobs(), Standard(flip=False)
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    with torch.no_grad():
        learner.network.head.bias[0] += 500.0
    losses = observe(learner, pool, seed=0, strong=False).losses
    assert np.isfinite(losses).all()
    assert losses[pool.labels == 1].min() > 400


def test_what_does_not_fit_is_told(trained):
    pool, learner, history = trained
    with pytest.raises(InputError, match="views should be 1 or more; 0 came"):
        observe(learner, pool, seed=0, views=0)
    other = Pool.from_arrays(np.zeros((4, 8, 8), np.uint8), [0, 1, 2, 0])
    with pytest.raises(InputError, match="history is of 60 images, the pool has 4"):
        observe(learner, other, seed=0, history=history)
    holes = dataclasses.replace(history, margin=np.where(np.arange(60) == 3, np.nan, history.margin))
    with pytest.raises(InputError, match="did not show every image"):
        observe(learner, pool, seed=0, history=holes)
