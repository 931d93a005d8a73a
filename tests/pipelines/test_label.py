"""The loop, worked out a second time by other means; and where each kind of answer goes."""

import json

import numpy as np
import pytest
from tests.pipelines.label_toys import (
    CLASSES,
    KNOWN_PAIR,
    annotator,
    answers_of,
    begin,
    by_head,
    pictures,
    rounds_of,
    truth_of,
)

import goodgrain
from goodgrain.annotate import OOD, SKIP, UNRESOLVED, UNSURE, drive
from goodgrain.errors import InputError
from goodgrain.learn.streams import stream_seed
from goodgrain.meta import MetaQueryNet
from goodgrain.pipelines.label import label
from goodgrain.pipelines.label_round import Asked
from goodgrain.pipelines.labeling import Labeling
from oracles_label import Loop

POOL = pictures(36)


def test_the_first_round_is_drawn_at_random(tmp_path):
    with begin(POOL, tmp_path, **by_head(POOL, seed=3)) as run:
        (first,) = rounds_of(run, annotator(POOL), 1)
        drawn = np.random.default_rng(stream_seed(3, "query", 0) % 2**32).permutation(36)
        assert first == drawn[:6].tolist()
        opened = run.session.round
    assert (opened.strategy, opened.parameters, opened.model_hash) == ("random", {}, "")
    assert Asked.load(tmp_path / "rounds/000.npz").losses.shape == (36, 0)


@pytest.mark.parametrize(
    "weighing",
    [
        {},
        {"learn_from": "all"},
        {"warm_start": True},
        {"meta": "plain"},
        {"purity": "nearest_both"},
        {"meta": "sum"},
        {"meta": "product"},
    ],
)
def test_each_round_asks_for_what_algorithm_2_asks_for(tmp_path, weighing):
    """Round 1 by P + I, later ones by a MetaQueryNet fitted on the query sets; doubts among the answers."""
    arguments = by_head(POOL, strategy="mqnet", balanced=False, seed=5, **weighing)
    loop = Loop(
        arguments["embeddings"], answers_of(POOL, unsure_rate=0.15, seed=4), CLASSES, budget=6, seed=5, **weighing
    )
    expected = [loop.next() for _ in range(4)]
    assert [known is None for known in loop.of_round] == [True, False, False, False]
    with begin(POOL, tmp_path, **arguments) as run:
        assert rounds_of(run, annotator(POOL, unsure_rate=0.15, seed=4), 4) == expected
    assert UNSURE in {loop.answers[i] for asked in expected[:3] for i in asked}
    for number in (1, 2, 3):
        saved = tmp_path / f"rounds/{number:03}-meta.safetensors"
        assert saved.exists() == (number > 1 and weighing.get("meta") not in ("sum", "product"))
    if loop.nets:
        theirs, ours = MetaQueryNet.load(saved), loop.nets[-1]
        assert theirs.rule_ == ours.rule_ == "learned"
        np.testing.assert_allclose(theirs.weights_.hidden, ours.weights_.hidden, rtol=1e-4)


def test_a_query_set_is_scaled_by_its_pool_and_masked(tmp_path):
    arguments = by_head(POOL, balanced=False)
    loop = Loop(arguments["embeddings"], answers_of(POOL), CLASSES, budget=6)
    assert [len(loop.next()) for _ in range(2)] == [6, 6]
    assert loop.of_round[1] is not None
    with begin(POOL, tmp_path, **arguments) as run:
        rounds_of(run, annotator(POOL), 2)
        labels = run.session.labels()[1]
    own = np.full(36, -1)
    own[loop.asked[1]] = labels[loop.asked[1]]
    found = Asked.load(tmp_path / "rounds/001.npz").of(own)
    x, losses, ood = loop.query_set(1)
    assert 0 < ood.sum() < 6
    assert found.ood.tolist() == ood.tolist()
    assert found.losses[ood].tolist() == [0.0] * ood.sum()
    np.testing.assert_allclose(found.inputs, x, rtol=1e-4)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    np.testing.assert_allclose(found.purity, [loop.of_round[1][0][i] for i in loop.asked[1]])


def test_what_a_round_only_ranked_is_of_the_round_that_asked_for_it(tmp_path):
    """A ranking is longer than the budget; the next round asks for some of the rest, under another model."""
    arguments = by_head(POOL, learn_from="all", balanced=False)
    with begin(POOL, tmp_path, **arguments) as run:
        _, second, third = rounds_of(run, annotator(POOL), 3)
        labels = run.session.labels()[1]
        assert set(third) & set(Asked.load(tmp_path / "rounds/001.npz").picked.tolist()) > set()
        assert len(run._rounds.answered(1, labels).losses) == len(second) == 6
        assert run._rounds.answered(0, labels) is None


