import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.learners.calibration import Calibration
from goodgrain.learn.published_ood import CALIBRATED, CALIBRATED_LEARNERS, make_calibrated


def test_the_configuration_of_section_331():
    asked = make_calibrated("ce", Calibration(), config="cifar").config()
    wanted = {
        "network": "resnet18",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 5e-4,
        "batch_size": 32,  # 64 with as many OOD images
        "schedule": "steps",
        "warmup": 0.0,
        "ood_method": "taufe",
        "ood_weight": 0.1,
    }
    assert wanted.items() <= asked.items()
    assert CALIBRATED["cifar"].epochs == 200
    assert CALIBRATED["imagenet10"].weight == 0.01


def test_the_configuration_of_section_334():
    asked = make_calibrated("mixmatch", config="cifar").config()
    assert (asked["lambda_u"], asked["temperature"], asked["views"], asked["alpha"]) == (100.0, 0.5, 2, 0.75)
    assert asked["ramp"] * 1024 * asked["steps"] == pytest.approx(16_000)  # of 1,024 epochs


def test_the_configuration_of_section_335():
    asked = make_calibrated("adversarial", config="cifar").config()
    assert asked["attack_steps"] == 7
    assert asked["attack_radius"] == pytest.approx(8 / 255)
    assert asked["attack_step"] == pytest.approx(2 / 255)


@pytest.mark.parametrize("name", CALIBRATED_LEARNERS)
def test_every_learner_takes_taufe_and_single_values(name):
    asked = make_calibrated(name, Calibration(weight=0.3), config="cifar", lr=0.7).config()
    assert (asked["ood_weight"], asked["lr"], asked["network"]) == (0.3, 0.7, "resnet18")
    assert "ood_method" not in make_calibrated(name).config()


def test_refusals():
    with pytest.raises(InputError, match="a box regression predicts no classes"):
        make_calibrated("boxes", Calibration(method="oat"))
    with pytest.raises(UnknownName, match="no learner 'mixmach'. Did you mean 'mixmatch'"):
        make_calibrated("mixmach")
    with pytest.raises(UnknownName, match="no published configuration 'cifa'. Did you mean 'cifar'"):
        make_calibrated("ce", config="cifa")
