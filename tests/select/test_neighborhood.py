import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from goodgrain.errors import InputError, UnknownName
from goodgrain.select.neighborhood import neighborhood_confidence, objective, prune4rel

TOY = np.array([[1, 0], [0.98, 0.199], [0, 1]])
TOY_CONFIDENCE = np.array([0.9, 0.8, 0.7])


def problem(seed, *, n=None, ties=False):
    """A random problem with neighbours: rows around a few directions, some repeated, some confidences equal or 0."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(4, 40))
    d = int(rng.integers(2, 8))
    centers = rng.normal(size=(int(rng.integers(1, 6)), d))
    x = centers[rng.integers(len(centers), size=n)] + rng.uniform(0, 0.5) * rng.normal(size=(n, d))
    c = rng.uniform(0, 1, size=n)
    if ties:
        x[rng.integers(n, size=n // 3)] = x[rng.integers(n, size=n // 3)]
        c[rng.integers(n, size=n // 3)] = 0.5
        c[rng.integers(n, size=n // 5)] = 0.0
        x[rng.integers(n, size=n // 8)] = 0.0
    return x, c, rng.integers(0, int(rng.integers(1, 5)), size=n)


def test_first_gains_of_the_toy_by_hand():
    # No neighbour is selected yet, so the own gain is tanh(C): tanh(.9), tanh(.8), tanh(.7).
    gains = [prune4rel(TOY, np.where(np.arange(3) == i, TOY_CONFIDENCE, 0), 1).gains[0] for i in range(3)]
    np.testing.assert_allclose(gains, [0.71630, 0.66404, 0.60437], atol=5e-6)


def test_picks_and_objective_of_the_toy():
    for gain in ("own", "coverage"):
        picks = prune4rel(TOY, TOY_CONFIDENCE, 2, gain=gain).positions
        assert picks.tolist() == [0, 2]
        assert objective(TOY, TOY_CONFIDENCE, picks) == pytest.approx(2.02809, abs=5e-6)


def test_first_coverage_gains_of_the_toy():
    # The first two rows are neighbours at 0.98: each adds to the other as well; the third stands alone.
    gains = [objective(TOY, TOY_CONFIDENCE, [i]) for i in range(3)]
    np.testing.assert_allclose(gains, [1.42372, 1.31903, 0.60437], atol=5e-6)
    assert prune4rel(TOY, TOY_CONFIDENCE, 1, gain="coverage").gains[0] == pytest.approx(1.42372, abs=5e-6)


def test_own_gain_prefers_a_lone_example_that_coverage_does_not():
    # One isolated point with C = .9 against ten equal points with C = .8: tanh(.9) = .716 against 10 x tanh(.8) = 6.64.
    x = np.array([[1.0, 0.0]] + [[0.0, 1.0]] * 10)
    c = np.array([0.9] + [0.8] * 10)
    assert prune4rel(x, c, 1).positions.tolist() == [0]
    coverage = prune4rel(x, c, 1, gain="coverage")
    assert coverage.positions.tolist() == [1]
    assert coverage.gains[0] == pytest.approx(10 * 0.664, abs=0.01)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("gain", ["own", "coverage"])
@pytest.mark.parametrize("balanced", [False, True])
def test_equals_the_literal_algorithm_pick_by_pick(gain, ties, balanced):
    for seed in range(60):
        x, c, labels = problem(seed, ties=ties, n=None if gain == "own" else 4 + seed % 14)
        similarity = ["cosine", "shifted"][seed % 2]
        threshold = [0.95, 0.9, 0.6, 1.0, 0.3][seed % 5]
        k = 1 + seed % len(c)
        options = {"threshold": threshold, "gain": gain, "similarity": similarity}
        ours = prune4rel(x, c, k, labels=labels if balanced else None, **options)
        literal = oracles.prune4rel(x, c, k, labels=labels if balanced else None, **options)
        assert ours.positions.tolist() == literal, (seed, options)


def test_temperature_divides_the_confidence_sums():
    for seed in range(20):
        x, c, _ = problem(seed)
        ours = prune4rel(x, c, len(c) // 2 + 1, temperature=0.2).positions.tolist()
        assert ours == oracles.prune4rel(x, c, len(c) // 2 + 1, eta=0.2)


def test_thousands_of_rows_in_many_groups_equal_the_literal_algorithm():
    # Above 2,048 rows the neighbour search skips groups; the lists come in batches.
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(30, 16))
    x = centers[rng.integers(30, size=3000)] + 0.3 * rng.normal(size=(3000, 16))
    x[2900:] = x[:100]
    c = rng.uniform(0.1, 1, size=3000)
    labels = rng.integers(5, size=3000)
    for gain, k in (("own", 1500), ("coverage", 60)):
        for turns in (None, labels):
            ours = prune4rel(x, c, k, gain=gain, labels=turns, threshold=0.9).positions
            assert ours.tolist() == _fast_literal(x, c, k, gain, turns, 0.9)


def _fast_literal(x, c, k, gain, labels, threshold):
    """The literal algorithm with whole-array arithmetic, for problems too large for plain loops."""
    unit = x.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    sums = np.zeros(len(c))
    free = np.ones(len(c), dtype=bool)
    picked = []
    classes = [None] if labels is None else range(labels.max() + 1)
    weights = None
    if gain == "coverage":
        cosine = np.round(unit @ unit.T * oracles.GRID) / oracles.GRID
        weights = np.where(cosine >= threshold - 2.0**-40, cosine, 0.0)
    while len(picked) < k:
        for j in classes:
            if gain == "own":
                worth = np.log(-np.expm1(-2 * c)) - 2 * sums - np.log1p(np.exp(-2 * (sums + c)))
                worth -= np.log1p(np.exp(-2 * sums))
            else:
                worth = (np.tanh(sums[:, None] + weights * c) - np.tanh(sums)[:, None]).sum(axis=0)
                worth = np.round(np.log(worth), 9)
            allowed = free if j is None else free & (labels == j)
            order = np.lexsort((-c, -worth))
            best = int(order[allowed[order]][0])
            picked.append(best)
            free[best] = False
            cosine = np.round(unit @ unit[best] * oracles.GRID) / oracles.GRID
            sums += np.where(cosine >= threshold - 2.0**-40, cosine * c[best], 0.0)
            if len(picked) == k:
                break
    return picked


def test_fifty_thousand_float32_rows_agree_on_the_first_thousand_picks():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(100, 512))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    x = centers[rng.integers(100, size=50_000)] + 0.24 / np.sqrt(512) * rng.normal(size=(50_000, 512))
    x = x.astype(np.float32)
    c = rng.uniform(0.2, 1, size=50_000).astype(np.float32)
    literal = _fast_literal(x, c.astype(np.float64), 1000, "own", None, 0.95)
    assert prune4rel(x, c, 0.02).positions.tolist() == literal


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_coverage_reaches_its_guarantee(seed):
    x, c, _ = problem(seed, n=4 + seed % 9)
    k = 1 + seed % 4
    reached = objective(x, c, prune4rel(x, c, k, gain="coverage", threshold=0.8).positions, threshold=0.8)
    assert reached >= (1 - 1 / np.e) * oracles.best_objective(x, c, k, threshold=0.8) - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["own", "coverage"]))
def test_rows_may_come_in_any_order(seed, gain):
    x, c, labels = problem(seed)
    shuffle = np.random.default_rng(seed).permutation(len(c))
    k = 1 + seed % len(c)
    for given_labels in (None, labels):
        ours = prune4rel(x, c, k, gain=gain, labels=given_labels).positions
        shuffled_labels = None if given_labels is None else labels[shuffle]
        shuffled = prune4rel(x[shuffle], c[shuffle], k, gain=gain, labels=shuffled_labels).positions
        assert shuffle[shuffled].tolist() == ours.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["own", "coverage"]))
def test_a_smaller_budget_is_a_prefix_and_gains_fall(seed, gain):
    x, c, _ = problem(seed)
    whole = prune4rel(x, c, len(c), gain=gain)
    part = prune4rel(x, c, 1 + seed % len(c), gain=gain)
    assert whole.positions[: len(part)].tolist() == part.positions.tolist()
    assert (np.diff(whole.gains) <= 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["own", "coverage"]))
def test_dropped_rows_are_as_if_they_were_not_there(seed, gain):
    x, c, labels = problem(seed, n=20)
    rng = np.random.default_rng(seed)
    dropped = rng.permutation(20)[:6]
    rest = np.setdiff1d(np.arange(20), dropped)
    ours = prune4rel(x, c, 8, gain=gain, labels=labels, must_drop=dropped)
    alone = prune4rel(x[rest], c[rest], 8, gain=gain, labels=labels[rest])
    assert ours.positions.tolist() == rest[alone.positions].tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_kept_come_first_and_quotas_hold(seed):
    x, c, labels = problem(seed, n=30)
    kept = np.random.default_rng(seed).permutation(30)[:3]
    quota = int((labels[kept] == 0).sum()) + 1
    room = min(12, int((labels != 0).sum()) + min(quota, int((labels == 0).sum())))
    ours = prune4rel(x, c, max(room, 3), labels=labels, must_keep=kept, quotas={0: quota})
    assert ours.positions[:3].tolist() == kept.tolist()
    assert (labels[ours.positions] == 0).sum() <= quota
    assert len(set(ours.positions.tolist())) == len(ours)


def test_saturated_gains_still_order():
    # Equal rows: after some 25 picks tanh of the sums is 1.0 in float64, and only log space can tell candidates apart.
    x = np.ones((300, 2))
    c = np.linspace(0.5, 1, 300)
    for gain in ("own", "coverage"):
        picks = prune4rel(x, c, 250, gain=gain).positions
        assert picks.tolist() == list(range(299, 49, -1))


def test_neighborhood_confidence_equals_a_dense_product():
    x, c, _ = problem(3, n=30, ties=True)
    subset = [1, 4, 7, 20]
    expected = oracles.neighbor_weights(x, 0.8)[:, subset] @ c[subset]
    np.testing.assert_allclose(neighborhood_confidence(x, c, subset, threshold=0.8), expected, atol=1e-11)


def test_memory_stays_far_from_n_by_n():
    # 50,000 x 50,000 similarities would take 20 GB; each row has about 5,000 neighbours over the threshold.
    script = """
