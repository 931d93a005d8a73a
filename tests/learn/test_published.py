import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.published import LEARNERS, PUBLISHED, make_learner

# table 5.1: (learning rate, batch size, weight decay), then each learner's own
TRAINING = {
    "cifar10n": (0.02, 128, 5e-4),
    "cifar100n": (0.02, 128, 5e-4),
    "webvision": (0.02, 32, 5e-4),
    "clothing1m": (0.002, 32, 1e-3),
}
SOP = {"cifar10n": (0.9, 0.1, 10, 100), "cifar100n": (0.9, 0.1, 1, 100), "webvision": (0.1, 0, 0.1, 1)}
MIX = {"cifar10n": (1, 0.5, 0.5, 4, 2), "cifar100n": (1, 0.5, 0.5, 4, 2), "clothing1m": (0.1, 0.5, 0.5, 0.5, 2)}


@pytest.mark.parametrize("name", TRAINING)
def test_table_5_1_of_every_learner(name):
    for learner in ("ce", *PUBLISHED[name].own):
        asked = make_learner(learner, config=name).config()
        assert (asked["lr"], asked["batch_size"], asked["weight_decay"]) == TRAINING[name]
        assert (asked["momentum"], asked["nesterov"], asked["warmup"]) == (0.9, False, 0)
        assert asked["network"] == PUBLISHED[name].network


@pytest.mark.parametrize("name", SOP)
def test_table_5_1_of_sop(name):
    asked = make_learner("sop", config=name).config()
    assert tuple(asked[key] for key in ("consistency", "balance", "lr_u", "lr_v")) == SOP[name]


@pytest.mark.parametrize("name", MIX)
def test_table_5_1_of_dividemix(name):
    asked = make_learner("dividemix", config=name).config()
    assert tuple(asked[key] for key in ("lambda_u", "kappa", "temperature", "gamma", "views")) == MIX[name]


def test_schedules_and_epochs():
    epochs = {name: (one.warmup_epochs, one.epochs) for name, one in PUBLISHED.items()}
    assert epochs == {
        "cifar10n": (10, 300),
        "cifar100n": (30, 300),
        "webvision": (10, 100),
        "clothing1m": (1, 10),
        "imagenet-n": (10, 50),
    }
    halved = [name for name, one in PUBLISHED.items() if one.recipe["schedule"] == "halfway"]
    assert halved == ["webvision", "clothing1m"]


def test_single_values_take_the_place_of_published_ones():
    asked = make_learner("sop", config="cifar10n", network="small", lr_u=3.0, batch_size=16).config()
    assert (asked["network"], asked["lr_u"], asked["batch_size"], asked["lr"]) == ("small", 3.0, 16, 0.02)


@pytest.mark.parametrize("name", LEARNERS)
def test_without_a_configuration_the_house_decides(name):
    assert make_learner(name).config() == LEARNERS[name]().config()


def test_what_was_not_published_is_refused():
    with pytest.raises(UnknownName, match="no published configuration 'cifar10'. Did you mean 'cifar10n'"):
        make_learner("sop", config="cifar10")
    with pytest.raises(UnknownName, match="no learner published for webvision 'dividemix'"):
        make_learner("dividemix", config="webvision")
    with pytest.raises(InputError, match="lr and weight_decay should be 0 or more"):
        make_learner("ce", lr=-1)
