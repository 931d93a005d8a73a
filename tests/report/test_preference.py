"""The report of a comparison: what its lead says, its bars, and what it leaves out."""

import numpy as np
import pytest

from goodgrain.errors import InputError
from goodgrain.metrics.preference import preference_rates
from goodgrain.report.preference import JudgedPair, PreferenceFacts, preference_bars, preference_report


def facts(outcomes, **more):
    rates = preference_rates(outcomes) if len(outcomes) else None
    given = {"parts": [], "counts": {"agreed": len(outcomes)}, "questions": 100, "first_place": 0.61}
    return PreferenceFacts("mine", "base", "a judge", rates, lengths=(12.0, 3400.0), **{**given, **more})


@pytest.mark.parametrize(
    ("wins", "losses", "lead"),
    [
        (80, 20, "mine is preferred: win rate of mine 80.0% ("),
        (20, 80, "base is preferred: win rate of mine 20.0% ("),
        (52, 48, "neither model is surely preferred: win rate of mine 52.0% ("),
    ],
)
def test_the_lead_claims_no_more_than_the_interval(wins, losses, lead):
    assert lead in preference_report(facts(np.repeat([1, -1], [wins, losses])))


def test_bars_by_hand():
    rows = [("all", preference_rates([1, 1, 0, -1])), ("koala", preference_rates([-1, -1]))]
    win, tie, loss = preference_bars(rows).data
    assert (list(win.x), list(tie.x), list(loss.x)) == ([50, 0], [25, 0], [25, 100])
    assert list(win.y) == [1, 0]  # the first row on top
    assert list(win.text) == ["50", ""]  # no number where there is no room
    np.testing.assert_allclose(np.sum([win.x, tie.x, loss.x], axis=0), 100)


def test_bars_need_a_row():
    with pytest.raises(InputError, match="rows is empty: at least one row is needed"):
        preference_bars([])


def test_what_the_judge_can_be_trusted_with():
    page = preference_report(facts([1, 0]))
    assert "61.0% prefer the one shown first; without position bias it is 50%" in page
    assert "our answers have 12 characters on average, theirs 3,400" in page
    assert "position bias it is" not in preference_report(facts([0, 0], first_place=None))


def test_sections_without_content_are_left_out():
    pair = JudgedPair("why?", "because " * 100, "no", ("[1]", "[2]"))
    full = preference_report(facts([1], wins=[pair], disagreements=[pair], unmatched=[("only", "mine")]))
    assert "Won in both orders" in full
    assert "Each of these counts as a tie. Shown: 1." in full
    assert "Questions that only one model answered" in full
    assert "…" in full
    assert "because " * 60 not in full
    bare = preference_report(facts([1]))
    assert "Won in both orders" not in bare
    assert "only one model" not in bare


def test_one_part_is_no_part():
    alone = facts([1, -1], parts=[("koala", preference_rates([1, -1]))])
    assert "koala" not in preference_report(alone)
    two = facts([1, -1], parts=[("koala", preference_rates([1])), ("vicuna", preference_rates([-1]))])
    assert "koala" in preference_report(two)


def test_names_from_data_stay_text():
    name = "<img src=x onerror=alert(1)>"
    rates = preference_rates([1, -1])
    page = preference_report(facts([1, -1], parts=[(name, rates), ("b", rates)], unmatched=[(name, name)]))
    assert "<img" not in page
    assert "&lt;img" in str(preference_bars([(name, rates)]).layout.yaxis.ticktext[0])