import resource, numpy as np
from goodgrain.select.neighborhood import prune4rel
rng = np.random.default_rng(0)
x = np.repeat(rng.normal(size=(10, 512)).astype(np.float32), 5000, axis=0)
x += rng.normal(size=x.shape, scale=0.05).astype(np.float32)
c = rng.uniform(0.2, 1, size=len(x))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(prune4rel(x, c, 3000)) == 3000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"confidence": [0.9, -0.1, 0.7]}, "confidence should be >= 0; 1 entries are negative, the first at row 1"),
        ({"confidence": [0.9, 0.8]}, "confidence has 2 rows, but there are 3 examples"),
        ({"embeddings": [[1, 0], [np.nan, 1], [0, 1]]}, "embeddings has NaN or infinite values in 1 of 3 rows"),
        ({"threshold": 0.0}, "threshold should be above 0 and at most 1; 0.0 came"),
        ({"threshold": 1.01}, "threshold should be above 0 and at most 1; 1.01 came"),
        ({"temperature": 0}, "temperature should be above 0; 0 came"),
        ({"budget": 0}, "budget=0 picks nothing"),
        ({"budget": 4}, "budget=4 is more than the 3 examples"),
        ({"budget": True}, "budget should be a count"),
    ],
)
def test_bad_input_gets_a_sentence(change, sentence):
    arguments = {"embeddings": TOY, "confidence": TOY_CONFIDENCE, "budget": 2, **change}
    with pytest.raises(InputError) as error:
        prune4rel(**arguments)
    assert sentence in str(error.value)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="no gain 'coverge'. Did you mean 'coverage'"):
        prune4rel(TOY, TOY_CONFIDENCE, 1, gain="coverge")
    with pytest.raises(UnknownName, match="no similarity 'cosin'. Did you mean 'cosine'"):
        prune4rel(TOY, TOY_CONFIDENCE, 1, similarity="cosin")
