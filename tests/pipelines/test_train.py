import dataclasses
import json
import tomllib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

import goodgrain
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import GoodgrainError, InputError, UnknownName
from goodgrain.learn.attack import adversarial_accuracy
from goodgrain.learn.localize import cam_boxes
from goodgrain.metrics import mean_iou
from pictures import encoded


def images(n, seed=0, size=16, classes=2, brightness=0):
    """Two classes that differ in the bright half, at a brightness of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    pixels = rng.integers(0, 100, (n, size, size, 3)) + brightness
    pixels[labels == 0, : size // 2] += 100
    pixels[labels == 1, size // 2 :] += 100
    names = ["up", "down"][:classes]
    return Pool.from_arrays(pixels.astype(np.uint8), labels, classes=names, ids=[f"{seed}-{i}" for i in range(n)])


def strangers(n=90, seed=5, size=16):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(150, 256, (n, size, size, 3), dtype=np.uint8)
    return Pool.from_arrays(pixels, np.zeros(n, int))


def boxed(pool):
    return dataclasses.replace(pool, boxes=np.tile(np.float32([0.1, 0.1, 0.9, 0.5]), (len(pool), 1)))


def flat(*, classes, channels=3):
    """A network without maps."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * 16 * channels, 8), nn.ReLU(), nn.Linear(8, classes))


def dotted(name):
    return f"{__name__}:{name}"


ASKED = {"epochs": 2, "flip": False, "device": "cpu", "batch_size": 16}


def test_a_run_leaves_models_numbers_and_a_report(tmp_path):
    run = goodgrain.train(
        images(64), ood={"bright": strangers()}, test=images(40, seed=1), output=tmp_path / "run", few_shot=32,
        compare=("standard", "oat"), repeats=2, **ASKED,
    )  # fmt: skip
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found == run.metrics
    assert [one["method"] for one in found["methods"]] == ["taufe", "standard", "oat"]
    assert [one["weight"] for one in found["methods"]] == [1.0, 0.0, 1.0]
    for one in found["methods"]:
        assert len(one["accuracy"]) == 2
        assert one["accuracy_mean"] == pytest.approx(np.mean(one["accuracy"]))
        assert one["accuracy_std"] == pytest.approx(np.std(one["accuracy"], ddof=1))
        assert 0 <= one["msp_auroc_mean"] <= 1
    assert found["ood"] == {"bright": 32}
    assert found["target"] == 32
    assert found["ood_held_back"]
    page = run.report.read_text()
    assert "taufe" in page
    assert "oat" in page
    model = goodgrain.load(tmp_path / "run")  # of several, the run's own method
    agreed = (model.predict(images(40, seed=1)) == np.array(["up", "down"])[images(40, seed=1).labels]).mean()
    assert agreed == pytest.approx(found["methods"][0]["accuracy"][0])
    asked = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert asked["train"]["few_shot"] == 32
    assert asked["job"] == "train"


def test_the_same_call_twice_trains_once_and_another_call_is_refused(tmp_path):
    asked = {"ood": strangers(), "test": images(20, seed=1), "output": tmp_path / "run", **ASKED}
    first = goodgrain.train(images(48), **asked)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").iterdir()}
    again = goodgrain.train(images(48), **asked)
    assert again.metrics == first.metrics
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").iterdir()}
    with pytest.raises(InputError, match="holds another run: its train.weight is nothing, this one asks for 0.5"):
        goodgrain.train(images(48), **asked, weight=0.5)


def test_every_method_starts_from_the_same_weights_and_sees_the_same_batches(tmp_path):
    run = goodgrain.train(
        images(48), ood=strangers(), test=images(20, seed=1), output=tmp_path / "run", weight=0.0, **ASKED
    )
    taufe, standard = run.metrics["methods"]
    assert taufe["accuracy"] == standard["accuracy"]
    assert taufe["activation"] == standard["activation"]
    first, second = ((tmp_path / "run" / "models" / f"{name}-0.safetensors") for name in ("taufe", "standard"))
    one, other = goodgrain.load(first), goodgrain.load(second)
    shown = images(20, seed=1)
    assert np.array_equal(one.probabilities(shown), other.probabilities(shown))


