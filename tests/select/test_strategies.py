import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError, UnknownName
from goodgrain.meta import COMBINATIONS, MetaQueryNet, meta_input
from goodgrain.scores import least_confidence, nearest_both, nearest_in, probe
from goodgrain.select import STRATEGIES, QueryOptions, Standing, query
from goodgrain.select.standing import INFORMATIVENESS, PURITIES, informativeness_scores, purity_scores
from goodgrain.select.strategies import pure_enough

OPTIONS = QueryOptions(meta=COMBINATIONS["sum"])


def standing(seed=0, n=60, **changed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    known = {"labeled": order[:6], "ood": order[6:10], "left_out": order[10:13]}
    seen = {
        "probabilities": rng.dirichlet([1, 1, 1], size=n),
        "features": rng.normal(size=(n, 5)) + 1,
        "predicted_losses": rng.exponential(size=n),
        "contrast": rng.normal(size=n),
        "purity": rng.normal(size=n),
    }
    return Standing(n=n, **{**known, **seen, **changed})


def test_the_table_holds_the_strategies_of_the_chapter_and_purity_first():
    assert set(STRATEGIES) == {
        *("random", "conf", "margin", "entropy", "coreset", "ll", "badge", "ccal"),
        *("similar_flcmi", "similar_logdetcmi", "mqnet", "purity_first"),
    }


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 20))
def test_only_what_may_be_asked_for_once_and_the_same_again(name, seed):
    pool = standing(seed)
    picked = query(name, pool, 20, OPTIONS).positions
    assert len(set(picked.tolist())) == 20
    assert not set(picked.tolist()) & {*pool.labeled.tolist(), *pool.ood.tolist(), *pool.left_out.tolist()}
    np.testing.assert_array_equal(query(name, pool, 20, OPTIONS).positions, picked)
    np.testing.assert_array_equal(query(name.replace("_", "-").upper(), pool, 20, OPTIONS).positions, picked)
    assert len(query(name, pool, 1.0, OPTIONS)) == 47


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_left_out_has_no_say(name):
    pool = standing()
    rng = np.random.default_rng(5)
    changed = {
        column: np.array(values)
        for column in ("probabilities", "features", "predicted_losses", "contrast", "purity")
        if (values := getattr(pool, column)) is not None
    }
    for values in changed.values():
        values[pool.left_out] = values[rng.permutation(pool.left_out)][::-1]
    changed["features"][pool.left_out] += 100
    known = {"labeled": pool.labeled, "ood": pool.ood, "left_out": pool.left_out}
    other = Standing(n=60, **known, **changed)
    np.testing.assert_array_equal(query(name, other, 15, OPTIONS).positions, query(name, pool, 15, OPTIONS).positions)


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"random", "badge"}))
def test_rows_may_come_in_any_order(name):
    pool, shuffle = standing(3), np.random.default_rng(1).permutation(60)
    where = np.argsort(shuffle)
    mixed = Standing(
        n=60,
        labeled=where[pool.labeled],
        ood=where[pool.ood],
        left_out=where[pool.left_out],
        **{column: np.asarray(getattr(pool, column))[shuffle] for column in pool.columns},
    )
    np.testing.assert_array_equal(
        shuffle[query(name, mixed, 12, OPTIONS).positions], query(name, pool, 12, OPTIONS).positions
    )


