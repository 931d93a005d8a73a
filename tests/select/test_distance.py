import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_select as oracles
from goodgrain.errors import InputError
from goodgrain.select import distance, nearest
from goodgrain.select.distance import herding, k_center, min_cover


@st.composite
def clouds(draw):
    """Rows on a grid (ties and duplicates), or anywhere, of any magnitude; labels; one stream of random numbers."""
    n, d = draw(st.integers(1, 36)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(0, 4, size=(n, d)).astype(float) if draw(st.booleans()) else rng.normal(size=(n, d))
    if draw(st.booleans()):  # rows that need no copy
        x = x.astype(np.float32) + np.float32(draw(st.sampled_from([0.0, 1.0, 1000.0])))
    else:
        x = x * 2.0 ** draw(st.sampled_from([-300, -40, 0, 40, 300])) + draw(st.sampled_from([0.0, 1000.0]))
    return x, rng.integers(draw(st.integers(1, 3)), size=n), rng


def test_farthest_first_by_hand():
    # From 0: the farthest is 10, then 4 (4 from 0, 6 from 10), then 7 (3 from 4 and from 10) and 1 (1 from 0).
    chosen = k_center([[0.0], [1.0], [4.0], [7.0], [10.0]], 4, labeled=[0])
    np.testing.assert_array_equal(chosen.positions, [4, 2, 3, 1])
    np.testing.assert_array_equal(chosen.gains, [10.0, 4.0, 3.0, 1.0])


def test_without_a_center_the_first_pick_is_drawn():
    x = np.arange(6.0)[:, np.newaxis]
    runs = [k_center(x, 2, seed=seed) for seed in range(60)]
    assert {int(run.positions[0]) for run in runs} == set(range(6))
    for run in runs:
        assert run.gains[0] == np.inf
        assert run.positions[1] == (0 if run.positions[0] >= 3 else 5)


@settings(max_examples=150, deadline=None)
@given(clouds(), st.booleans(), st.sampled_from([8, 16]))
def test_k_center_equals_the_slow_oracle(problem, balanced, pool):
    """Pick by pick and gain by gain, with pools and blocks so small that all of them are in play."""
    x, labels, rng = problem
    n = len(x)
    labeled, kept, dropped = np.split(rng.permutation(n)[: n - 1], np.sort(rng.integers(0, n // 3 + 1, size=2)))
    dropped = dropped[: n // 3]
    budget = int(rng.integers(max(1, len(kept)), n - len(labeled) - len(dropped) + 1))
    rules = {"labeled": labeled, "must_keep": kept, "must_drop": dropped, "labels": labels if balanced else None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "POOL", pool)
        patch.setattr(nearest, "BLOCK", 20)
        patch.setattr(nearest, "CENTERS", 3)
        chosen = k_center(x, budget, **rules)
    groups = labels if balanced else None
    first = None if len(labeled) or len(kept) else int(chosen.positions[0])
    picks, gains = oracles.k_center(
        x, budget, labeled=labeled.tolist(), first=first, groups=groups, kept=kept.tolist(), dropped=dropped.tolist()
    )
    assert chosen.positions.tolist() == picks
    assert chosen.gains.tolist() == gains


def _outlier(rng):
    x = rng.normal(size=(2500, 40))
    x[7] *= 1e6
    return x


HARD_CASES = {
    "float32": lambda rng: rng.normal(size=(2500, 300)).astype(np.float32),
    "far from the origin": lambda rng: rng.normal(size=(2500, 40)) + 1e4,
    "one far outlier": _outlier,
    "clusters closer than float32 can tell": lambda rng: (
        np.repeat(rng.normal(size=(5, 40)), 500, axis=0) + 1e-9 * rng.normal(size=(2500, 40))
    ),
    "binary": lambda rng: rng.integers(0, 2, size=(2500, 12)),
    "all alike": lambda rng: np.full((2500, 3), 0.1),
    "one column": lambda rng: rng.normal(size=(2500, 1)),
}


@pytest.mark.parametrize("make", HARD_CASES.values(), ids=HARD_CASES.keys())
def test_rounding_never_changes_a_pick(make):
    x = make(np.random.default_rng(0))
    chosen = k_center(x, 300, seed=1).positions
    assert chosen.tolist() == oracles.running_minimum(x, int(chosen[0]), 300)


def test_labeled_are_centers_and_never_returned():
    x = np.random.default_rng(0).normal(size=(400, 6))
    labeled = np.arange(0, 400, 3)
    chosen = k_center(x, 400 - len(labeled), labeled=labeled)
    assert not set(chosen.positions) & set(labeled)
    gaps = np.linalg.norm(x[chosen.positions[0]] - x[labeled], axis=1)
    assert chosen.gains[0] == pytest.approx(gaps.min())
    assert (np.diff(chosen.gains) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_k_center_is_within_twice_the_best_radius(seed, budget):
    """Gonzalez 1985: no choice of k centers covers with less than half the greedy radius, a random one included."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(10, 2))
    distances = np.linalg.norm(x[:, np.newaxis] - x, axis=2)
    greedy = distances[:, k_center(x, budget).positions].min(axis=1).max()
    others = (distances[:, rng.permutation(10)[:budget]].min(axis=1).max() for _ in range(50))
    assert greedy <= 2 * min(others) + 1e-12


def test_memory_stays_linear():
    x = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)
    k_center(x[:100], 5)
    tracemalloc.start()
    k_center(x, 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # a table of examples x picks would take 160e6 in float32


@pytest.mark.parametrize("rules", [{}, {"must_drop": [3, 5], "labeled": [7]}])
def test_rows_in_single_precision_are_not_copied(rules):
    x = np.maximum(np.random.default_rng(0).normal(size=(20_000, 200)), 0).astype(np.float32)
    k_center(x[:100], 5)
    tracemalloc.start()
    few = k_center(x, 20, **rules)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * x.nbytes
    np.testing.assert_array_equal(few.positions, k_center(x.astype(np.float64), 20, **rules).positions)


def test_a_budget_too_large_says_what_is_left():
    x = np.zeros((1000, 1))
    with pytest.raises(InputError) as refused:
        k_center(x, 500, labeled=range(520))
    assert str(refused.value) == (
        "budget=500 is more than the 480 examples left to pick (n=1000, labeled=520). Ask for at most 480."
    )
    with pytest.raises(InputError, match=r"\(n=1000, labeled=520, must_drop=80\). Ask for at most 400"):
        k_center(x, 0.5, labeled=range(520), must_drop=range(520, 600))
    with pytest.raises(InputError, match="more than the 0 examples"):
        k_center(x, 1, labeled=range(1000))


def test_labeled_examples_can_be_neither_kept_nor_dropped():
    with pytest.raises(InputError, match="position 1 is in labeled and in must_keep"):
        k_center(np.eye(3), 1, labeled=[0, 1], must_keep=[1])
    with pytest.raises(InputError, match="position 0 is in labeled and in must_drop"):
        k_center(np.eye(3), 1, labeled=[0, 1], must_drop=[0])


def test_min_cover_by_hand():
    # From 4: itself, 7 (3 away) and 1 (3 away, but the lower position comes first), 0, 10.
    chosen = min_cover([[0.0], [1.0], [4.0], [7.0], [10.0]], 4, start=2)
    np.testing.assert_array_equal(chosen.positions, [2, 1, 3, 0])
    np.testing.assert_array_equal(chosen.gains, [0, -3, -3, -4])


def test_min_cover_starts_where_the_seed_says():
    x = np.random.default_rng(0).normal(size=(8, 3))
    assert {int(min_cover(x, 1, seed=seed).positions[0]) for seed in range(80)} == set(range(8))


@settings(deadline=None)
@given(clouds(), st.booleans())
def test_min_cover_equals_the_slow_oracle(problem, balanced):
    x, labels, rng = problem
    start, budget = int(rng.integers(len(x))), int(rng.integers(1, len(x) + 1))
    groups = labels if balanced else None
    chosen = min_cover(x, budget, start=start, labels=groups)

    def worth(i, _):
        return (i == start, -np.sqrt(oracles.squared_distance(x, i, start)))

    picks, gains = oracles.greedy(len(x), budget, worth, groups=groups)
    assert chosen.positions.tolist() == picks
    assert chosen.gains.tolist() == [gain for _, gain in gains]


def test_min_cover_cannot_start_from_what_is_not_there():
    with pytest.raises(InputError, match="start=1 is in must_drop"):
        min_cover(np.eye(3), 1, start=1, must_drop=[1])
    with pytest.raises(InputError, match="start should be a whole number, 0 to 2; 3 came"):
        min_cover(np.eye(3), 1, start=3)


def test_herding_by_hand():
    # The mean of 0, 1, 3, 8 is 3. First 3 itself; then 1 (mean 2, against 1.5 and 5.5);
    # then 8 (mean 4, against 4/3 with 0).
    chosen = herding([[0.0], [1.0], [3.0], [8.0]], 4)
    np.testing.assert_array_equal(chosen.positions, [2, 1, 3, 0])
    np.testing.assert_allclose(chosen.gains, [0, -1, -1, 0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 30), st.integers(1, 5), st.booleans(), st.sampled_from([1e-30, 1.0, 1e30]))
def test_herding_equals_the_slow_oracle(seed, n, d, balanced, size):
    """From three rows on: two lie equally far from their mean."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) + 3) * size
    labels = rng.integers(3, size=n) if balanced else None
    kept, dropped = np.split(rng.permutation(n)[: n - 1], [n // 4])
    dropped = dropped[: n // 4]
    budget = int(rng.integers(max(1, len(kept)), n - len(dropped) + 1))
    chosen = herding(x, budget, labels=labels, must_keep=kept, must_drop=dropped)
    picks, gains = oracles.herding(x, budget, groups=labels, kept=kept.tolist(), dropped=dropped.tolist())
    assert chosen.positions.tolist() == picks
    np.testing.assert_allclose(chosen.gains, gains, atol=1e-12 * size)


@pytest.mark.parametrize("name", ["float32", "one far outlier", "clusters closer than float32 can tell"])
def test_rounding_never_changes_a_herded_pick(name):
    x = HARD_CASES[name](np.random.default_rng(0))
    assert herding(x, 200).positions.tolist() == oracles.running_mean(x, 200)


def test_herding_of_duplicates_takes_the_lower_position():
    x = np.repeat(np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32), 3, axis=0)
    order = herding(x, 120).positions
    for row in range(40):
        assert (np.diff(order[order // 3 == row]) > 0).all()


def test_herding_matches_the_mean_better_than_chance():
    x = np.random.default_rng(0).lognormal(size=(2000, 20))
    herded = -herding(x, 100).gains[-1]
    by_chance = min(
        np.linalg.norm(x[np.random.default_rng(s).permutation(2000)[:100]].mean(axis=0) - x.mean(axis=0))
        for s in range(50)
    )
    assert herded < by_chance / 5
