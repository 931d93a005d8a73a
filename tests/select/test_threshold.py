import numpy as np

import oracles
from goodgrain.select.threshold import KNEE, LEVELS, advise_threshold


def problem(spread, n=300, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(6, 16))
    return centers[rng.integers(6, size=n)] + spread * rng.normal(size=(n, 16)), rng.uniform(0.4, 1, size=n)


def test_it_is_the_highest_level_at_which_the_kept_part_suffices():
    x, c = problem(0.4)
    advice = advise_threshold(x, c, 0.2)
    expected = []
    for level in LEVELS:
        neighbors = (oracles.neighbor_weights(x, level) > 0).sum(axis=1) - 1
        expected.append(0.2 * c.mean() * np.median(neighbors))
    chosen = int(np.flatnonzero(np.array(expected) >= KNEE)[-1])
    assert advice.threshold == LEVELS[chosen]
    assert f"At {LEVELS[chosen]:g} the median example has" in advice.why


def test_a_smaller_budget_needs_wider_neighbourhoods_and_so_do_spread_embeddings():
    x, c = problem(0.4)
    assert advise_threshold(x, c, 0.05).threshold <= advise_threshold(x, c, 0.4).threshold
    assert advise_threshold(*problem(1.0), 0.2).threshold < advise_threshold(*problem(0.2), 0.2).threshold


def test_extremes_are_said():
    rng = np.random.default_rng(0)
    lonely = advise_threshold(np.eye(50), np.ones(50), 5)
    assert lonely.threshold == LEVELS[0]
    assert "spread widely, or the budget is small" in lonely.why
    crowded = advise_threshold(np.ones((200, 3)) + 1e-6 * rng.normal(size=(200, 3)), np.ones(200), 0.5)
    assert crowded.threshold == LEVELS[-1]
    assert "nearly the same" in crowded.why


def test_the_same_seed_counts_the_same_sample():
    x, c = problem(0.4, n=3000)
    first, second = (advise_threshold(x, c, 0.2, sample=200, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.quantiles, second.quantiles)
