import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.utils.estimator_checks import check_estimator

from goodgrain import ConstrainedKMeans
from goodgrain.cluster import flow
from goodgrain.errors import InputError, UnknownName
from oracles_cluster import best_inertia, inertia, squared_distances


@st.composite
def fits(draw):
    k = draw(st.integers(1, 6))
    least = draw(st.integers(1, 3))
    most = draw(st.integers(least, 6))
    n = draw(st.integers(k * least, k * most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(-2, 3, size=(n, 2)).astype(float) if draw(st.booleans()) else rng.normal(size=(n, 3))
    return x, k, least, most


def test_scikit_learn_accepts_it():
    check_estimator(ConstrainedKMeans(), on_skip=None)


def test_four_rows_by_hand():
    # Pairs of (0, 1) and (2, 9): 2 * 0.5^2 + 2 * 3.5^2 = 25; (0, 2) and (1, 9) cost 34, (0, 9) and (1, 2) cost 41.
    model = ConstrainedKMeans(2, size_max=2, random_state=0).fit([[0.0], [1.0], [2.0], [9.0]])
    assert model.inertia_ == 25
    assert sorted(model.cluster_centers_.ravel().tolist()) == [0.5, 5.5]
    assert model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3]


@settings(max_examples=100, deadline=None)
@given(problem=fits())
def test_sizes_hold_and_centers_are_means(problem):
    x, k, least, most = problem
    model = ConstrainedKMeans(k, least, most, random_state=0).fit(x)
    sizes = np.bincount(model.labels_, minlength=k)
    assert sizes.min() >= least
    assert sizes.max() <= most
    for c in range(k):
        np.testing.assert_allclose(model.cluster_centers_[c], x[model.labels_ == c].mean(axis=0), atol=1e-9)
    assert model.inertia_ == pytest.approx(inertia(x, model.labels_), abs=1e-9)
    assert (np.diff(model.inertia_history_) < 0).all()
    assert model.inertia_history_[-1] == model.inertia_
    assert len(model.inertia_history_) == model.n_iter_


@pytest.mark.parametrize("seed", range(6))
def test_a_few_starts_find_the_best_partition(seed):
    x = np.random.default_rng(seed).normal(size=(7, 2))
    found = ConstrainedKMeans(3, size_min=1, size_max=3, n_init=5, random_state=seed).fit(x)
    assert found.inertia_ == pytest.approx(best_inertia(x, 3, 1, 3))


def test_without_sizes_it_is_better_than_k_means():
    x = np.random.default_rng(0).normal(size=(400, 5))
    plain = KMeans(60, n_init=3, random_state=0).fit(x)
    assert ConstrainedKMeans(60, random_state=0).fit(x).inertia_ < plain.inertia_


def test_every_start_takes_the_steps_of_bounded_sizes():
    # Ten rows at 0 and two at 9: size_max=4 cuts the ten, and what is left over joins the two.
    x = np.array([[0.0]] * 10 + [[9.0]] * 2)
    model = ConstrainedKMeans(3, size_max=4, random_state=0).fit(x)
    assert np.bincount(model.labels_).tolist() == [4, 4, 4]
    assert model.inertia_ == pytest.approx(2 * 4.5**2 + 2 * 4.5**2)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_rows_that_are_all_the_same(init):
    model = ConstrainedKMeans(5, size_max=3, init=init, random_state=0).fit(np.ones((11, 2)))
    sizes = np.bincount(model.labels_, minlength=5)
    assert sizes.min() >= 1
    assert sizes.max() <= 3
    assert model.inertia_ == 0


@pytest.mark.parametrize("size_max", [1, None])
def test_as_many_clusters_as_rows(size_max):
    x = np.random.default_rng(0).normal(size=(30, 2))
    model = ConstrainedKMeans(30, size_max=size_max, random_state=0).fit(x)
    assert np.bincount(model.labels_).tolist() == [1] * 30
    assert model.inertia_ == pytest.approx(0, abs=1e-20)


def test_one_cluster():
    x = np.random.default_rng(0).normal(size=(30, 2))
    model = ConstrainedKMeans(1, random_state=0).fit(x)
    assert model.inertia_ == pytest.approx(30 * x.var(axis=0).sum())


def test_the_same_seed_gives_the_same_bits():
    x = np.random.default_rng(0).normal(size=(200, 4))
    one, two = (ConstrainedKMeans(40, size_max=7, random_state=3).fit(x) for _ in range(2))
    assert np.array_equal(one.labels_, two.labels_)
    assert np.array_equal(one.cluster_centers_, two.cluster_centers_)
    other = ConstrainedKMeans(40, size_max=7, random_state=4).fit(x)
    assert not np.array_equal(one.labels_, other.labels_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"init": "random"}])
