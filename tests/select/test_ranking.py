import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_select as oracles
from goodgrain.errors import InputError
from goodgrain.select.ranking import ccs, random, top_k


@st.composite
def scored(draw):
    """Scores with many ties, and labels."""
    n = draw(st.integers(1, 30))
    scores = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return np.array(scores, dtype=float), np.array(labels), draw(st.integers(1, n))


def test_top_k_by_hand():
    chosen = top_k([0.1, 0.9, 0.5, 0.9, 0.7], 4)
    np.testing.assert_array_equal(chosen.positions, [1, 3, 4, 2])  # of the two 0.9, the lower position
    np.testing.assert_array_equal(chosen.gains, [0.9, 0.9, 0.7, 0.5])


def test_top_k_with_classes_by_hand():
    # Turns: class 0 -> 4, class 2 -> 1, class 0 -> 0, class 2 -> 3, class 0 is used up -> 2
    chosen = top_k([0.1, 0.9, 0.3, 0.8, 0.7], 5, labels=[0, 2, 2, 2, 0])
    np.testing.assert_array_equal(chosen.positions, [4, 1, 0, 3, 2])


@given(scored(), st.booleans())
def test_top_k_equals_the_slow_oracle(problem, balanced):
    scores, labels, budget = problem
    groups = labels if balanced else None
    chosen = top_k(scores, budget, labels=groups)
    picks, gains = oracles.greedy(len(scores), budget, lambda i, _: scores[i], groups=groups)
    assert chosen.positions.tolist() == picks
    assert chosen.gains.tolist() == gains


def test_random_is_uniform():
    """Over many seeds, every example is equally often first, and equally often among the first two of five."""
    runs = np.array([random(5, 5, seed=seed).positions for seed in range(3000)])
    first = np.bincount(runs[:, 0], minlength=5)
    assert abs(first - 600).max() < 5 * np.sqrt(3000 * 0.2 * 0.8)
    pair = np.bincount(runs[:, :2].ravel(), minlength=5)
    assert abs(pair - 1200).max() < 5 * np.sqrt(3000 * 0.4 * 0.6)


def test_random_takes_the_highest_numbers_drawn():
    drawn = np.random.default_rng(4).random(20)
    chosen = random(20, 8, seed=4)
    np.testing.assert_array_equal(chosen.positions, np.argsort(-drawn)[:8])
    np.testing.assert_array_equal(chosen.gains, drawn[chosen.positions])


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_random_needs_a_count(n):
    with pytest.raises(InputError, match="n should be a whole number, at least 1"):
        random(n, 1)


def test_ccs_by_hand():
    # One of ten is set aside (99). The rest spans 0..20: strata [0, 10) with seven rows and [10, 20] with two.
    scores = [0, 1, 2, 3, 4, 5, 6, 11, 20, 99]
    for seed in range(20):
        picks = ccs(scores, 10, hard_share=0.1, strata=2, seed=seed).positions
        assert sorted(sorted(pair) in ([7], [8]) or pair[0] > 6 or pair[1] > 6 for pair in (picks[:2], picks[2:4]))
        assert {i > 6 for i in picks[:2].tolist()} == {True, False}  # each stratum once
        assert set(picks[:4].tolist()) >= {7, 8}  # each twice
        assert set(picks[4:9].tolist()) <= set(range(7))  # the small one is empty: filled from the other
        assert picks[9] == 9  # what was set aside comes last


def test_ccs_counts_must_keep_as_picks_of_its_stratum():
    # Both kept examples lie in the low stratum, so the high one has the next two turns.
    for seed in range(20):
        picks = ccs([0, 1, 2, 3, 8, 9, 10, 99], 4, hard_share=0.125, strata=2, must_keep=[0, 1], seed=seed).positions
        assert {4, 5, 6} > set(picks[2:].tolist())


@settings(max_examples=60)
@given(scored(), st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.integers(0, 5))
def test_ccs_takes_equal_numbers_from_the_strata(problem, strata, hard_share, seed):
    scores, _, budget = problem
    chosen = ccs(scores, budget, hard_share=hard_share, strata=strata, seed=seed).positions
    easy_first = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    rest = np.array(easy_first[: len(scores) - int(hard_share * len(scores))])
    low, width = scores[rest].min(), np.ptp(scores[rest]) or 1.0
    stratum = np.minimum((scores - low) / width * strata, strata - 1).astype(int)
    sizes = np.bincount(stratum[rest], minlength=strata)
    for prefix in range(1, min(budget, len(rest)) + 1):
        counts = np.bincount(stratum[chosen[:prefix]], minlength=strata)
        least = oracles.level(sizes, prefix)
        assert set(chosen[:prefix]) <= set(rest)
        assert (counts >= np.minimum(sizes, least)).all()
        assert (counts <= np.minimum(sizes, least + 1)).all()
    followed = scores[chosen[len(rest) :]]
    assert (np.diff(followed) >= 0).all()  # the hardest come last, the easiest of them first


def test_ccs_draws_evenly_within_a_stratum_and_among_strata():
    firsts = np.array([ccs([0, 0.1, 0.2, 10], 2, hard_share=0, strata=2, seed=s).positions for s in range(2000)])
    assert abs((firsts[:, 0] == 3).sum() - 1000) < 5 * np.sqrt(2000 / 4)  # either stratum may begin
    from_low = np.bincount(firsts[firsts != 3], minlength=3)
    assert abs(from_low - 2000 / 3).max() < 5 * np.sqrt(2000 * 2 / 9)


def test_ccs_within_classes():
    # Class 1 has only hard examples, all set aside: it still gets its turns.
    chosen = ccs([0, 1, 2, 3, 50, 60], 4, hard_share=0.34, strata=2, labels=[0, 0, 0, 0, 1, 1]).positions
    np.testing.assert_array_equal(chosen[1::2], [4, 5])
    assert {i < 2 for i in chosen[::2].tolist()} == {True, False}


def test_ccs_refuses_impossible_settings():
    with pytest.raises(InputError, match=r"hard_share should lie in \[0, 1\); 1.0 came"):
        ccs([1.0, 2.0], 1, hard_share=1.0)
    with pytest.raises(InputError, match="strata should be a whole number, at least 1; 0 came"):
        ccs([1.0, 2.0], 1, strata=0)
