import dataclasses

import numpy as np
import pytest

from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError, UnknownName
from goodgrain.pipelines.monitor import Silent
from goodgrain.pipelines.train_config import TrainConfig
from goodgrain.pipelines.train_inputs import check_config, gather, named


def pool(n, seed=0, classes=2, prefix=""):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return Pool.from_arrays(images, np.arange(n) % classes, ids=[f"{prefix}{i}" for i in range(n)])


def gathered(own, sources, test=None, **asked):
    return gather(own, sources, test, TrainConfig(**asked), Silent())


def test_few_shot_draws_equally_and_holds_ood_images_back():
    images = gathered(pool(60), {"noise": pool(200, seed=1)}, few_shot=20)
    assert np.bincount(images.target.labels).tolist() == [10, 10]
    assert (images.train.labels == OOD).sum() == 20
    assert images.sources == {"noise": 20}
    assert images.held_back
    assert len(images.strangers) == 20  # a tenth of 200
    assert not set(images.strangers.ids.tolist()) & set(images.train.ids.tolist())


def test_too_few_ood_images_are_all_trained_on_and_measured_on():
    images = gathered(pool(20), {"noise": pool(10, seed=1)})
    assert not images.held_back
    assert set(images.strangers.ids.tolist()) == {f"ood/noise/{i}" for i in range(10)}


def test_copies_of_the_target_are_left_out_and_told():
    own = pool(40)
    strange = pool(60, seed=1)
    pixels = strange.images(np.arange(60))
    pixels[7] = own.images([3])[0]
    images = gathered(own, {"noise": Pool.from_arrays(pixels, np.zeros(60, int))})
    source, found = images.copies["noise"]
    assert found.positions.tolist() == [7]
    assert found.originals.tolist() == [3]
    assert len(source) == 60
    assert "ood/noise/7" not in set(images.train.ids.tolist()) | set(images.strangers.ids.tolist())
    with pytest.raises(InputError, match="all 40 OOD images of own are copies of the target's own"):
        gathered(own, {"own": own})


def test_copies_of_images_that_were_not_drawn_and_of_test_images_are_left_out_too():
    own, test = pool(40), pool(30, seed=2, prefix="t")
    few = gathered(own, {"noise": pool(60, seed=1)}, few_shot=4)
    spare = [i for i in range(40) if str(i) not in set(few.target.ids.tolist())][:5]
    pixels = pool(60, seed=1).images(np.arange(60))
    pixels[10:15], pixels[20:23] = own.images(spare), test.images([1, 2, 3])
    sets = {"noise": Pool.from_arrays(pixels, np.zeros(60, int))}
    for asked in ({}, {"learner": "mixmatch"}):
        images = gathered(own, sets, test, few_shot=4, **asked)
        found = images.copies["noise"][1]
        assert found.positions.tolist() == [10, 11, 12, 13, 14, 20, 21, 22]
        assert images.own.ids[found.originals].tolist() == [*map(str, spare), "(test) t1", "(test) t2", "(test) t3"]
        there = {int(one.rpartition("/")[2]) for one in images.train.ids.tolist() if one.startswith("ood/")}
        there |= {int(one.rpartition("/")[2]) for one in images.strangers.ids.tolist()}
        assert not there & set(found.positions.tolist())


def test_answers_none_of_these_are_ood_images():
    own = pool(40)
    labels = own.labels.copy()
    labels[30:] = OOD
    images = gathered(own.with_labels(labels), {}, few_shot=10, ood_count=8)
    assert images.sources == {"answers": 8}
    assert set(images.target.ids.tolist()) <= {str(i) for i in range(30)}


def test_a_set_called_answers_stays_beside_the_answers():
    own = pool(40)
    labels = own.labels.copy()
    labels[30:] = OOD
    images = gathered(own.with_labels(labels), {"answers": pool(25, seed=1)})
    assert images.sources == {"answers": 25, "answers-2": 10}


def test_what_is_held_back_never_makes_a_draw_fail():
    sets = {"small": pool(15, seed=1), "large": pool(300, seed=2)}
    images = gathered(pool(60), sets, few_shot=30, ood_weights={"small": 1, "large": 1})
    assert images.sources == {"small": 15, "large": 15}
    assert images.held_back
    assert len(images.strangers) == 29  # a tenth of 315, less the one that the small set cannot spare
    assert all(one.startswith("ood/large/") for one in images.strangers.ids.tolist())


def test_too_few_to_measure_on_are_not_held_back():
    few = gathered(pool(60), {"noise": pool(150, seed=1)})
    assert not few.held_back
    assert few.sources == {"noise": 150}
    spared = gathered(pool(60), {"noise": pool(50, seed=1)}, few_shot=10)
    assert (spared.held_back, len(spared.strangers)) == (True, 20)


def test_boxes_are_drawn_where_they_are_known():
    boxes = np.full((40, 4), np.nan)
    boxes[::4] = [0.1, 0.1, 0.5, 0.5]
    own = dataclasses.replace(pool(40), boxes=boxes)
    for labels in (own.labels, np.full(40, UNLABELED)):
        images = gathered(own.with_labels(labels), {"noise": pool(50, seed=1)}, task="box", few_shot=6)
        assert len(images.target) == 6
        assert np.isfinite(images.target.boxes).all()
    with pytest.raises(InputError, match="asks for 11 images with a box, and there are 10"):
        gathered(own.with_labels(np.full(40, UNLABELED)), {"noise": pool(50, seed=1)}, task="box", few_shot=11)
    none = dataclasses.replace(own, boxes=np.full((40, 4), np.nan))
    with pytest.raises(InputError, match="at least 2 images with a known box; there are 0"):
        gathered(none, {"noise": pool(50, seed=1)}, task="box")