def test_scores_by_hand():
    pool = Standing(
        n=5,
        labeled=[0],
        ood=[4],
        probabilities=[[1, 0], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [1, 0]],
        features=[[1, 0], [2, 0], [1, 1], [0, 3], [0, 2]],
        predicted_losses=[9, 3, 2, 1, 9],
        purity=[0, 7, 8, 9, 0],
    )
    assert pool.rows.tolist() == [1, 2, 3]
    expected = {
        "conf": [0.1, 0.5, 0.2],
        "margin": [-0.8, 0, -0.6],
        "ll": [3, 2, 1],
        "coreset": [1, 1, 1],  # to (1, 0), to (1, 0), to (0, 2)
        "badge": [0.1 * np.sqrt(2) * 2, 0.5 * np.sqrt(2) * np.sqrt(2), 0.2 * np.sqrt(2) * 3],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(informativeness_scores(name, pool), values, atol=1e-12)
    np.testing.assert_allclose(purity_scores("nearest_ood", pool), [np.sqrt(8), np.sqrt(2), 1])
    np.testing.assert_allclose(purity_scores("nearest_in", pool), [1, np.sqrt(0.5), 0])
    np.testing.assert_allclose(purity_scores("given", pool), [7, 8, 9])


def test_coreset_takes_the_farthest_from_all_that_is_known_or_picked():
    pool = standing(2)
    centers = [*pool.labeled, *pool.ood]
    expected = []
    for _ in range(8):
        rows = [row for row in pool.rows if row not in expected]
        far = [
            min(np.linalg.norm(pool.features[row] - pool.features[c]) for c in [*centers, *expected]) for row in rows
        ]
        expected.append(rows[int(np.argmax(far))])
    assert query("coreset", pool, 8).positions.tolist() == expected


@pytest.mark.parametrize("purity", PURITIES)
@pytest.mark.parametrize("informativeness", INFORMATIVENESS)
def test_mqnet_orders_by_what_the_meta_model_says(purity, informativeness):
    pool = standing(4)
    pure, informative = purity_scores(purity, pool), informativeness_scores(informativeness, pool)
    x = meta_input(pure, informative)
    net = MetaQueryNet(seed=1).fit(x[:30], np.linspace(0, 2, 30), np.arange(30) % 3 == 0)
    for meta in (net, COMBINATIONS["sum"], COMBINATIONS["product"]):
        options = QueryOptions(meta=meta, purity=purity, informativeness=informativeness)
        expected = pool.rows[np.argsort(-meta.score(x), kind="stable")[:10]]
        np.testing.assert_array_equal(query("mqnet", pool, 10, options).positions, expected)


@pytest.mark.parametrize("name", ["mqnet", "purity_first"])
def test_before_any_answer_was_ood_informativeness_decides_alone(name):
    pool = standing(6, ood=())
    expected = pool.rows[np.argsort(-least_confidence(pool.of("probabilities")), kind="stable")[:9]]
    np.testing.assert_array_equal(query(name, pool, 9, OPTIONS).positions, expected)


def test_purity_first_by_hand():
    pool = Standing(
        n=5,
        purity=[5, 4, 3, 2, 1],
        probabilities=[[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.5, 0.5], [0.5, 0.5]],
    )

    def asked(precision):
        answered = ([6, 4, 2.5, 1.5], [False, False, False, True])
        options = QueryOptions(purity="given", precision=precision, answered=answered)
        return query("purity-first", pool, 2, options).positions.tolist()

    assert asked(1.0) == [1, 2]  # from 2.5 on every answer was in-distribution: 5, 4 and 3 are pure enough
    assert asked(0.75) == [3, 1]  # from 1.5 on three of four were


def test_where_too_little_is_pure_enough_the_purest_fill_up():
    pool = Standing(n=4, purity=[5, 4, 3, 2], probabilities=[[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.5, 0.5]])
    options = QueryOptions(purity="given", precision=1.0, answered=([9, 1], [True, False]))
    assert query("purity_first", pool, 3, options).positions.tolist() == [2, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_pure_enough_equals_trying_every_threshold(answers, precision):
    values = [value for value, _ in answers]
    good = [
        t for t in values
        if np.mean([not ood for value, ood in answers if value >= t]) >= precision
    ]  # fmt: skip
    expected = -np.inf if not answers else min(good) if good else np.inf
    assert pure_enough(values, [ood for _, ood in answers], precision=precision) == expected


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: query("mqnett", standing(), 1), UnknownName, "no query strategy 'mqnett'. Did you mean 'mqnet'"),
        (lambda: query("ll", Standing(n=3), 1), InputError, "'ll' needs predicted_losses, .*it has nothing"),
        (lambda: query("mqnet", standing(), 1), InputError, "Give options.meta"),
        (
            lambda: query("mqnet", standing(), 1, QueryOptions(purity="csi")),
            UnknownName,
            "no purity 'csi'. Known: given, nearest_both, nearest_in, nearest_ood, probe",
        ),
        (
            lambda: query("purity_first", standing(purity=None), 1, QueryOptions(purity="given")),
            InputError,
            "needs purity, which the standing lacks",
        ),
        (lambda: query("random", standing(), 48), InputError, "budget=48"),
        (lambda: query("random", Standing(n=1, labeled=[0]), 1), InputError, "there is nothing left to ask for"),
        (lambda: Standing(n=3, labeled=[1], ood=[1]), InputError, "position 1 is in labeled and in ood"),
        (lambda: Standing(n=3, labeled=[3]), InputError, "labeled"),
        (lambda: Standing(n=3, features=[[1.0]]), InputError, "features has 1 rows, but there are 3"),
        (lambda: query("purity_first", standing(), 1, QueryOptions(precision=0)), InputError, "precision should be"),
        (lambda: pure_enough([1], [], precision=0.5), InputError, "answered has 1 purities and 0 answers"),
    ],
)
def test_refusals(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_balanced_lets_predicted_classes_take_turns():
    # Margins 0.0, 0.2, 0.4 in class 0 and 0.6, 0.8 in class 1: by score class 0 comes first, in turns 0, 1, 0, 1.
    p = np.array([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9]])
    standing = Standing(n=5, probabilities=p)
    assert query("margin", standing, 4).positions.tolist() == [0, 1, 2, 3]
    assert query("margin", standing, 4, QueryOptions(balanced=True)).positions.tolist() == [0, 3, 1, 4]