def test_rows_may_come_in_any_order(dtype, options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3)).astype(dtype)
    x[140:] = x[:10]
    order = rng.permutation(150)
    one, two = (ConstrainedKMeans(30, size_max=8, random_state=0, **options).fit(rows) for rows in (x, x[order]))
    assert one.inertia_ == two.inertia_
    assert np.array_equal(one.cluster_centers_, two.cluster_centers_)
    same = one.labels_[order] == two.labels_
    assert same[order >= 10][order[order >= 10] < 140].all()  # copies of a row may stand in for each other


def test_minus_zero_is_zero():
    x = np.random.default_rng(0).integers(-1, 2, size=(60, 2)).astype(float)
    x[x == 0] = 0.0
    signed = np.where(x == 0, -0.0, x)
    one, two = (ConstrainedKMeans(12, size_max=6, random_state=0).fit(rows) for rows in (x, signed))
    assert np.array_equal(one.labels_, two.labels_)


def test_rows_may_lie_far_from_the_origin():
    # In float32 the squares are of 10^7 and know no differences below 1: without a shift of the rows this would fail.
    x = np.random.default_rng(0).integers(0, 64, size=(200, 2)).astype(np.float32) / 8
    near, far = (ConstrainedKMeans(40, size_max=6, random_state=0).fit(x + np.float32(shift)) for shift in (0, 4096))
    assert far.inertia_ == pytest.approx(near.inertia_, rel=0.1)
    assert np.array_equal(
        far.predict(x + np.float32(4096)), squared_distances(x + 4096, far.cluster_centers_).argmin(axis=1)
    )


def test_float32_stays_float32():
    x = np.random.default_rng(0).normal(size=(300, 8))
    single = ConstrainedKMeans(60, size_max=6, random_state=0).fit(x.astype(np.float32))
    double = ConstrainedKMeans(60, size_max=6, random_state=0).fit(x)
    assert single.cluster_centers_.dtype == np.float32
    assert double.cluster_centers_.dtype == np.float64
    assert single.inertia_ == pytest.approx(double.inertia_, rel=0.05)


def test_given_centers_are_where_it_starts():
    x = np.array([[0.0], [1.0], [10.0], [11.0]])
    init = np.array([[10.5], [0.5]])
    model = ConstrainedKMeans(2, init=init).fit(x)
    assert model.labels_.tolist() == [1, 1, 0, 0]
    assert init.tolist() == [[10.5], [0.5]]


def test_new_rows_go_to_the_nearest_center_whatever_the_sizes():
    model = ConstrainedKMeans(2, size_max=2, random_state=0).fit([[0.0], [1.0], [10.0], [11.0]])
    left, right = model.labels_[[0, 2]]
    assert model.predict([[0.2], [0.4], [0.1], [9.0]]).tolist() == [left, left, left, right]
    distances = model.transform([[3.5]])
    assert distances.shape == (1, 2)
    assert sorted(distances[0].tolist()) == [3.0, 7.0]


def test_predict_and_transform_agree():
    x = np.random.default_rng(0).normal(size=(80, 3))
    model = ConstrainedKMeans(15, size_max=6, random_state=0).fit(x)
    nearest = squared_distances(x, model.cluster_centers_)
    assert np.array_equal(model.predict(x), nearest.argmin(axis=1))
    np.testing.assert_allclose(model.transform(x), np.sqrt(nearest))
    assert model.get_feature_names_out()[:2].tolist() == ["constrainedkmeans0", "constrainedkmeans1"]


