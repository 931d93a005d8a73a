import numpy as np
import pytest
import torch
from tests.learn.test_calibration import pool_with_ood
from torch.nn import functional

from goodgrain.data.pool import OOD
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import DivideMix, Standard, fit
from goodgrain.learn.detect import DETECTORS, NUDGE, foreign_purity, purity
from goodgrain.metrics import ood_metrics


@pytest.fixture(scope="module")
def trained():
    pool = pool_with_ood()
    own = pool.subset(np.flatnonzero(pool.labels != OOD))
    learner = Standard(flip=False, batch_size=16)
    fit(learner, own, epochs=6, seed=0, device="cpu")
    return learner, own, pool.subset(np.flatnonzero(pool.labels == OOD))


def plainly(learner, pool):
    learner.network.eval()
    with torch.no_grad():
        logits, features = learner.network(learner.normalize(to_pixels(pool.images(np.arange(len(pool))))))
    return logits, features


def test_scores_of_logits_are_torchs(trained):
    learner, own, _ = trained
    logits, _ = plainly(learner, own)
    expected = {
        "msp": logits.softmax(dim=1).max(dim=1).values,
        "max_logit": logits.max(dim=1).values,
        "energy": logits.logsumexp(dim=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(purity(learner, own, name), values, rtol=1e-5)


def test_react_cuts_at_the_90th_percentile_of_the_reference(trained):
    learner, own, strange = trained
    clip = np.quantile(plainly(learner, own)[1].numpy(), 0.9)
    _, features = plainly(learner, strange)
    with torch.no_grad():
        expected = learner.network.head(features.clamp(max=float(clip))).logsumexp(dim=1)
    np.testing.assert_allclose(purity(learner, strange, "react", reference=own), expected, rtol=1e-4)


def test_odin_moves_each_image_to_where_its_prediction_is_surer(trained):
    learner, own, _ = trained
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    found = purity(learner, own, "odin")
    learner.network.eval()
    for row in range(0, len(own), 11):
        pixels = to_pixels(own.images([row])).requires_grad_()
        logits = learner.network(learner.normalize(pixels))[0] / 1000
        functional.cross_entropy(logits, logits.argmax(dim=1)).backward()
        moved = pixels.detach() - NUDGE * pixels.grad.sign()
        with torch.no_grad():
            expected = (learner.network(learner.normalize(moved))[0] / 1000).softmax(dim=1).max()
        assert found[row] == pytest.approx(float(expected), rel=1e-6)
    assert all(torch.equal(before[name], value) for name, value in learner.network.state_dict().items())


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_gives_one_finite_number_per_image_in_any_order(name, trained):
    learner, own, strange = trained
    found = purity(learner, strange, name, reference=own)
    assert np.isfinite(found).all()
    order = np.random.default_rng(0).permutation(len(strange))
    np.testing.assert_allclose(
        purity(learner, strange.subset(order), name, reference=own), found[order], rtol=1e-4, atol=1e-6
    )


def test_distances_tell_strangers_apart():
    pool = pool_with_ood(n=240)  # more than the 96 features, and more of a class than the 50 neighbours
    own, strange = (pool.subset(np.flatnonzero(kind)) for kind in (pool.labels != OOD, pool.labels == OOD))
    learner = Standard(flip=False, batch_size=16)
    fit(learner, own, epochs=6, seed=0, device="cpu")
    for name in ("mahalanobis", "knn"):
        inside, outside = (purity(learner, pool, name, reference=own) for pool in (own, strange))
        assert ood_metrics(inside, outside)["auroc"] > 0.8


def test_a_foreign_detector_is_asked_in_batches_with_its_own_pixels(trained):
    _, own, _ = trained
    seen = []

    class Foreign:
        def predict(self, x):
            seen.append(len(x))
            return x.mean(dim=(1, 2, 3))

    found = foreign_purity(Foreign(), own, normalize=lambda pixels: 2 * pixels)
    expected = -2 * own.images(np.arange(len(own))).astype(np.float64).mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sum(seen) == len(own)

    class Broken:
        def predict(self, x):
            return x

    with pytest.raises(InputError, match="Broken should give one finite number per image"):
        foreign_purity(Broken(), own)


def test_refusals(trained):
    learner, own, _ = trained
    with pytest.raises(UnknownName, match="no purity score 'energi'. Did you mean 'energy'"):
        purity(learner, own, "energi")
    with pytest.raises(InputError, match="knn compares with the images that the model was trained on"):
        purity(learner, own, "knn")
    with pytest.raises(InputError, match="DivideMix has none, or several"):
        purity(DivideMix(), own, "msp")
