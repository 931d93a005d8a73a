import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.select.ranking import top_k


def test_classes_take_turns_by_hand():
    # Class 1 holds the three best scores, but each class picks in turn: best of 0, best of 1, best of 2, again.
    scores = [0.1, 0.2, 0.9, 0.8, 0.7, 0.3]
    labels = [0, 0, 1, 1, 1, 2]
    assert top_k(scores, 5, labels=labels).positions.tolist() == [1, 2, 5, 0, 3]
    assert top_k(scores, 6, labels=labels).positions.tolist() == [1, 2, 5, 0, 3, 4]  # 0 and 2 are exhausted


@given(st.integers(0, 1000))
def test_counts_differ_by_one_at_most_unless_a_class_runs_out(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, size=30)
    k = int(rng.integers(1, 31))
    picked = np.bincount(labels[top_k(rng.normal(size=30), k, labels=labels).positions], minlength=4)
    there = np.bincount(labels, minlength=4)
    unfinished = picked[picked < there]
    assert picked.sum() == k
    assert len(unfinished) == 0 or picked.max() - unfinished.min() <= 1


@given(st.integers(0, 1000))
def test_kept_count_towards_a_class_share(seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 10)
    kept = rng.permutation(10)[:3]
    picked = top_k(rng.normal(size=30), 12, labels=labels, must_keep=kept).positions
    assert picked[:3].tolist() == kept.tolist()
    assert np.bincount(labels[picked]).tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"must_keep": [1], "must_drop": [1]}, "position 1 is in must_keep and in must_drop"),
        ({"must_drop": [0, 1, 2]}, "budget=2 is more than the 1 examples left to pick (n=4, must_drop=3)"),
        ({"must_keep": [0, 1, 2]}, "must_keep holds 3 examples, the budget is 2"),
        ({"quotas": {0: 1}}, "quotas are per class and need labels"),
        ({"labels": [0, 0, 1, 1], "quotas": {0: 1, 1: 0}}, "the quotas admit 1 picks, the budget is 2"),
        ({"labels": [0, 0, 1, 1], "quotas": {5: 1}}, "a quota for class 5, but no example has that label"),
        ({"labels": [0, 0, 1, 1], "quotas": {0: -1}}, "the quota of class 0 is -1"),
        (
            {"labels": [0, 0, 1, 1], "quotas": {0: 0}, "must_keep": [1]},
            "must_keep holds 1 examples of class 0, its quota",
        ),
        ({"must_keep": [4]}, "must_keep should be 0..3; 4 is not"),
        ({"labels": [0, 0, 1]}, "labels has 3 rows, but there are 4 examples"),
    ],
)
def test_rules_that_cannot_be_met(rules, sentence):
    with pytest.raises(InputError) as error:
        top_k([0.1, 0.2, 0.3, 0.4], 2, **rules)
    assert sentence in str(error.value)


def test_a_quota_may_be_for_a_class_that_is_dropped():
    assert top_k([0.1, 0.2, 0.3], 2, labels=[0, 0, 1], quotas={1: 1}, must_drop=[2]).positions.tolist() == [1, 0]


def test_inputs_are_not_changed():
    scores, labels = np.array([0.3, 0.1, 0.2]), np.array([0, 1, 0])
    kept = [scores.copy(), labels.copy()]
    top_k(scores, 2, labels=labels, must_drop=[0])
    np.testing.assert_array_equal(scores, kept[0])
    np.testing.assert_array_equal(labels, kept[1])