class Single:
    """A loaded model with one network, as a classifier that `cam_boxes` takes."""

    def __init__(self, model):
        self.normalize, self.network = model.networks.members[0]
        self.device = model.device


def test_box_regression_and_localisation(tmp_path):
    boxes = np.where(np.arange(64)[:, None] % 2 == 0, [[0, 0, 1, 0.5]], [[0, 0.5, 1, 1]]).astype(np.float32)
    train = dataclasses.replace(images(64), boxes=boxes)
    test = dataclasses.replace(images(40, seed=1), boxes=boxes[:40])
    box = goodgrain.train(train, ood=strangers(), test=test, output=tmp_path / "box", task="box", **ASKED)
    assert 0 <= box.metrics["methods"][0]["mean_iou_mean"] <= 1
    regression = goodgrain.load(tmp_path / "box")
    told = regression.boxes(test)
    assert mean_iou(told, test.boxes) == pytest.approx(box.metrics["methods"][0]["mean_iou"][0])
    np.testing.assert_array_equal(told[:3], regression.boxes(test.images(np.arange(3))))
    assert regression.infer(torch.zeros(2, 3, 16, 16))[0].shape == (2, 0)
    for ask in (regression.predict, regression.probabilities):
        with pytest.raises(InputError, match="this model tells boxes and no classes. Ask for boxes"):
            ask(test)
    with pytest.raises(InputError, match="this model tells boxes and no classes"):
        regression.to_onnx(tmp_path / "boxes.onnx")
    wsol = goodgrain.train(train, ood=strangers(), test=test, output=tmp_path / "wsol", task="wsol", **ASKED)
    assert {"gt_known_loc", "accuracy"} <= wsol.metrics["methods"][0].keys()
    classifier = goodgrain.load(tmp_path / "wsol")
    names = classifier.predict(test)
    as_predicted = test.with_labels(np.array([["up", "down"].index(name) for name in names]))
    np.testing.assert_allclose(classifier.boxes(test), cam_boxes(Single(classifier), as_predicted))
    with pytest.raises(InputError, match="task box learns from boxes, and the data has none"):
        goodgrain.train(images(64), ood=strangers(), output=tmp_path / "none", task="box", **ASKED)
    with pytest.raises(InputError, match="no test image has a known box"):
        goodgrain.train(train, ood=strangers(), test=images(9), output=tmp_path / "none", task="wsol", **ASKED)


def test_boxes_are_learned_without_labels(tmp_path):
    """And the same: classes say nothing about boxes."""
    corners = np.tile([2, 2, 12, 8], (40, 1))
    test = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", x=test, y=np.full(20, 7), boxes=corners[:20])  # classes that the data lacks
    found = []
    for name, told in (("bare", {}), ("labelled", {"y": np.arange(40) % 2})):
        pixels = images(40).images(np.arange(40))
        np.savez(tmp_path / f"{name}.npz", x=pixels, boxes=corners, **told)
        run = goodgrain.train(
            tmp_path / f"{name}.npz",
            ood=strangers(),
            test=tmp_path / "test.npz",
            output=tmp_path / name,
            task="box",
            **ASKED,
        )
        found.append(run.metrics["methods"][0]["mean_iou"])
    assert found[0] == found[1]


def test_mixmatch_and_adversarial_training_take_ood_images_too(tmp_path):
    for learner in ("mixmatch", "adversarial"):
        run = goodgrain.train(
            images(64), ood=strangers(), test=images(20, seed=1), output=tmp_path / learner, learner=learner,
            few_shot=16, **{**ASKED, "epochs": 1},
        )  # fmt: skip
        assert run.metrics["learner"] == learner


