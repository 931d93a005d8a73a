import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from tests.report.toys import CANDIDATES, ood_comparison, train_facts

from goodgrain.errors import InputError
from goodgrain.report.html import Facts, Text
from goodgrain.report.train_facts import Candidate, MethodFacts, TrainFacts
from goodgrain.report.train_numbers import brief, comparison, lead, student_interval

numbers = st.lists(st.integers(-100, 100).map(lambda tenths: tenths / 10), min_size=2, max_size=8)


def facts(own=(), standard=None, *, method="taufe", **changes):
    methods = [MethodFacts(name=method, score=own)]
    if standard is not None:
        methods.append(MethodFacts(name="standard", score=standard))
    return TrainFacts(**({"name": "toy", "command": "run", "method": method, "methods": methods} | changes))


def with_responses(**changes):
    """Responses that can be worked out: 1 of 8 and 3 of 12 on OOD images, and twice 4 of 5 in standard training."""
    taufe = MethodFacts(name="taufe", weight=0.1, score=(0.6, 0.7), activation=(8, 12), ood_activation=(1, 3))
    standard = MethodFacts(name="standard", score=(0.5, 0.7), activation=(5, 5), ood_activation=(4, 4))
    known = {"name": "toy", "command": "run", "method": "taufe", "methods": [taufe, standard]}
    return TrainFacts(**(known | changes))


def key_numbers(told):
    return {
        item.label: (item.value, item.note) for block in brief(told) if isinstance(block, Facts) for item in block.items
    }


def advice(told):
    return [text for text in explained(told) if not text.startswith("‖f(OOD)‖² is")]


def explained(told):
    return [block.text for block in brief(told) if isinstance(block, Text)]


def answering(own, standard, **changes):
    """Two methods of which only the responses are known: ||f||^2 of the target's images is 1."""
    pairs = {"taufe": own, "standard": standard}
    methods = [
        MethodFacts(name=name, activation=[1.0] * len(values), ood_activation=values) for name, values in pairs.items()
    ]
    return facts(methods=methods, **changes)


def cells(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_the_interval_by_hand():
    # mean 3, standard deviation 1, r = 3: t(0.975, 2) = 4.3027, half = 4.3027 / sqrt(3) = 2.4842
    assert student_interval([2, 4, 3]) == pytest.approx((0.5158, 5.4842), abs=1e-4)
    # r = 2: the median of 3 and 5, half = 12.7062 * sqrt(2) / sqrt(2)
    assert student_interval([3, 5]) == pytest.approx((4 - 12.7062, 4 + 12.7062), abs=1e-4)
    assert student_interval([1.5, 1.5, 1.5]) == (1.5, 1.5)


@given(numbers)
def test_the_mean_lies_95_percent_deep_in_the_interval(differences):
    """The tails beyond the ends hold 2.5% each, by the distribution function of Student's t as an incomplete beta."""
    low, high = student_interval(differences)
    r, spread = len(differences), np.std(differences, ddof=1)
    assert (low + high) / 2 == pytest.approx(np.mean(differences), abs=1e-9)
    if spread > 1e-9:
        t = (high - low) / 2 / (spread / math.sqrt(r))
        assert betainc((r - 1) / 2, 0.5, (r - 1) / (r - 1 + t**2)) == pytest.approx(0.05)


@given(numbers, st.integers(-5, 5), st.integers(1, 9))
def test_the_interval_moves_and_stretches_with_the_differences(differences, shift, scale):
    low, high = student_interval(differences)
    moved = student_interval(scale * np.array(differences) + shift)
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ([1.0], "1 difference has no spread, so it gives no interval. Give at least 2."),
        ([1.0, np.nan], "differences has NaN or infinite values in 1 of 2 rows"),
        ([], "differences is empty"),
    ],
)
def test_an_interval_needs_two_finite_differences(differences, sentence):
    with pytest.raises(InputError, match=sentence):
        student_interval(differences)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (facts((0.62,)), "taufe: test accuracy 62.0%."),
        (facts((0.60, 0.64)), "taufe: test accuracy 62.0% ± 2.8."),
        (facts((0.62,), (0.60,)), "taufe: test accuracy 62.0%, 2.0 points above standard training."),
        (facts((0.575,), (0.60,)), "taufe: test accuracy 57.5%, 2.5 points below standard training."),
        (facts((0.5,), (0.5004,)), "taufe: test accuracy 50.0%, level with standard training."),
        (facts((0.5, 0.6), (0.5,)), "taufe: test accuracy 55.0% ± 7.1."),  # one repeat is missing: no pairs
        (facts((0.4,), method="standard"), "standard: test accuracy 40.0%."),
        (facts((0.4,), measure="mean IoU"), "taufe: mean IoU 40.0%."),
        (facts(), "taufe: was trained."),
        (
            with_responses(),
            "taufe: test accuracy 65.0% ± 7.1, 5.0 points above standard training; "
            "‖f(OOD)‖² 2.3 times below standard training.",
        ),
        (ood_comparison(), "Likeliest to help: places."),
        (ood_comparison(candidates=()), "Nothing was trained."),
    ],
)
def test_the_first_sentence_says_what_was_found(told, sentence):
    assert lead(told) == sentence


