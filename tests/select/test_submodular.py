import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_active as oracles
from goodgrain.errors import InputError, UnknownName
from goodgrain.select import submodular
from goodgrain.select.submodular import similar

VALUES = {"flcmi": oracles.flcmi, "logdetcmi": oracles.logdetcmi}
BOTH = pytest.mark.parametrize("kind", VALUES)


@st.composite
def pools(draw):
    """Pool, query and private set, anywhere or on a grid with zero rows and ties; the two sets may be empty."""
    n, q, p, d = (draw(st.integers(*span)) for span in ((1, 14), (0, 4), (0, 4), (1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    grid = draw(st.booleans())
    rows = rng.integers(-1, 3, size=(n + q + p, d)).astype(float) if grid else rng.normal(size=(n + q + p, d))
    return rows[:n], rows[n : n + q], rows[n + q :], rng


@BOTH
@settings(max_examples=120, deadline=None)
@given(problem=pools(), balanced=st.booleans(), below=st.booleans())
def test_equals_greedy_by_brute_force(kind, problem, balanced, below):
    """Pick by pick and gain by gain, with blocks so small that all of them are in play."""
    pool, query, private, rng = problem
    n = len(pool)
    kept, dropped = np.split(rng.permutation(n)[: n - 1], [int(rng.integers(0, n // 3 + 1))])
    dropped = dropped[: n // 3]
    groups = rng.integers(2, size=n) if balanced else None
    budget = int(rng.integers(max(1, len(kept)), n - len(dropped) + 1))
    options = {"eta": 0.7, "nu": 0.4} if below else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submodular, "BLOCK", 6)
        patch.setattr(submodular, "_WIDTHS", (1, 4))
        chosen = similar(
            pool, query, private, budget, kind=kind, labels=groups, must_keep=kept, must_drop=dropped, **options
        )
    picks, gains = oracles.similar(
        VALUES[kind], pool, query, private, budget, groups=groups, kept=kept.tolist(), dropped=dropped, **options
    )
    assert chosen.positions.tolist() == picks
    np.testing.assert_allclose(chosen.gains, gains, atol=1e-8)


@BOTH
def test_equals_greedy_where_few_candidates_are_evaluated(kind):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(6, 8))
    pool, query, private = (centers[rng.integers(*span, size=n)] for span, n in (((6,), 60), ((2,), 5), ((4, 6), 5)))
    pool, query, private = (x + 0.5 * rng.normal(size=x.shape) for x in (pool, query, private))
    chosen = similar(pool.astype(np.float32), query, private, 12, kind=kind, eta=1.2, nu=0.5, ridge=1.0)
    picks, gains = oracles.similar(VALUES[kind], pool.astype(np.float32), query, private, 12, eta=1.2, nu=0.5)
    assert chosen.positions.tolist() == picks
    np.testing.assert_allclose(chosen.gains, gains, atol=1e-8)


def test_facility_location_by_hand():
    # Cosines with the query (1, 0) are 0.6, 0.8, 0 and 0.8, with the private (0, 1) 0.8, 0.6, 1 and 0: rows 0 and 2
    # are closer to the private set and count for nothing. Row 1 is worth up to 0.8 - 0.6, row 3 up to 0.8 - 0.
    pool = [[0.6, 0.8], [0.8, 0.6], [0.0, 1.0], [0.8, -0.6]]
    # Row 0 reaches row 1 with 0.96, cut to 0.8: 0.2. Row 1 the same for itself, and row 3 with 0.28: 0.48.
    # Row 3 itself with 1, cut to 0.8, and row 1 with 0.28, less than 0.6: 0.8. It comes first.
    # Then rows 0 and 1 add 0.2 each; row 1 is more like the query itself (0.8 - 0.6 against 0.6 - 0.8).
    # Then nothing adds anything, and row 0 (-0.2) goes before row 2 (-1).
    chosen = similar(pool, [[1.0, 0.0]], [[0.0, 1.0]], 4)
    np.testing.assert_array_equal(chosen.positions, [3, 1, 0, 2])
    np.testing.assert_allclose(chosen.gains, [0.8, 0.2, 0.0, 0.0], atol=1e-12)


def test_log_determinant_by_hand():
    # One query and one private example, at right angles; ridge 1, so that every variance starts from 2.
    # Like the private one: variance 2 - 1/2 with and without the query: log 1 = 0.
    # Like the query: 2 without it, 3/2 with it: log 4/3. Halfway: 2 - 1/4 and 2 - 1/2: log 7/6.
    pool = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    first = similar(pool, [[1.0, 0.0]], [[0.0, 1.0]], 1, kind="logdetcmi")
    assert first.positions.tolist() == [1]
    assert first.gains[0] == pytest.approx(np.log(4 / 3), abs=1e-9)
    # Given row 1, halfway has 2 - 1/4 - 1/4 without the query; with it, the query direction is seen twice:
    # 1 + 1/2 (1/3) + 1/2 (1/2) = 17/12. The first has 0 again.
    whole = similar(pool, [[1.0, 0.0]], [[0.0, 1.0]], 3, kind="logdetcmi")
    assert whole.positions.tolist() == [1, 2, 0]
    assert whole.gains[1] == pytest.approx(np.log(1.5 / (17 / 12)), abs=1e-9)


@BOTH
def test_picks_are_like_the_query_and_unlike_the_private_set(kind):
    rng = np.random.default_rng(0)
    centers = 3.0 * rng.normal(size=(4, 16))
    of = rng.integers(4, size=400)
    pool = centers[of] + rng.normal(size=(400, 16))
    query, private = (np.repeat(centers[part], 10, axis=0) + rng.normal(size=(20, 16)) for part in ([0, 1], [2, 3]))
    chosen = of[similar(pool, query, private, 30, kind=kind).positions]
    assert set(chosen) == {0, 1}


@BOTH
@settings(max_examples=40, deadline=None)
@given(problem=pools())
def test_gains_add_up_to_the_value(kind, problem):
    pool, query, private, _ = problem
    chosen = similar(pool, query, private, len(pool), kind=kind)
    assert sorted(chosen.positions) == list(range(len(pool)))
    assert (chosen.gains >= 0.0).all()
    value = VALUES[kind](pool, query, private, range(len(pool)))
    assert chosen.gains.sum() == pytest.approx(value, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(pools(), st.floats(0.1, 3.0), st.floats(0.1, 3.0))
def test_facility_location_gains_only_fall(problem, eta, nu):
    pool, query, private, _ = problem
    assert (np.diff(similar(pool, query, private, len(pool), eta=eta, nu=nu).gains) <= 0.0).all()


@BOTH
def test_lengths_do_not_matter(kind):
    rng = np.random.default_rng(0)
    pool, query, private = rng.normal(size=(40, 5)), rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    plain = similar(pool, query, private, 10, kind=kind).positions
    lengths = 2.0 ** rng.integers(-90, 90, size=(40, 1))
    np.testing.assert_array_equal(similar(pool * lengths, 8.0 * query, private / 4.0, 10, kind=kind).positions, plain)


@BOTH
def test_without_a_query_nothing_is_shared(kind):
    pool = np.random.default_rng(0).normal(size=(8, 3))
    for empty in (None, [], np.empty((0, 3))):
        chosen = similar(pool, empty, pool[2:3], 8, kind=kind)
        np.testing.assert_array_equal(chosen.gains, 0.0)
        assert chosen.positions[-1] == 2  # least unlike the private set
        np.testing.assert_array_equal(similar(pool, empty, None, 8, kind=kind).positions, range(8))


@BOTH
def test_without_a_private_set_the_query_alone_decides(kind):
    pool, query = np.random.default_rng(0).normal(size=(30, 4)), np.random.default_rng(1).normal(size=(3, 4))
    chosen = similar(pool, query, [], 5, kind=kind)
    picks, _ = oracles.similar(VALUES[kind], pool, query, np.empty((0, 4)), 5)
    assert chosen.positions.tolist() == picks


@BOTH
def test_a_smaller_budget_is_a_prefix_and_the_input_stays(kind):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 5)) for n in (60, 4, 4)]
    before = [part.copy() for part in parts]
    whole, part = similar(*parts, 60, kind=kind), similar(*parts, 0.25, kind=kind)
    np.testing.assert_array_equal(part.positions, whole.positions[:15])
    np.testing.assert_array_equal(part.gains, whole.gains[:15])
    for now, then in zip(parts, before, strict=True):
        np.testing.assert_array_equal(now, then)


@BOTH
def test_memory_stays_linear(kind):
    rng = np.random.default_rng(0)
    pool, query, private = (rng.normal(size=(n, 8)).astype(np.float32) for n in (6000, 40, 40))
    similar(pool[:50], query, private, 2, kind=kind)
    tracemalloc.start()
    similar(pool, query, private, 20, kind=kind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # a kernel over the pool would take 144e6 in float32


def test_refusals_say_what_to_do():
    pool = np.eye(3)
    with pytest.raises(InputError, match="query has 2 columns, the pool has 3. Embed all of them with one model."):
        similar(pool, np.eye(2), None, 1)
    with pytest.raises(InputError, match="private has NaN or infinite values in 1 of 1 rows"):
        similar(pool, pool, [[np.nan, 0.0, 0.0]], 1)
    with pytest.raises(UnknownName, match="no kind 'logdetmi'. Did you mean 'logdetcmi'"):
        similar(pool, pool, None, 1, kind="logdetmi")
    with pytest.raises(InputError, match="nu should be above 0; -1 came."):
        similar(pool, pool, None, 1, nu=-1)
    with pytest.raises(InputError, match="budget=4 is more than the 3 examples. Ask for at most 3."):
        similar(pool, pool, None, 4)
    with pytest.raises(InputError, match="with eta=2, nu=1 and ridge=0.1 the kernel of logdetcmi is not positive"):
        similar(pool, pool, None, 1, kind="logdetcmi", eta=2.0, ridge=0.1)
