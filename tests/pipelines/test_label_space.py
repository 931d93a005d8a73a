"""Where images lie without labels: what is known of purity equals the scores, asked directly."""

import numpy as np
import pytest
from tests.pipelines.label_toys import seen_as

from conftest import shapes
from goodgrain.data.pool import OOD, UNLABELED
from goodgrain.errors import InputError
from goodgrain.learn import CSI, fit, predict
from goodgrain.learn.contrast import ccal_scores, csi_purity, rotations_of
from goodgrain.learn.streams import stream_seed
from goodgrain.observations import Observations
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_space import Space, encoded, read_embeddings
from goodgrain.pipelines.monitor import Silent
from goodgrain.run import RunFolder
from goodgrain.scores import nearest_in, nearest_ood, probe

POOL, TEST = shapes(24, 0), shapes(9, 1)
LABELS = np.full(24, UNLABELED)
LABELS[[0, 3, 1]] = 0, 0, 1
STRANGE = [2, 5]


def told(strange=True):
    labels = LABELS.copy()
    if strange:
        labels[STRANGE] = OOD
    return labels


@pytest.fixture(scope="module")
def csi(tmp_path_factory):
    """What a run's encoder sees, and the same learner trained beside it."""
    learner = CSI("small", flip=False)
    fit(learner, POOL, epochs=2, seed=stream_seed(0, "encoder"), device="cpu")
    run = RunFolder(tmp_path_factory.mktemp("run"), {"job": "label"})
    asked = LabelConfig(encoder_epochs=2, flip=False)
    with run:
        found = encoded(run, POOL, {"test": TEST}, asked, "cpu", Silent())
    return run, asked, found, learner


def test_the_encoder_is_a_csi_learner_of_the_whole_pool(csi):
    _, _, found, learner = csi
    for name, pool in (("pool", POOL), ("test", TEST)):
        turned, logits = rotations_of(learner, pool)
        np.testing.assert_array_equal(found[name].turned, turned)
        np.testing.assert_array_equal(found[name].turn_logits, logits)
        np.testing.assert_array_equal(found[name].features, predict(learner, pool)[1])


def test_the_encoder_is_asked_once(csi):
    run, asked, found, _ = csi
    made = run.path("encoder/pool.npz").stat().st_mtime_ns
    with run:
        again = encoded(run, POOL, {}, asked, "cpu", Silent())
    assert run.path("encoder/pool.npz").stat().st_mtime_ns == made
    np.testing.assert_array_equal(again["pool"].turned, found["pool"].turned)


def test_purity_is_what_the_learner_says_itself(csi):
    _, _, found, learner = csi
    space, known = found["pool"], POOL.subset([0, 1, 3])
    cosines = csi_purity(learner, POOL, known, score="cosine")
    np.testing.assert_allclose(space.purity("nearest_in", told()), cosines, rtol=1e-5)
    np.testing.assert_allclose(space.purity("csi", told()), csi_purity(learner, POOL, known), rtol=1e-5)
    turned = rotations_of(learner, POOL)[0].astype(np.float64)
    unit = turned / np.linalg.norm(turned, axis=2, keepdims=True)
    apart = np.mean([nearest_ood(unit[:, k], unit[STRANGE, k]) for k in range(4)], axis=0)
    np.testing.assert_allclose(space.purity("nearest_ood", told()), apart, rtol=1e-5, atol=1e-7)
    unlike = csi_purity(learner, POOL, POOL.subset(STRANGE), score="cosine")
    np.testing.assert_allclose(space.purity("nearest_both", told()), cosines - unlike, rtol=1e-4, atol=1e-6)
    odds = probe(predict(learner, POOL)[1], [0, 1, 3], STRANGE)
    np.testing.assert_array_equal(space.purity("probe", told()), odds)


def test_ccal_is_what_the_learner_says_itself(csi):
    _, _, found, learner = csi
    labels = told(strange=False)
    rest = np.flatnonzero(labels == UNLABELED)
    known = POOL.subset([0, 1, 3]).with_labels(labels[[0, 1, 3]], classes=("a", "b"))
    score = found["pool"].contrast(labels)
    np.testing.assert_allclose(score[rest], ccal_scores(learner, POOL.subset(rest), known), rtol=1e-4, atol=1e-5)
    assert score[[0, 1, 3]].tolist() == [0, 0, 0]