def test_mixmatch_keeps_the_other_images_without_their_labels():
    images = gathered(pool(60), {"noise": pool(50, seed=1)}, few_shot=12, learner="mixmatch")
    labels = images.train.labels
    assert (labels >= 0).sum() == 12
    assert (labels == UNLABELED).sum() == 48
    assert len(images.target) == 12
    some = pool(60).with_labels(np.where(np.arange(60) < 20, pool(60).labels, UNLABELED))
    images = gathered(some, {"noise": pool(50, seed=1)}, learner="mixmatch")
    assert sorted(map(int, images.target.ids.tolist())) == list(range(20))
    assert (images.train.labels == UNLABELED).sum() == 40
    with pytest.raises(InputError, match=r"there are none. Give few_shot \(--few-shot\), fewer than 60"):
        gathered(pool(60), {"noise": pool(50, seed=1)}, learner="mixmatch")


def test_the_same_seed_draws_the_same_images_for_any_method():
    first, second = (
        gathered(pool(60), {"noise": pool(90, seed=1)}, few_shot=10, method=method) for method in ("taufe", "oat")
    )
    assert first.train.ids.tolist() == second.train.ids.tolist()
    other = gathered(pool(60), {"noise": pool(90, seed=1)}, few_shot=10, seed=1)
    assert first.train.ids.tolist() != other.train.ids.tolist()


def test_names_of_sources():
    one, two = pool(2), pool(3)
    assert list(named([one, two, "a/svhn.mat", "b/cifar#test"])) == ["ood", "ood-2", "svhn", "cifar"]
    assert named({"mine": one}) == {"mine": one}
    assert named(None) == {}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"task": "box", "method": "oat"}, "a box regression predicts no classes"),
        ({"task": "wsol", "learner": "mixmatch", "few_shot": 5}, "learner mixmatch is for task classify"),
        ({"few_shot": 0}, "few_shot should be a whole number, at least 2; 0 came"),
        ({"weight": -1.0}, "weight should be 0 or more"),
        ({"epochs": 0}, "epochs should be a whole number, at least 1"),
        ({"lr": 0.0}, "lr should be above 0"),
        ({"method": "standard", "weight": 5.0}, "standard training has no penalty for weight to weigh"),
        ({"method": "oat", "layer": "maps"}, "layer is of method taufe, and oat and standard is asked"),
        ({"method": "oat", "penalty": "relative"}, "penalty is of method taufe"),
    ],
)
def test_refusals_of_the_configuration(asked, sentence):
    with pytest.raises(InputError, match=sentence):
        TrainConfig(**asked)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownName, match="no task 'boxes'. Did you mean 'box'"):
        TrainConfig(task="boxes")
    with pytest.raises(UnknownName, match="no argument of train 'fewshot'. Did you mean 'few_shot'"):
        check_config({"fewshot": 5})
    with pytest.raises(InputError, match="taufe needs out-of-distribution images, and none were given"):
        gathered(pool(20), {})
    with pytest.raises(InputError, match="class '0' has 10 labelled ones"):
        gathered(pool(20), {"noise": pool(50, seed=1)}, few_shot=24)
    with pytest.raises(InputError, match=r"few_shot \(--few-shot\) is 2, and there are 4 classes"):
        gathered(pool(20, classes=4), {"noise": pool(50, seed=1)}, few_shot=2)
    with pytest.raises(InputError, match=r"30 OOD images, as many as labelled images \(--few-shot\), and there are 3"):
        gathered(pool(60), {"noise": pool(3, seed=1)}, few_shot=30)
    with pytest.raises(InputError, match=r"40 OOD images, by ood_count \(--ood-count\), and there are 3"):
        gathered(pool(60), {"noise": pool(3, seed=1)}, few_shot=30, ood_count=40)


def test_a_recipe_brings_its_network_and_weight():
    asked = check_config({"recipe": "imagenet10"})
    assert (asked.model, asked.epochs, asked.statistics) == ("resnet50", 200, "shared")
    assert asked.calibration("taufe").strength == 0.01
    for given in (
        {"weight": None},
        {"method": "oat", "compare": ("taufe",)},
        {"method": "standard", "compare": ("taufe",)},
    ):
        assert check_config({"recipe": "imagenet10", **given}).calibration("taufe").strength == 0.01
    assert check_config({"recipe": "imagenet10", "weight": 0.3}).calibration("taufe").strength == 0.3
    assert check_config({"recipe": "imagenet10", "weight": 0.3}).calibration("standard").strength == 0.0
    assert check_config({"recipe": "imagenet10", "epochs": 3}).epochs == 3
    assert check_config({"recipe": "cifar", "method": "oat"}).calibration("oat").strength == 1.0


def test_standard_training_needs_no_ood_images():
    images = gathered(pool(20), {}, method="standard")
    assert images.strangers is None
    assert images.train is images.target


def test_boxes_come_along():
    own = dataclasses.replace(pool(20), boxes=np.tile([0.1, 0.1, 0.5, 0.5], (20, 1)))
    images = gathered(own, {"noise": pool(30, seed=1)}, task="box")
    assert np.isnan(images.train.boxes[20:]).all()
    assert np.isfinite(images.train.boxes[:20]).all()