def test_the_key_numbers_by_hand():
    told = with_responses(target=1234, task="classification", rejected=[("a", "b")])
    assert key_numbers(told) == {
        "Method": ("taufe", "classification, weight 0.1"),
        "Labelled images": ("1,234", ""),
        "Test accuracy": ("65.0%", "± 7.1, 2 seeds"),
        "Over standard": ("+5.0", "points; better in 1 of 2"),
        "‖f(OOD)‖²": ("2.3 times", "below standard: 1.73, standard 4; 1.33 to 4 times by seed"),
        "Unusable files": ("1", "listed below"),
    }


def test_a_model_is_not_compared_with_itself():
    told = with_responses(method="standard")
    assert list(key_numbers(told)) == ["Method", "Test accuracy", "‖f(OOD)‖²"]
    assert key_numbers(told)["‖f(OOD)‖²"] == ("80%", "of ‖f‖² on the target")
    assert lead(told).endswith("; responds to OOD images with 80% of its response to the target.")
    assert advice(told) == []


@pytest.mark.parametrize(
    ("own", "standard", "size", "note"),
    [
        ((3.2,), (12.4,), "3.9 times", "below standard: 3.2, standard 12.4"),  # 12.4 / 3.2 = 3.875
        ((12.4,), (3.2,), "3.9 times", "above standard: 12.4, standard 3.2"),
        ((2.0,), (2.04,), "level", "with standard: 2, standard 2.04"),
        ((0.5,), (617.0,), "1,234 times", "below standard: 0.5, standard 617"),
        # 4 / 2 and 800 / 16 times: the root of 2 * 50 = 10, as sqrt(4 * 800) / sqrt(2 * 16) = 56.6 / 5.66
        ((2.0, 16.0), (4.0, 800.0), "10 times", "below standard: 5.66, standard 56.6; 2 to 50 times by seed"),
    ],
)
def test_the_response_is_told_by_the_factor_that_a_reader_gets_who_divides(own, standard, size, note):
    told = answering(own, standard)
    assert key_numbers(told)["‖f(OOD)‖²"] == (size, note)
    side = note.partition(":")[0]
    assert lead(told) == f"taufe: ‖f(OOD)‖² {size} {side} training."


def test_the_response_is_explained_in_a_sentence_where_it_stands():
    (sentence,) = explained(answering((3.2,), (12.4,), ood_ids=["a"] * 60))
    assert sentence == (
        "‖f(OOD)‖² is the squared length of the features that 60 OOD images get on average: the smaller, the less the "
        "model answers to what they show."
    )
    assert "the features that OOD images get" in explained(answering((3.2,), (12.4,)))[0]
    assert explained(facts((0.5,))) == []