def test_ccal_stretches_over_what_may_be_asked_for(csi):
    """Answers "none of these" are no part of the pool any more."""
    _, _, found, learner = csi
    rest = np.flatnonzero(told() == UNLABELED)
    known = POOL.subset([0, 1, 3]).with_labels([0, 1, 0], classes=("a", "b"))
    score = found["pool"].contrast(told())
    np.testing.assert_allclose(score[rest], ccal_scores(learner, POOL.subset(rest), known), rtol=1e-4, atol=1e-5)
    assert score[STRANGE].tolist() == [0, 0]


def test_purity_of_embeddings():
    x = seen_as(POOL)
    space = Space.of(x)
    np.testing.assert_allclose(space.purity("nearest_in", told()), nearest_in(x, x[[0, 1, 3]]))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(space.purity("nearest_ood", told()), nearest_ood(unit, unit[STRANGE]), atol=1e-7)
    both = nearest_in(x, x[[0, 1, 3]]) - nearest_in(x, x[STRANGE])
    np.testing.assert_allclose(space.purity("nearest_both", told()), both)


@pytest.mark.parametrize(
    ("name", "inside", "strange"),
    [("nearest_in", False, True), ("nearest_ood", True, False), ("csi", False, True),
     ("probe", True, False), ("probe", False, True), ("nearest_both", False, False)],
)  # fmt: skip
def test_nobody_knows_purity_before_the_answers_it_compares_with(name, inside, strange):
    labels = np.full(24, UNLABELED)
    if inside:
        labels[0] = 0
    if strange:
        labels[2] = OOD
    assert Space.of(seen_as(POOL)).purity(name, labels) is None


def test_nearest_both_makes_do_with_either_kind():
    x = seen_as(POOL)
    only_in, only_ood = (np.where(np.arange(24) == 0, label, UNLABELED) for label in (0, OOD))
    np.testing.assert_allclose(Space.of(x).purity("nearest_both", only_in), nearest_in(x, x[:1]))
    np.testing.assert_allclose(Space.of(x).purity("nearest_both", only_ood), -nearest_in(x, x[:1]))


def test_embeddings_come_in_many_forms(tmp_path):
    x = seen_as(POOL)
    order = np.random.default_rng(0).permutation(24)
    seen = Observations(ids=POOL.ids[order], features=x[order])
    seen.save(tmp_path / "seen")
    np.save(tmp_path / "x.npy", x)
    space = Space.of(x)
    assert read_embeddings(space, POOL) is space
    for source in (x, x.tolist(), tmp_path / "x.npy", str(tmp_path / "x.npy"), seen, tmp_path / "seen"):
        np.testing.assert_allclose(read_embeddings(source, POOL).features, x)
    kept = POOL.labels < 2
    np.testing.assert_allclose(read_embeddings(x, POOL.subset(np.flatnonzero(kept)), kept=kept).features, x[kept])


def test_embeddings_that_do_not_fit_are_refused(tmp_path):
    x = seen_as(POOL)
    (tmp_path / "x.npy").write_text("no numbers")
    for source, sentence in (
        (x[:5], "embeddings"),
        (Space.of(x[:5]), "embeddings"),
        (tmp_path / "x.npy", "cannot be read as embeddings"),
        (tmp_path / "none.npy", "cannot be read as embeddings"),
        (
            Observations(ids=POOL.ids[1:], features=x[1:]),
            "the embeddings lack 1 of the 24 images, the first is 'picture 0.png'. Make them of the same data",
        ),
        (
            Observations(ids=POOL.ids, labels=POOL.labels),
            "the embeddings have no features, only ids, labels. Give what `goodgrain embed` made",
        ),
    ):
        with pytest.raises(InputError) as error:
            read_embeddings(source, POOL)
        assert sentence in str(error.value)
