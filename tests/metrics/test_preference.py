"""Wins, ties and losses: shares by hand, intervals against every resample there is."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.metrics.preference import preference_rates
from oracles_preference import below_and_upto, exact_bootstrap

OUTCOMES = st.lists(st.sampled_from([1, 0, -1]), min_size=1, max_size=60)
INTERVALS = ("win_interval", "tie_interval", "loss_interval", "win_rate_interval")


def test_shares_by_hand():
    rates = preference_rates([1, 1, 1, 0, 0, -1, 1, 0, -1, 1])
    assert rates.n == 10
    assert (rates.win, rates.tie, rates.loss) == (0.5, 0.3, 0.2)
    assert rates.win_rate == pytest.approx(0.65)  # 5 wins and half of 3 ties


def test_a_certain_outcome_has_no_spread():
    rates = preference_rates([1] * 20)
    assert (rates.win_interval, rates.loss_interval, rates.win_rate_interval) == ((1, 1), (0, 0), (1, 1))
    assert preference_rates([0] * 5).win_rate_interval == (0.5, 0.5)


def test_intervals_by_hand():
    """One win and one loss: resamples hold 2, 1 or 0 wins in 1/4, 1/2 and 1/4 of the cases."""
    narrow = preference_rates([1, -1], level=0.4, seed=1)  # its ends lie at 30% and 70%
    assert narrow.win_interval == narrow.win_rate_interval == (0.5, 0.5)
    wide = preference_rates([1, -1], level=0.6, seed=1)  # 20% and 80%
    assert wide.win_interval == wide.win_rate_interval == (0.0, 1.0)


@pytest.mark.parametrize("outcomes", [(1, 0, -1), (1, 1, 0, -1), (1, 1, -1, -1, 0), (1, 1, 1, 0, 0, -1), (1, 0, 0, 0)])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_interval_ends_are_quantiles_of_every_resample(outcomes, level):
    rates = preference_rates(outcomes, level=level, resamples=40_000)
    slack = 0.012  # five standard errors of a quantile's level
    for name, table in zip(INTERVALS, exact_bootstrap(outcomes), strict=True):
        for end, wanted in zip(getattr(rates, name), ((1 - level) / 2, (1 + level) / 2), strict=True):
            below, upto = below_and_upto(table, end)
            assert below - slack <= wanted <= upto + slack, name


def test_large_samples_agree_with_the_normal_interval():
    outcomes = np.repeat([1, 0, -1], [400, 150, 255])
    rates = preference_rates(outcomes, resamples=50_000)
    error = np.std(outcomes / 2) / np.sqrt(805)
    np.testing.assert_allclose(rates.win_rate_interval, rates.win_rate + 1.96 * error * np.array([-1, 1]), atol=0.002)


@given(OUTCOMES, st.integers(0, 99))
@settings(max_examples=50)
def test_shares_sum_to_one_and_lie_in_their_intervals(outcomes, seed):
    rates = preference_rates(outcomes, resamples=400, seed=seed)
    assert rates.win + rates.tie + rates.loss == pytest.approx(1)
    for name in INTERVALS:
        low, high = getattr(rates, name)
        assert 0 <= low <= getattr(rates, name.removesuffix("_interval")) <= high <= 1


@given(OUTCOMES)
@settings(max_examples=50)
def test_swapping_the_models_mirrors_the_shares(outcomes):
    forth, back = (preference_rates(sign * np.array(outcomes), resamples=10) for sign in (1, -1))
    assert (forth.win, forth.tie, forth.loss) == (back.loss, back.tie, back.win)
    assert forth.win_rate == pytest.approx(1 - back.win_rate)


def test_the_seed_and_not_the_order_decides():
    outcomes = [1, 0, -1, 1, 1, 0]
    assert preference_rates(outcomes, seed=3) == preference_rates(sorted(outcomes), seed=3)
    assert preference_rates(outcomes, resamples=50, seed=3) != preference_rates(outcomes, resamples=50, seed=4)


@pytest.mark.parametrize(
    ("outcomes", "arguments", "sentence"),
    [
        ([], {}, "outcomes is empty: at least one row is needed."),
        ([1, 2, 0, -5], {}, "outcomes should be 1 (win), 0 (tie) or -1 (loss); 2 are not, the first is 2 at row 1."),
        ([0.5], {}, "outcomes should be integers; it has fractions or NaN."),
        ([1], {"resamples": 0}, "resamples should be a whole number, at least 1; 0 came."),
        ([1], {"level": 0}, "level should be above 0 and at most 1; 0 came."),
        ([1], {"level": 1}, "level should be below 1: no interval is certain."),
    ],
)
def test_what_is_refused(outcomes, arguments, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        preference_rates(outcomes, **arguments)