@pytest.mark.parametrize(("own", "standard"), [((0.0,), (4.0,)), ((2.0,), (0.0,)), ((2.0, 3.0), (4.0,)), ((2.0,), ())])
def test_without_pairs_or_anything_to_divide_the_target_is_compared_with(own, standard):
    told = answering(own, standard)
    assert key_numbers(told)["‖f(OOD)‖²"] == (f"{np.mean(own):.0%}", "of ‖f‖² on the target")


def test_shares_are_averaged_over_repeats_with_their_spread():
    # 193.8 / 67.7 = 286 % and 133.9 / 486.5 = 28 %; of the means it would be 163.85 / 277.1 = 59 %
    one = MethodFacts(name="taufe", activation=(67.7, 486.5), ood_activation=(193.8, 133.9))
    features, _ = comparison(facts(methods=[one]))
    assert cells(features)[0]["OOD / target (%)"] == "157 ± 183"
    assert lead(facts(methods=[one])) == "taufe: responds to OOD images with 157% of its response to the target."


def test_numbers_that_nobody_measured_are_left_out():
    assert key_numbers(facts()) == {"Method": ("taufe", "")}
    assert key_numbers(ood_comparison()) == {}
    silent = MethodFacts(name="taufe", activation=(0.0,), ood_activation=(0.0,))
    assert "‖f(OOD)‖²" not in key_numbers(facts(methods=[silent]))


@pytest.mark.parametrize(
    ("own", "standard", "sentence"),
    [
        # 2, 4 and 3 points, as in the interval by hand
        (
            (0.52, 0.54, 0.53),
            (0.5, 0.5, 0.5),
            "The OOD images help: the difference to standard training lies between +0.5 and +5.5 points "
            "(95% interval).",
        ),
        (
            (0.48, 0.46, 0.47),
            (0.5, 0.5, 0.5),
            "The OOD images harm: the difference to standard training lies between -5.5 and -0.5 points "
            "(95% interval). Use the standard model, or other OOD images.",
        ),
        # 1, 2 and 3 points: 2 - 2.48 and 2 + 2.48; the pairs count, not the order of the scores
        (
            (0.61, 0.42, 0.53),
            (0.6, 0.4, 0.5),
            "No difference that these repeats could show: the difference to standard training lies between -0.5 and "
            "+4.5 points (95% interval). More repeats narrow it.",
        ),
        (
            (0.6,),
            (0.5,),
            "One training of each says little about the difference: repeat with --repeats 3 or more to know.",
        ),
    ],
)
def test_the_advice_follows_from_the_interval(own, standard, sentence):
    assert advice(facts(own, standard)) == [sentence]


def test_without_pairs_there_is_no_advice():
    assert advice(facts((0.5, 0.6), (0.5,))) == advice(facts((0.5,))) == advice(facts((), ())) == []


def test_the_tables_have_a_row_per_method_in_the_order_given():
    scores, features, reading = comparison(train_facts())
    assert cells(scores) == [
        {"Method": "taufe", "Test accuracy (%)": "62.0 ± 2.0", "Over standard": "+3.0 ± 1.0", "Seeds": "3"},
        {"Method": "standard", "Test accuracy (%)": "59.0 ± 1.0", "Over standard": "—", "Seeds": "3"},
        {"Method": "oat", "Test accuracy (%)": "59.3 ± 1.5", "Over standard": "+0.3 ± 2.1", "Seeds": "3"},
    ]
    assert features.header == (
        "Method",
        "Class cosine",
        "‖f(target)‖²",
        "‖f(OOD)‖²",
        "OOD / target (%)",
        "AUROC msp",
        "AUROC energy",
    )
    assert [row[0] for row in features.rows] == ["taufe", "standard", "oat"]
    assert [row[-2:] for row in features.rows] == [("70.0 ± 3.5", "75.0 ± 3.8")] * 3
    assert scores.numbers == {1, 2, 3}
    assert "Class cosine:" in reading.text
    assert "AUROC (%):" in reading.text
    assert "OOD / target: ‖f(OOD)‖² as a share of ‖f(target)‖², seed by seed." in reading.text
    assert features.caption.endswith(", measured on 80 OOD images that training never saw.")