@pytest.mark.parametrize(
    ("costs", "each"),
    [((1.0, 0.5, 0.25), {"c_in": 1, "c_ood": 0.5, "c_unsure": 0.25}), ((0.3, 1.0, 0.3), {"c_in": 0.3, "c_ood": 1})],
)
def test_answers_are_paid_for_and_the_dearest_has_to_fit(tmp_path, costs, each):
    arguments = by_head(POOL, balanced=False, **{**each, "budget": 3})
    loop = Loop(arguments["embeddings"], answers_of(POOL, unsure_rate=0.3), CLASSES, budget=3, costs=costs)
    loop.next()
    with begin(POOL, tmp_path, **arguments) as run:
        assert rounds_of(run, annotator(POOL, unsure_rate=0.3), 1) == loop.asked
        spent = sum(loop.price(i) for i in loop.asked[0])
        assert run.session.spent == pytest.approx(spent)
        assert 3 - max(costs) < spent <= 3


def test_a_free_kind_of_answer_is_no_division_by_zero(tmp_path):
    free = {"c_in": 0, "c_ood": 0, "c_unsure": 1, "budget": 1, "known": KNOWN_PAIR, "strategy": "conf"}
    with begin(POOL, tmp_path, **by_head(POOL, **free)) as run:
        run.advance()
        assert len(Asked.load(tmp_path / "rounds/000.npz").picked) == 15  # 1.2 / 0.25 + 10


def test_each_kind_of_answer_goes_where_it_should(tmp_path):
    with begin(POOL, tmp_path, **by_head(POOL, known=KNOWN_PAIR, budget=30)) as run:
        run.advance()
        session = run.session
        own, strange, unsure, torn, skipped = session.ask(5, annotator="ann").ids
        for name, answer in ((own, "standing"), (strange, OOD), (unsure, UNSURE), (torn, "lying"), (skipped, SKIP)):
            session.tell(name, answer, annotator="ann")
        session.tell(torn, "standing", annotator="bob")
        assert session.answers()[torn] == UNRESOLVED
        number = dict(zip(*(column.tolist() for column in session.labels()), strict=True))
        assert [number[name] for name in (own, strange, unsure, torn, skipped)] == [1, -2, -1, -1, -1]
        run.advance()
        ranked = POOL.ids[Asked.load(tmp_path / "rounds/001.npz").rows].tolist()
        assert skipped in ranked
        assert not {own, strange, unsure, torn, *KNOWN_PAIR} & set(ranked)
        asked_of_bob, asked_of_ann = (session.ask(40, annotator=name).ids for name in ("bob", "ann"))
        assert skipped in asked_of_bob
        assert not {own, strange, unsure, torn, skipped, *KNOWN_PAIR} & set(asked_of_ann)
        assert not {own, strange, unsure, torn, *KNOWN_PAIR} & set(asked_of_bob)
        facts = json.loads((tmp_path / "rounds/001.json").read_text())
        assert facts == {"labelled": 3, "ood": 2}


def test_one_who_skips_much_is_still_asked_for_something(tmp_path):
    """What was skipped stays on top of the ranking; others are to be asked, and this annotator is not."""
    pool = pictures(90)
    with begin(pool, tmp_path, **by_head(pool, known=KNOWN_PAIR, strategy="conf", budget=2)) as run:
        run.advance()
        assert drive(run.session, lambda _: SKIP) == 13  # 1.2 * 2 + 10: all that was ranked
        run.advance()
        assert run.session.ask(2).ids


def test_known_labels_are_never_asked_for_and_train_at_once(tmp_path):
    with begin(POOL, tmp_path, **by_head(POOL, known=KNOWN_PAIR)) as run:
        opened = run.advance()
        assert (opened.number, opened.strategy) == (0, "mqnet")
        assert opened.parameters == {"purity": "nearest_in", "informativeness": "margin", "meta": "sum"}
        assert len(opened.model_hash) == 64
        drive(run.session, annotator(POOL))
        assert run.advance().parameters["meta"] == "learned"
        drive(run.session, annotator(POOL))
        assert not set(KNOWN_PAIR) & {one.id for one in run.session.history()}
        assert run.session.labels()[1][:3].tolist() == [0, 1, -2]


