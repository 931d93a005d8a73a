"""What a run has come to: when to stop, how far models agree, and the plane of figure 4.5."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from tests.pipelines.label_toys import annotator, begin, by_head, pictures, rounds_of

from goodgrain.annotate import OOD, SKIP, UNSURE, RoundStatus, drive
from goodgrain.meta import COMBINATIONS, MetaQueryNet, meta_input
from goodgrain.pipelines.label_pictures import Seen, hint, kappa, plane
from goodgrain.pipelines.label_pictures import pictures as page_pictures
from goodgrain.pipelines.label_round import Asked


def seen(accuracies=(), agreement=(), **changes):
    """Rounds 0, 1, ... after which the test accuracy was so much; agreement of round 2 with 1, of 3 with 2, ..."""
    known = {
        "classes": ("a", "b"),
        "rounds": tuple(
            RoundStatus(k, "conf", "closed", 5.0, 4.0, 3, 1, 1, 0, 0)
            for k in range(max(len(accuracies), len(agreement) + 2))
        ),
        "facts": {k + 1: ({} if value is None else {"accuracy": value}) for k, value in enumerate(accuracies)},
        "agreement": {k + 2: value for k, value in enumerate(agreement)},
        "asked": None,
        "meta": None,
        "answers": np.array(["a", "", OOD, ""]),
        "labels": np.array([0, -1, -2, -1]),
    }
    return Seen(**{**known, **changes})


@pytest.mark.parametrize(
    ("accuracies", "agreement", "sentence"),
    [
        ((), (), ""),
        ((0.5,), (), ""),
        ((None, None), (), ""),
        ((0.5, 0.61), (), "The last round changed the test accuracy by +11.0 points."),
        ((0.5, 0.48), (), "The last round changed the test accuracy by -2.0 points."),
        (
            (0.5, 0.504, 0.501),
            (),
            "The last two rounds changed the test accuracy by +0.4 and -0.3 points: another one is unlikely to be "
            "worth its price.",
        ),
        ((0.5, 0.504, 0.514), (), "The last round changed the test accuracy by +1.0 points."),
        ((0.5, 0.52, 0.52), (), "The last round changed the test accuracy by +0.0 points."),
        ((), (0.8,), "The last round changed the model's predictions (agreement 80.0%)."),
        ((), (0.995,), "The last round changed the model's predictions (agreement 99.5%)."),
        ((), (0.995, 0.98), "The last round changed the model's predictions (agreement 98.0%)."),
        (
            (),
            (0.5, 0.995, 0.992),
            "The last two rounds hardly changed what the model predicts (agreement 99.2%): another one is unlikely to "
            "be worth its price.",
        ),
        # Predictions of the pool hardly change and the test accuracy still rises: the test images are what counts.
        ((0.5, 0.6, 0.7), (0.995, 0.995), "The last round changed the test accuracy by +10.0 points."),
    ],
)
def test_when_to_stop(accuracies, agreement, sentence):
    assert hint(seen(accuracies, agreement)) == sentence


def test_kappa_by_hand():
    """20 images; both say a of 7, b of 6, and they differ on 7: 0.65 agree, 0.5 by chance (12 and 10 of 20 say a)."""
    first = np.repeat([0, 0, 1, 1], [7, 5, 2, 6])
    second = np.repeat([0, 1, 0, 1], [7, 5, 2, 6])
    chance = (12 * 9 + 8 * 11) / 400
    assert kappa(first, second) == pytest.approx((13 / 20 - chance) / (1 - chance))
    assert kappa(np.zeros(5, int), np.zeros(5, int)) == 1
    assert kappa(np.zeros(5, int), np.ones(5, int)) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_kappa_is_that_of_sklearn(pairs):
    first, second = np.array(pairs).T
    if not np.array_equal(first, second):
        assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def ranked(n=6):
    rng = np.random.default_rng(0)
    rows = np.arange(2, n)
    return Asked(rows, rows[:2], -np.arange(2.0), np.ones((2, 2)), rng.normal(size=n - 2), rng.normal(size=n - 2))


def test_the_plane_and_the_meta_score_behind():
    asked = ranked()
    net = MetaQueryNet(seed=0).fit([[1.0, 2], [2, 1], [3, 3]], [0.4, 0.1, 0], [False, False, True])
    shown = plane(seen(asked=asked, meta=net, answers=np.array(["a", "", OOD, "b", "", ""])))
    assert shown["purity"] == asked.purity.tolist()
    assert shown["informativeness"] == asked.informativeness.tolist()
    assert shown["answer"] == [OOD, "b", "", ""]
    score = np.array(shown["score"])
    assert score.shape == (32, 32) == (len(shown["grid_informativeness"]), len(shown["grid_purity"]))
    for up, across in ((0, 0), (31, 5), (7, 31)):  # one row per informativeness
        point = meta_input(
            [shown["grid_purity"][across]],
            [shown["grid_informativeness"][up]],
            reference=(asked.purity, asked.informativeness),
        )
        assert score[up, across] == net.score(point)[0]
    assert (np.diff(score, axis=0) >= 0).all()
    assert (np.diff(score, axis=1) >= 0).all()


def test_a_plane_without_a_meta_model_or_without_purity():
    assert plane(seen(asked=ranked(), answers=np.full(6, "")))["score"] == []
    assert plane(seen()) is None


def test_a_large_plane_shows_a_sample_and_every_answer():
    n = 5000
    rng = np.random.default_rng(0)
    rows = np.arange(n)
    asked = Asked(rows, rows[:1], np.zeros(1), np.ones((1, 2)), rng.normal(size=n), rng.normal(size=n))
    answers = np.full(n, "", dtype="<U9")
    answers[1::1000] = "a"
    shown = plane(seen(asked=asked, answers=answers))
    assert shown["answer"].count("a") == 5
    assert 1500 <= len(shown["purity"]) == len(shown["informativeness"]) == len(shown["answer"]) <= 1505


def test_what_a_page_is_told():
    shown = page_pictures(seen((0.5, 0.6)))
    assert shown["rounds"][0] == {
        "round": 0, "strategy": "conf", "accuracy": 0.5, "in_share": 0.75, "answered": 5, "spent": 4.0,
    }  # fmt: skip
    assert (shown["plane"], shown["hint"]) == (None, "The last round changed the test accuracy by +10.0 points.")


POOL = pictures(36)


def test_a_run_as_it_is_read_from_its_folder(tmp_path):
    test = pictures(12, 1)
    given = {"test": test, "test_embeddings": by_head(test)["embeddings"], "seed": 1}
    with begin(POOL, tmp_path, **by_head(POOL, **given)) as run:
        rounds_of(run, annotator(POOL), 3)
        found = run.seen()
        assert found.classes == ("lying", "standing")
        assert list(found.facts) == [1, 2]  # round 0 had no model
        assert found.accuracy_after(0) == found.facts[1]["accuracy"]
        assert found.accuracy_after(2) is None
        first, second = (Asked.load(tmp_path / f"rounds/00{k}.npz") for k in (1, 2))
        assert found.agreement == {2: kappa(first.predicted, second.predicted)}
        np.testing.assert_array_equal(found.asked.picked, second.picked)
        assert isinstance(found.meta, MetaQueryNet)
        run.finish()
        assert run.seen().accuracy_after(2) is not None


@pytest.mark.parametrize(
    ("arguments", "meta"),
    [({"meta": "product"}, COMBINATIONS["product"]), ({}, COMBINATIONS["sum"]), ({"strategy": "purity_first"}, None)],
)
def test_what_weighed_is_what_is_shown(tmp_path, arguments, meta):
    with begin(POOL, tmp_path, **by_head(POOL, seed=1, **arguments)) as run:
        rounds_of(run, annotator(POOL), 2)
        assert run.seen().meta is meta
    if meta is None:  # nobody asks a meta-model, so none is drawn behind
        with begin(POOL, tmp_path, **by_head(POOL, seed=1, **arguments)) as run:
            rounds_of(run, annotator(POOL), 2)
            assert run.seen().meta is None


def test_only_what_was_decided_counts_as_answered(tmp_path):
    known = {"picture 0.png": "lying", "picture 1.png": "standing"}
    with begin(POOL, tmp_path, **by_head(POOL, known=known)) as run:
        run.advance()
        one, other, third = run.session.ask(3).ids
        run.session.tell(one, UNSURE)
        run.session.tell(other, SKIP)
        run.session.tell(third, OOD)
        drive(run.session, annotator(POOL))
        found = run.seen()
        assert set(found.answers) <= {"", "lying", "standing", OOD}
        number = {name: i for i, name in enumerate(POOL.ids.tolist())}
        assert found.answers[[number[one], number[other], number[third]]].tolist() == ["", "", OOD]