def test_the_features_by_hand():
    methods = [
        MethodFacts(name="taufe", between=(0.25, 0.75), activation=(8, 12), ood_activation=(0.001, 0.002)),
        MethodFacts(name="oat", auroc={"msp": (0.875,)}),
    ]
    features, _ = comparison(facts(methods=methods))
    assert cells(features) == [
        {
            "Method": "taufe",
            "Class cosine": "0.500 ± 0.354",
            "‖f(target)‖²": "9.8",  # geometric means over seeds: sqrt(8 * 12) and sqrt(0.001 * 0.002)
            "‖f(OOD)‖²": "0.00141",
            "OOD / target (%)": "0 ± 0",
            "AUROC msp": "—",
        },
        {
            "Method": "oat",
            "Class cosine": "—",
            "‖f(target)‖²": "—",
            "‖f(OOD)‖²": "—",
            "OOD / target (%)": "—",
            "AUROC msp": "87.5",
        },
    ]


def test_only_what_is_shown_is_explained():
    (scores,) = comparison(facts((0.5,)))
    assert scores.header == ("Method", "Test accuracy (%)", "Seeds")
    boxes = facts(methods=[MethodFacts(name="taufe", ood_activation=(1.0,))], ood_ids=["a", "b"], ood_held_back=False)
    features, reading = comparison(boxes)
    assert features.header == ("Method", "‖f(OOD)‖²")
    assert reading.text == (
        "‖f‖²: squared length, a sum over the features of an image; mean over images, geometric mean over seeds. "
        "Careful: 2 OOD images are few, so AUROC and ‖f(OOD)‖² are rough."
    )
    assert comparison(facts()) == comparison(ood_comparison()) == []


@pytest.mark.parametrize(("count", "rough"), [(49, True), (50, False), (0, False)])
def test_few_ood_images_are_said_to_give_rough_numbers(count, rough):
    features, reading = comparison(answering((1.0,), (2.0,), ood_ids=["a"] * count, ood_held_back=False))
    assert (f"Careful: {count} OOD images are few" in reading.text) is rough
    measured = f", measured on {count} OOD images that training saw as well: too few to keep any back." * bool(count)
    assert features.caption == "What the features do, after the last epoch" + (measured or ".")


def test_accuracy_under_attack_is_a_column_where_it_was_measured():
    attacked = MethodFacts(name="taufe", score=(0.5, 0.7), attacked=(0.2, 0.4))
    scores, reading = comparison(facts(methods=[attacked], attacked_images=1500))
    assert cells(scores)[0]["Accuracy under PGD (%)"] == "30.0 ± 14.1"
    assert reading.text == "Accuracy under PGD: on 1,500 test images after an attack of 100 steps."
    (scores,) = comparison(facts((0.5,), attacked_images=1500))
    assert "Accuracy under PGD (%)" not in scores.header


def test_others_are_compared_with_standard_training_where_that_is_the_runs_own_method():
    scores, *_ = comparison(with_responses(method="standard"))
    assert [row["Over standard"] for row in cells(scores)] == ["+5.0 ± 7.1", "—"]


def test_a_loss_that_rounds_to_nothing_has_no_minus_sign():
    told = facts((0.5,), (0.5004,))
    assert key_numbers(told)["Over standard"][0] == cells(comparison(told)[0])[0]["Over standard"] == "+0.0"


def test_of_equal_estimates_the_first_named_is_named():
    tie = [Candidate("b", 1, 0, 0.5), Candidate("a", 1, 0, 0.5), *CANDIDATES]
    assert lead(ood_comparison(candidates=tie)) == "Likeliest to help: b."
