import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain import ConstrainedKMeans
from goodgrain.cluster import shards
from goodgrain.cluster.refinement import Partition
from goodgrain.cluster.shards import cut, mend, share_out
from goodgrain.errors import InputError


def blobs(n=600, groups=6, seed=0):
    rng = np.random.default_rng(seed)
    return 8.0 * rng.normal(size=(groups, 4))[np.arange(n) % groups] + rng.normal(size=(n, 4))


def test_shares_by_hand():
    # 7 clusters for 10, 30 and 30 rows: 1, 3 and 3. At most 6 members: 10 rows need two, and 30 five: 12 in all.
    assert share_out(np.array([10, 30, 30]), 7, 1, 10).tolist() == [1, 3, 3]
    assert share_out(np.array([10, 30, 30]), 13, 1, 6).tolist() == [2, 6, 5]
    assert share_out(np.array([10, 30, 30]), 12, 1, 6).tolist() == [2, 5, 5]


@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8).map(np.array),
    k=st.integers(1, 100),
    least=st.integers(1, 5),
    room=st.integers(0, 30),
)
def test_shares_keep_the_bounds_or_are_refused(sizes, k, least, room):
    most = least + room
    possible = [range(-(-s // most), s // least + 1) for s in sizes]
    if all(possible) and sum(p[0] for p in possible) <= k <= sum(p[-1] for p in possible):
        shares = share_out(sizes, k, least, most)
        assert shares.sum() == k
        assert (shares * least <= sizes).all()
        assert (shares * most >= sizes).all()
    else:
        with pytest.raises(InputError, match="cannot be shared out"):
            share_out(sizes, k, least, most)


def test_parts_are_of_near_rows():
    x = blobs()
    part = cut(x, 6, np.random.default_rng(0))
    assert part.min() == 0
    between = np.square(x - x.mean(axis=0)).sum()
    within = sum(np.square(x[part == p] - x[part == p].mean(axis=0)).sum() for p in range(part.max() + 1))
    assert within < 0.3 * between


def test_rows_that_are_the_same_make_fewer_parts():
    assert set(cut(np.zeros((50, 2)), 4, np.random.default_rng(0))) == {0}


def test_shards_keep_the_sizes_and_cost_little():
    x = blobs()
    whole = ConstrainedKMeans(100, size_min=2, size_max=10, random_state=0).fit(x)
    parts = ConstrainedKMeans(100, size_min=2, size_max=10, random_state=0, shards=5).fit(x)
    sizes = np.bincount(parts.labels_, minlength=100)
    assert sizes.min() >= 2
    assert sizes.max() <= 10
    assert parts.inertia_ < 1.05 * whole.inertia_
    assert parts.inertia_ == pytest.approx(np.square(x - parts.cluster_centers_[parts.labels_]).sum())
    assert parts.n_iter_ >= 1


def test_seams_are_mended():
    # Two parts cut the pairs (0, 1) and (10, 11) apart; in the end each is a cluster, whatever part it came from.
    x = np.array([[0.0], [10.0], [1.0], [11.0]])
    partition = Partition(x, np.array([0, 0, 1, 1]), 2, 1, 3)
    mend(partition, np.array([0, 0, 1, 1]), np.array([0, 1]))
    assert partition.labels[0] == partition.labels[2] != partition.labels[1] == partition.labels[3]


def test_rows_only_look_at_the_parts_around(monkeypatch):
    monkeypatch.setattr(shards, "_AROUND", 1)
    x = np.array([[0.0], [10.0], [1.0], [11.0]])
    partition = Partition(x, np.array([0, 0, 1, 1]), 2, 1, 3)
    mend(partition, np.array([0, 0, 1, 1]), np.array([0, 1]))
    assert partition.labels.tolist() == [0, 0, 1, 1]


def test_processes_change_nothing():
    x = blobs(200)
    one, two = (ConstrainedKMeans(20, size_max=20, random_state=0, shards=3, n_jobs=jobs).fit(x) for jobs in (1, 2))
    assert np.array_equal(one.labels_, two.labels_)
    assert np.array_equal(one.cluster_centers_, two.cluster_centers_)


def test_sizes_too_tight_for_shards_are_refused():
    with pytest.raises(InputError) as caught:
        share_out(np.array([11, 9]), 2, 1, 10)
    assert str(caught.value) == (
        "2 clusters of 1 to 10 members cannot be shared out over 2 shards. "
        "Give fewer shards, or sizes that leave more room."
    )