def test_labels_of_the_data_itself(tmp_path):
    """Without classes they are the data's own; with them, all others are OOD."""
    some = POOL.with_labels(np.where(np.arange(36) < 9, POOL.labels, -1), classes=POOL.classes)
    with begin(some, tmp_path / "all", **by_head(POOL, known="data", classes=None)) as run:
        assert run.session.classes == ("lying", "standing", "slanted")
        assert run.session.labels()[1][:10].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, -1]
    with begin(some, tmp_path / "two", **by_head(POOL, known="data")) as run:
        assert run.session.labels()[1][:10].tolist() == [0, 1, -2, 0, 1, -2, 0, 1, -2, -1]
        assert run.advance().strategy == "mqnet"
        assert all(int(name.split()[1][:-4]) >= 9 for name in run.session.ask(40).ids)


def test_without_any_ood_answer_nearest_ood_leaves_it_to_informativeness(tmp_path):
    known = {"picture 0.png": "lying", "picture 1.png": "standing"}
    arguments = by_head(POOL, purity="nearest_ood", known=known, balanced=False)
    with begin(POOL, tmp_path, **arguments) as run:
        opened = run.advance()
        asked = Asked.load(tmp_path / "rounds/000.npz")
        assert asked.purity is None
        assert opened.parameters["meta"] == "informativeness"
        best_first = asked.rows[np.argsort(-asked.informativeness, kind="stable")]
        assert asked.picked.tolist() == best_first[: len(asked.picked)].tolist()
        drive(run.session, annotator(POOL))
        assert run.advance().parameters["meta"] == "sum"  # now there is a purity, and nothing was learned of it yet
        assert Asked.load(tmp_path / "rounds/001.npz").purity is not None


def test_a_meta_model_of_other_answers_is_not_taken_for_this_rounds(tmp_path):
    """It was written before a kill, and then the answers that it had learned from were taken back."""
    with begin(POOL, tmp_path, **by_head(POOL, seed=1)) as run:
        rounds_of(run, annotator(POOL), 1)
        left_behind = tmp_path / "rounds/001-meta.safetensors"
        MetaQueryNet().fit([[1.0, 2.0], [2.0, 1.0]], [0.3, 0.1], [False, False]).save(left_behind)
        assert run.advance().parameters["meta"] == "sum"
        assert not left_behind.exists()


def test_a_guess_is_what_the_last_model_says(tmp_path):
    pool = pictures(60)
    with begin(pool, tmp_path, **by_head(pool, known=KNOWN_PAIR, budget=20)) as run:
        assert run.guess("picture 4.png") is None
        run.advance()
        drive(run.session, annotator(pool))
        run.advance()
        truth = truth_of(pool)
        inside = [name for name, kind in truth.items() if kind in CLASSES]
        assert np.mean([run.guess(name) == truth[name] for name in inside]) > 0.8


def test_a_round_without_answers_teaches_nothing(tmp_path):
    with begin(POOL, tmp_path, **by_head(POOL)) as run:
        run.advance()
        with pytest.raises(InputError, match=r"^nothing was answered in round 0 yet, so there is nothing new to"):
            run.advance()
        assert run.session.round.state == "open"
        with pytest.raises(InputError, match=r"^training needs answers of at least two classes. Answer some more"):
            run.finish()


def test_a_pool_that_is_used_up_ends_the_run(tmp_path):
    """Asked for more rounds than there are images: what was learned is there, and the last round stays open."""
    arguments = by_head(POOL, budget=16)
    result = label(POOL, annotator(POOL), output=tmp_path, rounds=9, **arguments)
    assert [one["answered"] for one in result.metrics["rounds"]] == [16, 16, 4]
    again = label(POOL, annotator(POOL), output=tmp_path, rounds=9, **arguments)
    assert again.metrics == result.metrics
    with begin(POOL, tmp_path, **arguments) as run:
        assert run.exhausted
        with pytest.raises(InputError, match=r"^every image is answered: there is nothing left to ask for"):
            run.advance()
        assert run.session.round.state == "open"  # so that answers can still be corrected and second opinions given


def test_a_run_ends_when_everything_left_is_skipped(tmp_path):
    oracle = annotator(POOL)
    result = label(
        POOL,
        lambda name: SKIP if int(name.split()[1][:-4]) > 9 else oracle(name),
        output=tmp_path,
        rounds=9,
        **by_head(POOL, budget=8),
    )
    assert sum(one["answered"] for one in result.metrics["rounds"]) == 10


def test_pictures_and_png_of_a_run(tmp_path):
    with begin(POOL, tmp_path, **by_head(POOL)) as run:
        rounds_of(run, annotator(POOL), 2)
        shown = run.pictures()
        assert [one["answered"] for one in shown["rounds"]] == [6, 6]
        assert json.loads(json.dumps(shown)) == shown
        assert run.image("picture 3.png").startswith(b"\x89PNG")


def test_goodgrain_knows_both_names():
    assert goodgrain.Labeling is Labeling
    assert goodgrain.label is label
