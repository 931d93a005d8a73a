"""Teachers that ask nobody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.teacher.local import rank_by_score


def test_by_hand():
    found = rank_by_score([[0, 1, 2], [3], [4, 5]], [0.2, np.nan, 0.9, 2.0, 0.5, 0.5], most=1.0, score="ifd")
    first, alone, tied = found.clusters
    assert (first.winner, first.ranking.order, first.ranking.dropped) == (2, (2, 0), (1,))
    assert first.words == ("ifd: [1] 0.2, [2] nan, [3] 0.9",)
    assert (alone.winner, alone.state, alone.ranking.dropped) == (None, "dropped", (0,))
    assert tied.winner == 0, "the row that comes first"
    assert found.winning_places.sum() == 0


def test_infinite_scores_are_compared_like_others():
    best = rank_by_score([[0, 1, 2]], [np.inf, -np.inf, 1.0]).clusters[0]
    assert best.ranking.order == (0, 2, 1)
    limited = rank_by_score([[0, 1, 2]], [np.inf, -np.inf, 1.0], most=1.0).clusters[0]
    assert (limited.ranking.order, limited.ranking.dropped) == ((2, 1), (0,))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_the_best_of_each_cluster(scores):
    cluster = rank_by_score([range(len(scores))], scores).clusters[0]
    assert scores[cluster.winner] == max(scores)
    assert sorted(cluster.ranking.order) == list(range(len(scores)))


def test_positions_outside_are_refused():
    with pytest.raises(InputError, match="positions"):
        rank_by_score([[0, 3]], [1.0, 2.0])
    with pytest.raises(InputError, match="cluster 1 is empty. Leave it out"):
        rank_by_score([[0], []], [1.0])
    with pytest.raises(InputError, match="scores should have one axis"):
        rank_by_score([[0]], [[1.0]])
