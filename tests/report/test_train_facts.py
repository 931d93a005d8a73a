from dataclasses import replace

import numpy as np
import pytest
from tests.report.toys import boxes, method_facts, picture, train_facts

from goodgrain.errors import InputError, UnknownName
from goodgrain.report.train_facts import Candidate, FoundBoxes, MethodFacts, OodSource, Projection

ONE_BOX = np.array([[0.0, 0.0, 1.0, 1.0]])


def methods(**changes):
    return {"methods": [method_facts("taufe", **changes)], "boxes": None}


def switched_off(**changes):
    return {"switched_off": replace(train_facts().switched_off, **changes)}


def projected(label):
    return Projection(np.zeros((1, 2)), np.array([label]), np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            lambda: {"methods": [method_facts("taufe"), method_facts("taufe")]},
            "two methods have one name: taufe, taufe. Give each method once, with all its repeats.",
        ),
        (
            lambda: methods(cosine=np.eye(3)),
            r"cosine of taufe has shape \(3, 3\), but there are 5 class names",
        ),
        (
            lambda: methods(projection=projected(5)),
            "the projection of taufe has class 5, but there are 5 class names. Name every class.",
        ),
        (lambda: {"labels": np.zeros(7, dtype=int)}, "labels has 7 rows, but there are 120 examples"),
        (lambda: {"labels": np.full(120, 5)}, "labels have class 5, but there are 5 class names. Name every class."),
        (lambda: {"labels": np.full(120, 0.5)}, "labels should be integers; it has fractions or NaN"),
        (lambda: {"ids": ["a", "b"], "labels": None, "boxes": None}, r"switched_off.top_inside should be 0\.\.1"),
        (lambda: {"ood_ids": ["a", "b"]}, r"switched_off.top_outside should be 0\.\.1"),
        (
            lambda: {"boxes": FoundBoxes(np.array([120]), ONE_BOX, {"taufe": ONE_BOX})},
            r"boxes.positions should be 0\.\.119; 120 is not",
        ),
        (
            lambda: {
                "boxes": FoundBoxes(np.array([1, 1]), np.tile(ONE_BOX, (2, 1)), {"taufe": np.tile(ONE_BOX, (2, 1))})
            },
            "boxes.positions names a position twice",
        ),
        (lambda: {"target_ids": ["a"]}, r"originals of places should be 0\.\.0; 1 is not"),
    ],
)
def test_facts_that_do_not_belong_together_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        train_facts(**changes())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"method": "tauf"},
            "no trained method 'tauf'. Did you mean 'taufe'? Known: oat, standard, taufe",
        ),
        ({"method": ""}, "no trained method ''. Known: oat, standard, taufe"),
        ({"methods": (), "boxes": None}, "no trained method 'taufe'. Known: "),
        (
            {"boxes": FoundBoxes(np.array([0]), ONE_BOX, {"mixmatch": ONE_BOX})},
            "no trained method 'mixmatch'. Known: oat, standard, taufe",
        ),
    ],
)
def test_a_method_that_was_not_trained_is_refused(changes, sentence):
    with pytest.raises(UnknownName) as caught:
        train_facts(**changes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (
            lambda: MethodFacts(name="oat", score=[0.5, 0.6], between=[0.1], auroc={"msp": [0.7]}),
            "oat has a different number of repeats here and there: score 2, between 1, msp 1. Give all.",
        ),
        (lambda: MethodFacts(name="oat", score=[np.nan]), "score of oat has NaN or infinite values in 1 of 1 rows"),
        (lambda: MethodFacts(name="oat", auroc={"msp": [np.inf]}), "msp of oat has NaN or infinite values"),
        (lambda: MethodFacts(name="oat", terms={"ood": []}), "ood of oat is empty"),
        (lambda: FoundBoxes(np.array([0]), ONE_BOX, {}), "boxes.predicted is empty"),
        (lambda: FoundBoxes(np.array([0, 1]), ONE_BOX, {"oat": ONE_BOX}), "boxes of true has 1 rows, but there are 2"),
        (
            lambda: FoundBoxes(np.array([0]), ONE_BOX, {"oat": np.zeros((3, 4))}),
            "boxes of oat has 3 rows, but there are 1",
        ),
        (lambda: FoundBoxes(np.array([], dtype=int), np.empty((0, 4)), {"oat": np.empty((0, 4))}), "true is empty"),
        (
            lambda: FoundBoxes(np.array([0]), ONE_BOX, {"oat": ONE_BOX[:, :3]}),
            r"predicted should be \(n, 4\), left, top, right and bottom; its shape is \(1, 3\)",
        ),
        (
            lambda: FoundBoxes(np.array([0]), np.zeros((1, 4)), {"oat": ONE_BOX}),
            "true boxes should be left < right and top < bottom",
        ),
        (
            lambda: OodSource("places", 1, np.array([3, 1])),
            r"copies of places should be \(m, 2\), two positions each; their shape is \(2,\)",
        ),
        (
            lambda: OodSource("places", 1, np.array([[3, 1]]), ["a"], picture),
            r"copies of places should be 0\.\.0; 3 is not",
        ),
        (lambda: Candidate("places", 1, 0, np.nan), "shared and gain of places has NaN"),
        (lambda: Candidate("places", 1, 0, 0.5, np.nan), "shared and gain of places has NaN"),
        (lambda: switched_off(before=np.zeros(3)), "switched_off.before has 3 rows, but there are 12"),
        (lambda: switched_off(after=np.full(12, np.nan)), "switched_off.after has NaN or infinite values in 12 of 12"),
        (
            lambda: switched_off(top_inside=np.zeros((3, 8), int)),
            "switched_off.top_inside has 3 rows, but there are 12",
        ),
        (lambda: switched_off(top_outside=np.zeros((3, 8), int)), "switched_off.top_outside has 3 rows"),
    ],
)
def test_parts_that_contradict_themselves_are_refused(part, sentence):
    with pytest.raises(InputError, match=sentence):
        part()


def test_what_need_not_be_known_may_be_absent():
    facts = train_facts(
        labels=None, sources=[OodSource("places", 3, np.array([[3, 1]]))], target_ids=(), target_thumbnail=None
    )
    assert facts.sources[0].ids == ()
    assert MethodFacts(name="oat", score=[0.5, 0.6], auroc={"msp": ()}).between == ()
    unlabelled = train_facts(labels=np.full(120, -1))
    assert unlabelled.labels.max() == -1


def test_two_copies_may_repeat_one_image():
    source = OodSource("places", 3, np.array([[3, 1], [4, 1], [3, 0]]), list("abcde"), picture)
    assert train_facts(sources=[source]).sources[0] is source


def test_facts_are_kept_as_they_came():
    given = boxes()
    before = [given.true.copy(), *(table.copy() for table in given.predicted.values())]
    facts = train_facts(boxes=given)
    assert facts.boxes is given
    for old, new in zip(before, [given.true, *given.predicted.values()], strict=True):
        np.testing.assert_array_equal(old, new)
