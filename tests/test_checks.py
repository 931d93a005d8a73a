import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain import checks
from goodgrain.errors import InputError, MissingExtra, UnknownName


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_min=True))
def test_a_share_becomes_the_nearest_count_and_at_least_one(n, share):
    count = checks.budget_count(share, n=n)
    assert 1 <= count <= n
    assert count == 1 or abs(count - share * n) <= 0.5


def test_budgets_by_hand():
    # 0.5 * 5 = 2.5 rounds up; an int is a count, a whole float of 1.0 is everything.
    assert checks.budget_count(0.5, n=5) == 3
    assert checks.budget_count(1, n=5) == 1
    assert checks.budget_count(1.0, n=5) == 5
    assert checks.budget_count(np.int32(4), n=5) == 4
    assert checks.budget_count(1e-9, n=5) == 1


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        (0, "budget=0 picks nothing. Ask for at least 1 of the 5 examples."),
        (6, "budget=6 is more than the 5 examples. Ask for at most 5."),
        (True, "budget should be a count (int) or a share (float in (0, 1]); True came."),
        (1.5, "budget=1.5 is no share: a float should lie in (0, 1]. For a count, give an int."),
        (-0.1, "budget=-0.1 is no share"),
        (float("nan"), "budget=nan is no share"),
        ("half", "budget should be a count (int) or a share (float in (0, 1]); 'half' came."),
    ],
)
def test_bad_budgets(budget, sentence):
    with pytest.raises(InputError) as error:
        checks.budget_count(budget, n=5)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: checks.check_probabilities([[0.5, 0.4]]), "each row of probabilities should sum to 1; 1 of 1 rows do"),
        (lambda: checks.check_probabilities([[1.5, -0.5]]), "probabilities should be >= 0; row 0 has a negative entry"),
        (lambda: checks.check_probabilities([[1.0]]), "one column per class, at least 2; its shape is (1, 1)"),
        (lambda: checks.check_labels([0, 3], classes=3), "labels should be 0..2; 1 are not, the first is 3 at row 1"),
        (lambda: checks.check_labels([0, -1]), "labels should be 0 or more; 1 are not, the first is -1 at row 1"),
        (lambda: checks.check_labels([0.5]), "labels should be integers; it has fractions or NaN"),
        (lambda: checks.check_labels([True]), "labels should be integers; its type is bool"),
        (lambda: checks.check_labels([0, 1], n=3), "labels has 2 rows, but there are 3 examples"),
        (lambda: checks.check_embeddings([[1.0, np.inf]]), "NaN or infinite values in 1 of 1 rows; the first is row 0"),
        (lambda: checks.check_embeddings([1.0]), "embeddings should have 2 axes; its shape is (1,)"),
        (lambda: checks.check_embeddings(np.empty((0, 3))), "embeddings is empty"),
        (lambda: checks.check_embeddings(np.empty((3, 0))), "embeddings has no columns"),
        (lambda: checks.check_embeddings([["a"]]), "embeddings cannot be read as numbers"),
        (lambda: checks.check_confidence([0.1, -0.2]), "confidence should be >= 0; 1 entries are negative"),
        (lambda: checks.check_positions([0, 5], n=5), "positions should be 0..4; 5 is not"),
        (lambda: checks.check_positions([1, 1], n=5), "positions names a position twice"),
    ],
)
def test_bad_arrays_get_a_sentence(call, sentence):
    with pytest.raises(InputError) as error:
        call()
    assert sentence in str(error.value)


def test_types_are_kept_or_widened_and_inputs_untouched():
    single = np.ones((2, 2), dtype=np.float32)
    assert checks.check_embeddings(single) is single
    assert checks.check_embeddings([[1, 2]]).dtype == np.float64
    assert checks.check_labels(np.array([0.0, 2.0])).tolist() == [0, 2]


def test_cpu_tensors_are_taken():
    torch = pytest.importorskip("torch")
    assert checks.check_embeddings(torch.ones(2, 3)).dtype == np.float32


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownName) as error:
        checks.lookup("pruning method", {"prune4rel": 1, "aum": 2}, "prune4real")
    assert str(error.value) == "no pruning method 'prune4real'. Did you mean 'prune4rel'? Known: aum, prune4rel"
    with pytest.raises(UnknownName) as error:
        checks.lookup("gain", {"own": 1}, "zzz")
    assert "Did you mean" not in str(error.value)


def test_a_missing_extra_names_the_line_that_installs_it():
    assert "pip install 'goodgrain[label]'" in str(MissingExtra("fastapi", "label"))
