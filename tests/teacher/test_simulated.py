"""A teacher of stated accuracy."""

import numpy as np
import pytest

from goodgrain.errors import InputError
from goodgrain.teacher import rank_clusters
from goodgrain.teacher.prompts import neutral
from goodgrain.teacher.scoring import score_rows
from goodgrain.teacher.simulated import SimulatedTeacher

ROWS = [(f"question {i}", f"answer {i} [3] <|im_end|>") for i in range(600)]
BAD = np.arange(600) % 3 == 0
TRUTH = {response: bool(bad) for (_, response), bad in zip(ROWS, BAD, strict=True)}


@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.9])
def test_it_is_as_right_as_it_says(accuracy):
    found = rank_clusters([[row] for row in ROWS], SimulatedTeacher(TRUTH, accuracy=accuracy))
    left_out = np.array([one.state == "dropped" for one in found.clusters])
    for kind in (BAD, ~BAD):  # 200 and 400 draws: three standard errors
        right = (left_out == BAD)[kind].mean()
        assert abs(right - accuracy) < 3 * 0.5 / kind.sum() ** 0.5


def test_a_row_makes_the_same_impression_in_every_prompt():
    teacher = SimulatedTeacher(TRUTH, accuracy=0.8, seed=4)
    seems = [teacher.impression(request, neutral(response)) for request, response in ROWS]
    clusters = [ROWS[i : i + 6] for i in range(0, 600, 6)]
    for number, one in enumerate(rank_clusters(clusters, teacher).clusters):
        own = np.array(seems[6 * number : 6 * number + 6])
        expected = [int(row) for row in np.argsort(-own) if own[row] >= 0]
        assert list(one.ranking.order) == expected
    scores = score_rows(ROWS, teacher).scores
    np.testing.assert_allclose(scores, np.clip(np.round((2.5 + np.array(seems)) * 2) / 2, 0, 5))


def test_what_it_does_not_know():
    with pytest.raises(InputError, match="accuracy should be from 0.5 to below 1; 1.0 came"):
        SimulatedTeacher({}, accuracy=1.0)
    with pytest.raises(InputError, match="the truth about the response 'new' is not known"):
        rank_clusters([[("q", "new")]], SimulatedTeacher({}))
