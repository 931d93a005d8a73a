"""What every entry of the table of pruning methods has to hold."""

import numpy as np
import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.observations import Observations
from goodgrain.select.methods import METHODS, Options, Rulebook, select

DRAWS = {"uniform", "k_center", "min_cover", "ccs", "ssp"}  # at random, with the seed


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    n, c = 120, 3
    labels = rng.integers(c, size=n)
    features = (4 * np.eye(c, 8)[labels] + rng.normal(size=(n, 8))).astype(np.float64)
    return Observations(
        ids=[f"row {i}" for i in range(n)],
        labels=labels,
        probabilities=rng.dirichlet(np.ones(c), size=n),
        features=features,
        losses=rng.exponential(size=n),
        correct=rng.random((9, n)) < 0.6,
        margin=rng.normal(size=(9, n)),
        gradient_norms=rng.exponential(size=(10, n)),
    )


def test_the_table_holds_the_methods_of_the_chapter():
    assert set(METHODS) == {
        *("prune4rel", "uniform", "small_loss", "margin", "entropy", "least_confidence", "k_center", "forgetting"),
        *("grand", "el2n", "ssp", "moderate", "herding", "ccs", "aum", "min_cover"),
    }


@pytest.mark.parametrize("name", METHODS)
def test_picks_are_distinct_deterministic_and_prefixes(seen, name):
    whole = select(name, seen, Rulebook(60)).positions
    assert len(set(whole.tolist())) == 60
    np.testing.assert_array_equal(select(name, seen, Rulebook(60)).positions, whole)
    np.testing.assert_array_equal(select(name, seen, Rulebook(25)).positions, whole[:25])
    np.testing.assert_array_equal(select(name, seen, Rulebook(0.5)).positions, whole)


@pytest.mark.parametrize("name", METHODS)
def test_rules_hold_in_every_method(seen, name):
    kept, dropped = [5, 77], [0, 1, 2, 3, 4]
    rules = Rulebook(40, seen.labels, {0: 8}, kept, dropped)
    picked = select(name, seen, rules).positions
    assert picked[:2].tolist() == kept
    assert not set(picked.tolist()) & set(dropped)
    counts = np.bincount(seen.labels[picked], minlength=3)
    assert counts[0] <= 8
    assert abs(counts[1] - counts[2]) <= 1


@pytest.mark.parametrize("name", METHODS)
def test_dropped_rows_are_as_if_they_were_not_there(seen, name):
    dropped = np.arange(0, 120, 7)
    rest = np.setdiff1d(np.arange(120), dropped)
    ours = select(name, seen, Rulebook(30, must_drop=dropped)).positions
    alone = select(name, seen.rows(rest), Rulebook(30)).positions
    np.testing.assert_array_equal(ours, rest[alone])


@pytest.mark.parametrize("name", sorted(set(METHODS) - DRAWS))
def test_rows_may_come_in_any_order(seen, name):
    shuffle = np.random.default_rng(1).permutation(120)
    mixed = seen.rows(shuffle)
    first, second = select(name, seen, Rulebook(30)), select(name, mixed, Rulebook(30))
    if name == "forgetting":  # counts tie: only what is strictly better than the last pick must agree
        first_ids = set(seen.ids[first.positions[first.gains > first.gains[-1]]])
        second_ids = set(mixed.ids[second.positions[second.gains > second.gains[-1]]])
        assert len(first_ids) > 5
    else:
        first_ids, second_ids = set(seen.ids[first.positions]), set(mixed.ids[second.positions])
    assert first_ids == second_ids


@pytest.mark.parametrize("name", sorted(DRAWS - {"ssp"}))
def test_the_seed_decides_what_is_drawn(seen, name):
    picks = [set(select(name, seen, Rulebook(30), Options(seed=seed)).positions.tolist()) for seed in (0, 1)]
    assert picks[0] != picks[1]


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].needs])
def test_a_missing_column_is_named(seen, name):
    for need in METHODS[name].needs:
        ways = need.split("|")
        bare = Observations(**{key: values for key, values in seen.items() if key not in ways})
        with pytest.raises(InputError) as error:
            select(name, bare, Rulebook(10))
        assert f"the observations lack {' or '.join(ways)}" in str(error.value)


def test_ssp_takes_embeddings_that_were_learned_without_labels(seen):
    foreign = np.random.default_rng(5).normal(size=(120, 4))
    alone = Observations(ids=seen.ids, labels=seen.labels, self_supervised=foreign)
    both = seen.with_columns(self_supervised=foreign)
    picks = select("ssp", alone, Rulebook(10)).positions.tolist()
    assert picks == select("ssp", both, Rulebook(10)).positions.tolist()
    assert picks != select("ssp", seen, Rulebook(10)).positions.tolist()


def test_prune4rel_takes_the_strong_view_where_there_is_one(seen):
    rng = np.random.default_rng(3)
    strong = seen.with_columns(
        strong_features=rng.normal(size=(120, 8)), strong_probabilities=rng.dirichlet(np.ones(3), size=120)
    )
    assert (
        select("prune4rel", strong, Rulebook(20)).positions.tolist()
        != select("prune4rel", seen, Rulebook(20)).positions.tolist()
    )
    with pytest.raises(InputError, match="'prune4rel' needs strong_features or features"):
        select("prune4rel", Observations(ids=[1, 2], losses=[0.1, 0.2]), Rulebook(1))


def test_spelling_is_forgiven_and_typing_errors_are_mended(seen):
    assert (
        select("Small-Loss", seen, Rulebook(3)).positions.tolist()
        == select("small_loss", seen, Rulebook(3)).positions.tolist()
    )
    with pytest.raises(UnknownName, match="no pruning method 'prune4real'. Did you mean 'prune4rel'"):
        select("prune4real", seen, Rulebook(3))
