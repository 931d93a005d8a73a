"""What the answers train: the head beside scikit-learn itself, and what answers "none of these" do to a network."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.pipelines.label_toys import seen_as
from threadpoolctl import threadpool_limits

import goodgrain
from conftest import shapes
from goodgrain.data.pool import OOD, UNLABELED
from goodgrain.errors import InputError
from goodgrain.learn import predict
from goodgrain.learn.detect import DETECTORS, purity
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_space import Space
from goodgrain.pipelines.label_targets import HeadTarget, NetworkTarget
from goodgrain.pipelines.monitor import Silent
from goodgrain.scores import energy

POOL, TEST = shapes(48, 0), shapes(30, 1)
NAMES = ("lying", "standing")


def of_two(labels, strange=2):
    """The first 24 answered; the third kind is none of the classes."""
    answered = np.where(labels == strange, OOD, labels)
    answered[24:] = UNLABELED
    return answered


def head(labels, classes, x=None, test=None, **config):
    x = seen_as(POOL) if x is None else x
    asked = LabelConfig(target="head", **config)
    target = HeadTarget(Space.of(x), test, tuple("abcdefgh"[:classes]), asked)
    target.train(labels, 0, None)
    return target


def by_sklearn(x, labels):
    scaled, rows = StandardScaler().fit_transform(x).astype(np.float32), np.flatnonzero(labels >= 0)
    return scaled, LogisticRegression(C=0.1, max_iter=1000).fit(scaled[rows], labels[rows])


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_a_logistic_regression(classes):
    x, labels = seen_as(POOL), np.arange(48) % classes
    labels[30:] = UNLABELED
    columns = head(labels, classes).columns()
    scaled, fitted = by_sklearn(x, labels)
    np.testing.assert_allclose(columns["probabilities"], fitted.predict_proba(scaled), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(columns["features"], scaled)


@pytest.mark.parametrize("named", [(1, 3), (0, 2, 3)])
def test_a_class_without_an_answer_has_no_probability(named):
    labels = np.full(48, UNLABELED)
    labels[:24] = np.array(named)[np.arange(24) % len(named)]
    found = head(labels, 5).columns()["probabilities"]
    scaled, fitted = by_sklearn(seen_as(POOL), labels)
    np.testing.assert_allclose(found[:, list(named)], fitted.predict_proba(scaled), rtol=1e-5, atol=1e-7)
    assert not found[:, [k for k in range(5) if k not in named]].any()


def test_ood_is_one_more_class_of_the_head_and_answers_are_among_the_others():
    labels = of_two(POOL.labels)
    test = (Space.of(seen_as(TEST)), TEST.labels)
    target = head(labels, 2, ood_answers="class", test=(test[0], np.where(TEST.labels == 2, 0, TEST.labels)))
    scaled, fitted = by_sklearn(seen_as(POOL), np.where(labels == OOD, 2, labels))
    three = fitted.predict_proba(scaled)
    own = three[:, :2] / three[:, :2].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(target.columns()["probabilities"], own, rtol=1e-4)
    plain = head(labels, 2).columns()["probabilities"]
    assert np.abs(plain - own).max() > 0.01
    none_yet = np.where(labels == OOD, UNLABELED, labels)
    same = head(none_yet, 2, ood_answers="class").columns()["probabilities"]
    np.testing.assert_array_equal(same, head(none_yet, 2).columns()["probabilities"])


def test_the_head_on_test_images():
    labels, x = of_two(POOL.labels), seen_as(POOL)
    assert head(labels, 2).accuracy() is None
    rows = np.flatnonzero(TEST.labels < 2)
    others = seen_as(TEST, noise=2.0)[rows]
    target = head(labels, 2, test=(Space.of(others), TEST.labels[rows]))
    scaler = StandardScaler().fit(x)
    expected = by_sklearn(x, labels)[1].score(scaler.transform(others).astype(np.float32), TEST.labels[rows])
    assert target.accuracy() == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_purity_by_the_head():
    labels = of_two(POOL.labels)
    target = head(labels, 3)  # of the third class nobody has said anything
    probabilities = target.columns()["probabilities"]
    np.testing.assert_allclose(target.purity("msp"), probabilities.max(axis=1))
    scaled, fitted = by_sklearn(seen_as(POOL), labels)
    half = fitted.decision_function(scaled) / 2
    np.testing.assert_allclose(target.purity("energy"), energy(np.stack([-half, half], axis=1)), rtol=1e-5)


def test_the_head_has_the_same_bits_on_any_number_of_threads(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(4000, 64)).astype(np.float32), rng.integers(0, 4, 4000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            target = head(labels, 4, x)
            target.save(tmp_path / f"{threads}.safetensors")
            found.append(target.columns()["probabilities"])
    np.testing.assert_array_equal(*found)
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_a_saved_head_holds_all_that_is_needed(tmp_path):
    labels, x = of_two(POOL.labels), seen_as(POOL)
    target = head(labels, 3, x)
    path = tmp_path / "head.safetensors"
    target.save(path)
    kept = load_file(path)
    logits = (x - kept["mean"]) / kept["scale"] @ kept["weight"].T + kept["bias"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), target.columns()["probabilities"], rtol=1e-4)
    with pytest.raises(InputError, match=r"is the head of a labelling run: it knows embeddings, and no images. Read"):
        goodgrain.load(path)


def network(folder, labels, test=TEST, **config):
    options = {"steps": 12, "flip": False, "encoder": "none", **config}
    kept = test.subset(np.flatnonzero(test.labels < 2))
    target = NetworkTarget(
        POOL, kept.with_labels(kept.labels, classes=NAMES), NAMES, LabelConfig(**options), "cpu", Silent()
    )
    target.train(labels, 0, folder / "checkpoint.pt")
    return target, kept


@pytest.mark.parametrize("ood_answers", ["none", "class", "taufe"])
@pytest.mark.parametrize("strange", [True, False])
@pytest.mark.parametrize("strategy", ["mqnet", "ll"])
def test_what_a_network_makes_of_ood_answers(tmp_path, ood_answers, strange, strategy):
    labels = of_two(POOL.labels)
    labels = labels if strange else np.where(labels == OOD, UNLABELED, labels)
    target, kept = network(tmp_path, labels, ood_answers=ood_answers, strategy=strategy)
    columns = target.columns()
    full = predict(target._learner, POOL)[0]
    assert full.shape[1] == (3 if ood_answers == "class" and strange else 2)
    own = full[:, :2] / full[:, :2].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(columns["probabilities"], own, rtol=1e-5)
    assert ("predicted_losses" in columns) == (strategy == "ll")
    on_test = predict(target._learner, kept)[0][:, :2].argmax(axis=1)
    assert target.accuracy() == np.mean(on_test == kept.labels)
    path = tmp_path / "model.safetensors"
    target.save(path)
    model = goodgrain.load(path, device="cpu")
    assert model.classes == (("lying", "standing", "__ood__") if full.shape[1] == 3 else NAMES)
    np.testing.assert_allclose(model.probabilities(POOL), full, atol=1e-5)


def test_each_use_of_ood_answers_is_another_training(tmp_path):
    labels, found = of_two(POOL.labels), {}
    for use in ("none", "class", "taufe"):
        (tmp_path / use).mkdir()
        found[use] = network(tmp_path / use, labels, ood_answers=use)[0].columns()["features"]
    assert np.abs(found["none"] - found["class"]).max() > 1e-3
    assert np.abs(found["none"] - found["taufe"]).max() > 1e-3


def test_steps_are_steps_whatever_the_answers(tmp_path):
    counted = []

    class Counting(Silent):
        def training(self, what, epochs):
            counted.append([what, epochs])
            return lambda *_: None

    asked = LabelConfig(steps=10, batch_size=8, encoder="none")
    target = NetworkTarget(POOL, None, NAMES, asked, "cpu", Counting())
    target.train(of_two(POOL.labels), 0, tmp_path / "a.pt")  # 16 labelled images: 2 steps an epoch
    assert counted == [["training on 16 labelled images", 5]]
    assert target.accuracy() is None


def test_a_network_is_asked_for_its_purity_beside_its_own_classes(tmp_path):
    labels = of_two(POOL.labels)
    target, _ = network(tmp_path, labels, ood_answers="class")
    inside = POOL.subset(np.flatnonzero(labels >= 0)).with_labels(labels[labels >= 0], classes=NAMES)
    for name in DETECTORS:
        found = target.purity(name)
        np.testing.assert_allclose(found, purity(target._learner, POOL, name, reference=inside), rtol=1e-5)