def test_more_starts_are_never_worse():
    x = np.random.default_rng(0).normal(size=(100, 3))
    one, five = (ConstrainedKMeans(20, size_max=6, n_init=n, random_state=0).fit(x).inertia_ for n in (1, 5))
    assert five <= one


def test_max_iter_ends_a_start():
    x = np.random.default_rng(0).normal(size=(300, 3))
    model = ConstrainedKMeans(60, size_max=6, max_iter=1, random_state=0).fit(x)
    assert model.n_iter_ == 1


def test_arguments_are_kept_as_given():
    model = clone(ConstrainedKMeans(3, 1, 9, init="random", n_init=2, max_iter=7, tol=0.1, random_state=1, shards=2))
    assert model.get_params() == {
        "n_clusters": 3,
        "size_min": 1,
        "size_max": 9,
        "init": "random",
        "n_init": 2,
        "max_iter": 7,
        "tol": 0.1,
        "random_state": 1,
        "shards": 2,
        "n_jobs": None,
    }


def test_what_is_installed_changes_little(monkeypatch):
    x = np.random.default_rng(0).normal(size=(200, 6))
    one = ConstrainedKMeans(40, size_max=6, random_state=0).fit(x)
    monkeypatch.setattr(flow, "has_ortools", lambda: False)
    two = ConstrainedKMeans(40, size_max=6, random_state=0).fit(x)
    assert one.inertia_ == pytest.approx(two.inertia_, rel=0.02)  # of equally cheap flows, solvers choose differently


REFUSALS = [
    (
        {"n_clusters": 3, "size_max": 3},
        "3 clusters of at most 3 hold 9 rows; X has n_samples=10. Ask for at least n_clusters=4, or size_max=4.",
    ),
    (
        {"n_clusters": 4, "size_min": 3},
        "4 clusters of at least 3 need 12 rows; X has n_samples=10. Ask for at most n_clusters=3, or size_min=2.",
    ),
    (
        {"n_clusters": 11},
        "11 clusters of at least 1 need 11 rows; X has n_samples=10. Ask for at most n_clusters=10.",
    ),
    (
        {"n_clusters": 3, "size_min": 5, "size_max": 4},
        "size_min=5 is more than size_max=4. Give a size_min of at most 4.",
    ),
    ({"n_clusters": 0}, "n_clusters should be a whole number, at least 1; 0 came."),
    ({"n_clusters": 2, "size_min": 0}, "size_min should be a whole number, at least 1; 0 came."),
    ({"n_clusters": 2, "size_max": 5.5}, "size_max should be a whole number, at least 1; 5.5 came."),
    ({"n_clusters": 2, "n_init": 0}, "n_init should be a whole number, at least 1; 0 came."),
    ({"n_clusters": 2, "max_iter": 0}, "max_iter should be a whole number, at least 1; 0 came."),
    ({"n_clusters": 2, "tol": 0}, "tol should be above 0; 0 came."),
    ({"n_clusters": 2, "shards": 3}, "shards should be a whole number, 1 to 2; 3 came."),
    (
        {"n_clusters": 2, "init": np.zeros((3, 1))},
        "init should hold n_clusters=2 centers of 1 columns; its shape is (3, 1).",
    ),
    (
        {"n_clusters": 2, "init": np.zeros((2, 1)), "shards": 2},
        "init is an array of centers, which shards cannot share. Give a name, or shards=None.",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSALS)
def test_refusals_say_what_to_do(arguments, sentence):
    with pytest.raises(InputError) as caught:
        ConstrainedKMeans(**arguments).fit(np.arange(10.0)[:, None])
    assert str(caught.value) == sentence


def test_an_unknown_init_offers_the_nearest_name():
    with pytest.raises(UnknownName) as caught:
        ConstrainedKMeans(2, init="kmeans++").fit(np.arange(10.0)[:, None])
    assert str(caught.value) == "no init 'kmeans++'. Did you mean 'k-means++'? Known: k-means++, random"


def test_it_works_without_torch():
    script = (
        "import sys; from goodgrain import ConstrainedKMeans; ConstrainedKMeans(2, size_max=1).fit([[0.0], [1.0]]);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