def test_mixmatch_takes_images_without_a_label(tmp_path):
    pool = images(64)
    told = [pool.classes[label] if i < 16 else None for i, label in enumerate(pool.labels.tolist())]
    pixels = [encoded(Image.fromarray(image)) for image in pool.images(np.arange(64))]
    pq.write_table(pa.table({"image": pixels, "label": told}), tmp_path / "photos.parquet")
    asked = {**ASKED, "epochs": 1, "ood": strangers(), "test": images(20, seed=1)}
    with pytest.raises(InputError, match=r"48 of 64 images .75.0%. cannot be used"):
        goodgrain.train(tmp_path / "photos.parquet", output=tmp_path / "plain", **asked)
    found = [
        goodgrain.train(data, output=tmp_path / name, learner="mixmatch", **asked).metrics["methods"][0]["accuracy"]
        for name, data in (
            ("read", tmp_path / "photos.parquet"),
            ("given", pool.with_labels(np.where(np.arange(64) < 16, pool.labels, UNLABELED), classes=pool.classes)),
        )
    ]
    assert found[0] == found[1]


def test_copies_are_told_and_answers_of_a_labelling_run_serve_as_ood(tmp_path):
    own = images(64)
    labels = own.labels.copy()
    labels[40:] = OOD
    pixels = strangers().images(np.arange(90))
    pixels[3] = own.images([0])[0]
    run = goodgrain.train(
        own.with_labels(labels), ood={"mixed": Pool.from_arrays(pixels, np.zeros(90, int))}, output=tmp_path / "run",
        test=images(20, seed=1), **ASKED,
    )  # fmt: skip
    assert run.metrics["ood_copies_left_out"] == {"mixed": 1}
    assert run.metrics["ood"]["answers"] > 0


def test_standard_training_alone_needs_no_ood_images(tmp_path):
    run = goodgrain.train(images(32), test=images(20, seed=1), output=tmp_path, method="standard", compare=(), **ASKED)
    assert [one["method"] for one in run.metrics["methods"]] == ["standard"]
    assert run.metrics["ood_measured_on"] is None
    assert run.report.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ood": None}, "taufe needs out-of-distribution images"),
        ({"few_shot": 500}, "has 24 labelled ones"),
        ({"test": images(9, size=8)}, "the test images come as"),
        ({"method": "oat", "task": "box"}, "a box regression predicts no classes"),
    ],
)
def test_refusals_come_before_any_training(change, sentence, tmp_path):
    asked = {"ood": strangers(), "test": images(20, seed=1), "output": tmp_path / "run", **ASKED, **change}
    with pytest.raises(InputError, match=sentence):
        goodgrain.train(images(48), **asked)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_comparing_ood_sets_ranks_them(tmp_path):
    flat = Pool.from_arrays(np.full((60, 16, 16, 3), 128, np.uint8), np.zeros(60, int))
    found = goodgrain.compare_ood(
        images(64), {"flat": flat, "like the target": images(60, seed=7)}, output=tmp_path / "run", epochs=3,
        flip=False, device="cpu", batch_size=16,
    )  # fmt: skip
    assert [one.name for one in found.candidates] == ["like the target", "flat"]
    assert found.candidates[1].shared == 0.0
    assert found.lines()[0].startswith("1. like the target: shares")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["candidates"][0]["name"] == "like the target"
    assert "like the target" in found.report.read_text()
    with pytest.raises(InputError, match="comparing needs at least 2 OOD sets; 1 came"):
        goodgrain.compare_ood(images(64), strangers(), output=tmp_path / "other")


