import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_active as oracles
from goodgrain.errors import InputError
from goodgrain.select import gradient
from goodgrain.select.gradient import badge


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@st.composite
def models(draw):
    """Probabilities, some of them certain, features anywhere or on a grid, with zeros and copies among them."""
    n, c, d = draw(st.integers(2, 30)), draw(st.integers(2, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    p = softmax(rng.normal(scale=3.0, size=(n, c)))
    h = rng.integers(-1, 3, size=(n, d)).astype(float) if draw(st.booleans()) else rng.normal(size=(n, d))
    if draw(st.booleans()):
        sure = rng.random(n) < 0.4
        p[sure] = np.eye(c)[rng.integers(c, size=sure.sum())]
    if draw(st.booleans()):
        source = rng.integers(n, size=n)
        p, h = p[source], h[source]
    h = h * 2.0 ** draw(st.sampled_from([-300, -40, 0, 40, 300]))
    return p, h, rng


def test_longest_first_by_hand():
    # Residuals are +-(1 - p)(1, -1), so that each g is a multiple of (1, -1): 1.5, 0.5, 0, and -1 for the other class.
    p = [[0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [0.25, 0.75]]
    h = [[3.0], [2.0], [9.0], [4.0]]
    for seed in range(20):
        chosen = badge(p, h, 4, seed=seed)
        assert chosen.positions[0] == 0
        assert chosen.gains[0] == pytest.approx(1.5 * np.sqrt(2))
        along = np.array([1.5, 0.5, 0.0, -1.0])
        before = along[chosen.positions[:1]]
        assert chosen.gains[1] == pytest.approx(np.abs(along[chosen.positions[1]] - before).min() * np.sqrt(2))


def test_draws_are_in_proportion_to_the_squared_distance():
    # Multiples of (1, -1) again: 3 is longest, then 2, 1 and 0 have D^2 of 1, 4 and 9 units, of 14 together.
    p, h = np.full((4, 2), 0.5), np.array([[6.0], [4.0], [2.0], [0.0]])
    second = [badge(p, h, 2, seed=seed).positions[1] for seed in range(4000)]
    shares = np.bincount(second, minlength=4) / 4000
    np.testing.assert_allclose(shares, [0.0, 1 / 14, 4 / 14, 9 / 14], atol=0.03)


@settings(max_examples=200, deadline=None)
@given(models(), st.booleans(), st.sampled_from([0, 3, 64]), st.integers(0, 1000))
def test_equals_k_means_plus_plus_on_gradients_written_out(problem, balanced, vain, seed):
    """Pick by pick, with blocks so small that all of them are in play."""
    p, h, rng = problem
    n = len(p)
    kept, dropped = np.split(rng.permutation(n)[: n - 1], [int(rng.integers(0, n // 3 + 1))])
    dropped = dropped[: n // 3]
    groups = rng.integers(3, size=n) if balanced else None
    budget = int(rng.integers(max(1, len(kept)), n - len(dropped) + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient, "VAIN", vain)
        patch.setattr(gradient, "CENTERS", 3)
        patch.setattr(gradient, "SMALL", 40)
        chosen = badge(p, h, budget, labels=groups, must_keep=kept, must_drop=dropped, seed=seed)
    scale = np.abs(h).max() or 1.0  # the oracle's squares would overflow
    picks, gains = oracles.k_means_plus_plus(
        oracles.gradients(p, h / scale), budget, seed, groups=groups, kept=kept.tolist(), dropped=dropped.tolist()
    )
    assert chosen.positions.tolist() == picks
    np.testing.assert_allclose(chosen.gains / scale, gains, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "spread"), [(np.float32, 1.0), (np.float32, 1e-6), (np.float64, 1.0), (np.float64, 1e-6), (float, 1e-10)]
)
def test_rounding_never_changes_a_pick(dtype, spread):
    """Also where gradients differ by less than a float32 product can tell, or a float64 product."""
    rng = np.random.default_rng(0)
    h = (rng.normal(size=(1, 40)) + spread * rng.normal(size=(1200, 40))).astype(dtype)
    p = softmax(1.0 + spread * rng.normal(size=(1200, 5))).astype(dtype)
    chosen = badge(p, h, 120, seed=3).positions
    g = oracles.gradients(p, h)
    rng = np.random.default_rng(3)
    picks, squared = [int(np.square(g).sum(axis=1).argmax())], np.full(len(g), np.inf)
    while len(picks) < 120:
        np.minimum(squared, np.square(g - g[picks[-1]]).sum(axis=1), out=squared)
        squared[picks] = -1.0
        picks.append(int((squared / rng.standard_exponential(len(g))).argmax()))
    assert chosen.tolist() == picks


def test_the_residual_is_the_predicted_class_less_the_probabilities():
    """With -p in its place, the sure example would have the longest gradient of all."""
    p, h = np.array([[0.0, 1.0], [0.4, 0.6], [0.1, 0.9]]), np.ones((3, 1))
    assert badge(p, h, 1).positions[0] == 1


def test_nothing_is_drawn_twice_where_all_gradients_are_alike():
    p, h = np.full((40, 3), 1 / 3), np.ones((40, 2))
    first = set()
    for seed in range(30):
        chosen = badge(p, h, 40, seed=seed)
        assert sorted(chosen.positions) == list(range(40))
        np.testing.assert_array_equal(chosen.gains[1:], 0.0)
        first.add(int(chosen.positions[1]))
    assert len(first) > 10  # uniform among the rest, not by position


def test_gradients_of_length_zero_stand_for_each_other():
    # Rows 0 to 3 are sure, row 4 has no features: one of the five is drawn before any two of them are.
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [0.6, 0.4], [0.3, 0.7]])
    h = np.array([[5.0, 1.0], [2.0, 3.0], [1.0, 1.0], [7.0, 0.0], [0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
    for seed in range(20):
        chosen = badge(p, h, 7, seed=seed)
        assert len(set(chosen.positions[:3]) & {0, 1, 2, 3, 4}) == 1
        np.testing.assert_array_equal(chosen.gains[3:], 0.0)


def test_opposite_factors_give_the_same_gradient():
    """Two classes: the other prediction on minus the features is the same gradient."""
    p = np.array([[0.75, 0.25], [0.25, 0.75], [0.75, 0.25]])
    h = np.array([[1.0, 2.0], [-1.0, -2.0], [2.0, 0.0]])
    chosen = badge(p, h, 3, seed=1)
    assert {0, 1} != set(chosen.positions[:2])
    assert chosen.gains[2] == 0.0


def test_gradients_that_are_equal_but_for_rounding_are_equal():
    residuals = np.linspace(0.05, 0.45, 30)
    p = np.column_stack([1.0 - residuals, residuals])
    chosen = badge(p, 0.3 / residuals[:, np.newaxis] * [[1.0, 0.7]], 30)
    np.testing.assert_array_equal(chosen.gains[1:], 0.0)


def test_a_memory_map_is_read_in_blocks(tmp_path):
    rng = np.random.default_rng(0)
    h = rng.normal(size=(3000, 50)).astype(np.float32)
    p = softmax(rng.normal(size=(3000, 4)))
    np.save(tmp_path / "features.npy", h)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    np.testing.assert_array_equal(badge(p, mapped, 50).positions, badge(p, h, 50).positions)


def test_memory_stays_linear():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(20_000, 64)).astype(np.float32)
    p = softmax(rng.normal(size=(20_000, 50))).astype(np.float32)
    badge(p[:100], h[:100], 5)
    tracemalloc.start()
    badge(p, h, 300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # the gradients would take 256e6 in float32, the distances to the picks 24e6


def test_a_smaller_budget_is_a_prefix_and_the_input_stays():
    rng = np.random.default_rng(0)
    p, h = softmax(rng.normal(size=(200, 3))), rng.normal(size=(200, 6))
    before = p.copy(), h.copy()
    whole = badge(p, h, 100, seed=5)
    part = badge(p, h, 0.2, seed=5)
    np.testing.assert_array_equal(part.positions, whole.positions[:40])
    np.testing.assert_array_equal(part.gains, whole.gains[:40])
    np.testing.assert_array_equal(p, before[0])
    np.testing.assert_array_equal(h, before[1])
    assert badge(p, h, 100, seed=6).positions.tolist() != whole.positions.tolist()


def test_refusals_say_what_to_do():
    with pytest.raises(InputError, match="features has 2 rows, but there are 3 examples. Give one row per example."):
        badge(np.full((3, 2), 0.5), np.ones((2, 4)), 1)
    with pytest.raises(InputError, match=r"\(sum 2\). Apply softmax first if these are logits."):
        badge([[1.0, 1.0]], [[1.0]], 1)
    with pytest.raises(InputError, match="budget=4 is more than the 3 examples. Ask for at most 3."):
        badge(np.full((3, 2), 0.5), np.ones((3, 4)), 4)