@pytest.mark.parametrize("strategy", [name for name, entry in STRATEGIES.items() if entry.scores])
def test_balanced_is_the_same_ranking_within_each_class(strategy):
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.ones(3), 60)
    columns = {"probabilities": p, "predicted_losses": rng.random(60), "contrast": rng.random(60)}
    standing = Standing(n=60, labeled=[1, 2], ood=[5], left_out=[9], purity=rng.random(60), **columns)
    options = {"purity": "given", "informativeness": "margin", "meta": COMBINATIONS["sum"], "precision": 0.5}
    plain = query(strategy, standing, 56, QueryOptions(**options)).positions
    turns = query(strategy, standing, 56, QueryOptions(**options, balanced=True)).positions
    predicted = p.argmax(axis=1)
    for label in range(3):
        assert turns[predicted[turns] == label].tolist() == plain[predicted[plain] == label].tolist()
    first = predicted[turns[: 3 * min(np.bincount(predicted[turns]))]]
    assert (np.bincount(first) == len(first) // 3).all()


def test_balanced_needs_predictions():
    with pytest.raises(InputError, match="strategy 'ccal' needs probabilities"):
        query("ccal", Standing(n=3, contrast=[1, 2, 3]), 1, QueryOptions(balanced=True))


def test_purities_by_both_kinds_of_answers():
    pool = standing(labeled=[0, 1, 2], ood=[3, 4], left_out=[5])
    x = pool.features
    both, odds = (purity_scores(name, pool) for name in ("nearest_both", "probe"))
    np.testing.assert_array_equal(both, nearest_both(x[pool.rows], x[[0, 1, 2]], x[[3, 4]]))
    np.testing.assert_array_equal(odds, probe(x, [0, 1, 2], [3, 4])[pool.rows])
    one, other, none = (standing(labeled=a, ood=b, left_out=()) for a, b in (([0], []), ([], [0]), ([], [])))
    np.testing.assert_array_equal(purity_scores("nearest_both", one), nearest_in(x[1:], x[:1]))
    np.testing.assert_array_equal(purity_scores("nearest_both", other), -nearest_in(x[1:], x[:1]))
    assert purity_scores("nearest_both", none) is None
    assert all(purity_scores("probe", pool) is None for pool in (one, other, none))
