import numpy as np
import torch
from tests.learn.test_calibration import pool_with_ood, same, weights
from tests.learn.toys import blobs

from goodgrain.data.pool import OOD
from goodgrain.learn import Standard, fit
from goodgrain.learn.attack import adversarial_accuracy, logits_of
from goodgrain.learn.learners.adversarial import Adversarial
from goodgrain.learn.learners.calibration import Calibration


def trained(learner, pool, epochs=3):
    fit(learner, pool, epochs=epochs, seed=0, device="cpu")
    return learner


def test_no_radius_is_standard_training_to_the_bit():
    pool = blobs(60)
    plain = trained(Standard(flip=False, batch_size=16), pool)
    attacked = trained(Adversarial(radius=0.0, steps=2, flip=False, batch_size=16), pool)
    assert same(weights(plain), weights(attacked))


def test_withstands_attacks_better_than_standard_training():
    # the classes' means are 18 levels apart: an attack of 8 levels cannot close that, but it fools who looks at details
    rng = np.random.default_rng(0)
    pool = blobs(96, classes=2, seed=1)
    images = (110 + 18 * pool.labels[:, None, None] + rng.integers(-20, 20, (96, 8, 8))).astype(np.uint8)
    pool = type(pool).from_arrays(images, pool.labels)
    reached = {}
    for name, learner in {
        "standard": Standard(flip=False, batch_size=16),
        "adversarial": Adversarial(steps=5, flip=False, batch_size=16),
    }.items():
        reached[name] = adversarial_accuracy(
            logits_of(trained(learner, pool, epochs=12)), pool, steps=20, radius=8 / 255
        )
    assert reached["adversarial"] > reached["standard"] + 0.1


def test_weight_0_of_ood_images_changes_nothing_and_a_weight_does():
    pool = pool_with_ood()
    alone = pool.subset(np.flatnonzero(pool.labels != OOD))
    asked = {"steps": 2, "flip": False, "batch_size": 16}
    expected = weights(trained(Adversarial(**asked), alone))
    assert same(expected, weights(trained(Adversarial(**asked, ood=Calibration(weight=0.0)), pool)))
    assert not same(expected, weights(trained(Adversarial(**asked, ood=Calibration()), pool)))


def test_running_statistics_come_from_one_pass_a_step():
    pool = blobs(32)
    learner = trained(Adversarial(steps=3, flip=False, batch_size=16), pool, epochs=1)
    counts = [value for name, value in learner.network.state_dict().items() if "num_batches" in name]
    assert counts
    assert all(int(count) == 2 for count in counts)
    assert isinstance(learner.config()["attack_radius"], float)
    assert torch.isfinite(learner.infer(torch.rand(2, 1, 8, 8))[0]).all()
