"""The rules that every selection obeys, tried on each of them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.select.distance import herding, k_center, min_cover
from goodgrain.select.ranking import ccs, random, top_k

SELECTIONS = {
    "top_k": lambda x, budget, **rules: top_k(x[:, 0], budget, **rules),
    "random": lambda x, budget, **rules: random(len(x), budget, seed=3, **rules),
    "ccs": lambda x, budget, **rules: ccs(x[:, 0], budget, hard_share=0.2, strata=4, seed=3, **rules),
    "k_center": lambda x, budget, **rules: k_center(x, budget, seed=3, **rules),
    "min_cover": lambda x, budget, **rules: min_cover(x, budget, seed=3, **rules),
    "herding": lambda x, budget, **rules: herding(x, budget, **rules),
}
EVERY = pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS.keys())


@st.composite
def problems(draw):
    n, d = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.normal(size=(n, d)), rng.integers(draw(st.integers(1, 4)), size=n), rng


@EVERY
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_a_smaller_budget_is_a_prefix(select, problem):
    x, labels, rng = problem
    for rules in ({}, {"labels": labels}):
        whole = select(x, len(x), **rules)
        assert sorted(whole.positions) == list(range(len(x)))
        part = select(x, int(rng.integers(1, len(x) + 1)), **rules)
        np.testing.assert_array_equal(part.positions, whole.positions[: len(part)])
        np.testing.assert_array_equal(part.gains, whole.gains[: len(part)])


@EVERY
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_must_drop_equals_running_without_these_rows(select, problem):
    x, labels, rng = problem
    left = np.sort(rng.permutation(len(x))[: rng.integers(1, len(x) + 1)])
    dropped = rng.permutation(np.setdiff1d(np.arange(len(x)), left))
    kept = rng.permutation(len(left))[: rng.integers(0, len(left) + 1)]
    budget = max(1, len(kept), int(rng.integers(1, len(left) + 1)))
    with_them = select(x, budget, labels=labels, must_keep=left[kept], must_drop=dropped)
    without = select(x[left], budget, labels=labels[left], must_keep=kept)
    np.testing.assert_array_equal(with_them.positions, left[without.positions])
    np.testing.assert_array_equal(with_them.gains, without.gains)


@EVERY
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_must_keep_comes_first_and_counts(select, problem):
    x, _, rng = problem
    kept = rng.permutation(len(x))[: rng.integers(1, len(x) + 1)]
    chosen = select(x, len(x), must_keep=kept).positions
    np.testing.assert_array_equal(chosen[: len(kept)], kept)
    assert sorted(chosen) == list(range(len(x)))
    np.testing.assert_array_equal(select(x, len(kept), must_keep=kept).positions, kept)


@EVERY
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_classes_get_equal_numbers_until_they_run_out(select, problem):
    x, labels, rng = problem
    budget = int(rng.integers(1, len(x) + 1))
    sizes = np.bincount(labels)
    counts = np.bincount(labels[select(x, budget, labels=labels).positions], minlength=len(sizes))
    unfinished = counts < sizes
    assert (counts[unfinished] >= counts.max() - 1).all()


@EVERY
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_quotas_are_never_exceeded(select, problem):
    x, labels, rng = problem
    sizes = np.bincount(labels)
    quotas = {int(c): int(rng.integers(0, sizes[c] + 1)) for c in np.unique(labels)}
    admitted = sum(quotas.values())
    if admitted == 0:
        return
    counts = np.bincount(labels[select(x, admitted, labels=labels, quotas=quotas).positions], minlength=len(sizes))
    assert {c: int(counts[c]) for c in quotas} == quotas


@EVERY
def test_a_seed_repeats_itself_and_the_input_stays(select):
    x = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    before = x.copy()
    first, second = select(x, 0.5), select(x, 0.5)
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.gains, second.gains)
    np.testing.assert_array_equal(x, before)
    assert first.positions.dtype == np.int64
    assert len(first) == 150


@EVERY
def test_a_budget_too_large_is_refused(select):
    with pytest.raises(InputError, match="budget=5 is more than the 4 examples"):
        select(np.eye(4), 5)


@pytest.mark.parametrize(
    "select",
    [
        lambda x, labels, budget, one: top_k(x[:, 0], budget, labels=labels),
        lambda x, labels, budget, one: k_center(x, budget, labels=labels, must_keep=[one]),
        lambda x, labels, budget, one: k_center(x, min(budget, len(x) - 1), labeled=[one]),
        lambda x, labels, budget, one: min_cover(x, budget, labels=labels, start=one),
        lambda x, labels, budget, one: herding(x, budget, labels=labels),
    ],
    ids=["top_k", "k_center, must_keep", "k_center, labeled", "min_cover", "herding"],
)
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_rows_may_come_in_any_order(select, problem):
    """Whatever draws nothing at random picks the same examples, in the same order, when the rows are shuffled."""
    x, labels, rng = problem
    assume(len(x) > 2)  # two rows lie equally far from their mean, and herding may begin with either
    budget, one = int(rng.integers(1, len(x) + 1)), int(rng.integers(len(x)))
    order = rng.permutation(len(x))
    shuffled = select(x[order], labels[order], budget, int(np.flatnonzero(order == one)[0]))
    np.testing.assert_array_equal(order[shuffled.positions], select(x, labels, budget, one).positions)