def test_comparing_ood_sets_leaves_the_targets_own_images_out(tmp_path):
    own, like = images(64), images(60, seed=7)
    mixed = np.concatenate([own.images(np.arange(40)), like.images(np.arange(60))])
    sets = {"mixed": Pool.from_arrays(mixed, np.zeros(100, int)), "strange": strangers()}
    asked = {"epochs": 2, "flip": False, "device": "cpu", "batch_size": 16}
    found = goodgrain.compare_ood(own, sets, output=tmp_path / "run", few_shot=20, **asked)
    (mixed_found,) = [one for one in found.candidates if one.name == "mixed"]
    assert (mixed_found.images, mixed_found.copies) == (60, 40), "of all the target's images, not of the few drawn"
    assert "(60 images, 40 of the target's own left out)" in "".join(found.lines())
    with pytest.raises(InputError, match="all 64 OOD images of own are copies of the target's own"):
        goodgrain.compare_ood(own, {"own": own, "strange": strangers()}, output=tmp_path / "no", **asked)
    with pytest.raises(UnknownName, match="no argument of compare_ood 'epoch'"):
        goodgrain.compare_ood(own, sets, output=tmp_path / "no", epoch=1)
    with pytest.raises(UnknownName, match="no argument of compare_ood 'method'"):
        goodgrain.compare_ood(own, sets, output=tmp_path / "no", method="taufe")
    with pytest.raises(InputError, match="there is only one class"):
        one = Pool.from_arrays(own.images(np.arange(40)), np.zeros(40, int))
        goodgrain.compare_ood(one, {"a": strangers(), "b": strangers(seed=6)}, output=tmp_path / "no", **asked)
    assert not (tmp_path / "no").exists()


def test_a_recipe_counts_in_a_comparison_too(tmp_path):
    sets = {"one": strangers(), "two": strangers(seed=6)}
    goodgrain.compare_ood(images(20), sets, output=tmp_path / "run", recipe="cifar", epochs=1, device="cpu")
    asked = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["train"]
    assert (asked["model"], asked["epochs"], asked["statistics"]) == ("resnet18", 1, "shared")


def test_a_test_set_of_one_class_has_no_pairs_of_classes(tmp_path):
    test = images(40, seed=1)
    test = test.subset(np.flatnonzero(test.labels == 0))
    run = goodgrain.train(images(48), ood=strangers(), test=test, output=tmp_path / "run", **ASKED)
    assert "class_cosine" not in run.metrics["methods"][0]
    assert 0 <= run.metrics["methods"][0]["accuracy"][0] <= 1
    assert run.report.exists()


def test_adversarial_training_tells_accuracy_under_attack(tmp_path):
    test = images(40, seed=1)
    run = goodgrain.train(
        images(48), ood=strangers(), test=test, output=tmp_path / "run", learner="adversarial", **ASKED
    )
    assert run.metrics["adversarial_images"] == 40
    for one in run.metrics["methods"]:
        assert one["adversarial_accuracy"][0] <= one["accuracy"][0]
    network = goodgrain.load(tmp_path / "run", which="standard-0").networks.members[0].eval()
    expected = adversarial_accuracy(lambda pixels: network(pixels)[0], test, seed=0)
    assert run.metrics["methods"][1]["adversarial_accuracy"] == [expected]


def test_a_training_that_diverged_says_so(tmp_path):
    with pytest.raises(
        GoodgrainError, match=r"(diverged: its last loss is|became NaN or infinite).*lower learning rate"
    ):
        goodgrain.train(
            images(48), ood=strangers(), test=images(20, seed=1), output=tmp_path / "run", model=dotted("flat"),
            **{**ASKED, "lr": 3000.0, "epochs": 4},
        )  # fmt: skip


def test_what_cannot_tell_where_it_looks_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match="does not tell where it looks"):
        goodgrain.train(
            images(48), ood=strangers(), test=boxed(images(20, seed=1)), output=tmp_path / "run", task="wsol",
            model=dotted("flat"), **ASKED,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_refused_call_leaves_no_folder_and_the_corrected_one_runs(tmp_path):
    for wrong in (
        {},
        {"ood": strangers(), "few_shot": 1000},
        {"ood": strangers(), "ood_weights": {"noise": 2.0}},
        {"ood": strangers(), "model": "resnet19"},
        {"ood": strangers(), "model": dotted("flat"), "layer": "maps"},
        {"ood": strangers(), "learner": "mixmatch", "few_shot": 48},
    ):
        with pytest.raises(GoodgrainError):
            goodgrain.train(images(48), test=images(20, seed=1), output=tmp_path / "run", **{**ASKED, **wrong})
        assert not (tmp_path / "run").exists()
    goodgrain.train(images(48), test=images(20, seed=1), ood=strangers(), output=tmp_path / "run", **ASKED)
