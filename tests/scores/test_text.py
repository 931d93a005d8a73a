"""Scores of instructions that need no teacher."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodgrain.errors import InputError
from goodgrain.scores.text import ifd, length, perplexity

LOSSES = hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 20))


def test_by_hand():
    # perplexities e^2 after the request and e^3 without: their ratio is 1/e
    np.testing.assert_allclose(ifd([2.0, 1.0], [3.0, 1.0]), [np.exp(-1), 1.0])
    np.testing.assert_allclose(perplexity([0.0, 2.0]), [-1.0, -np.exp(2)])
    assert length(["", "äö", "a\nb"]).tolist() == [0, 2, 3]
    assert np.isnan(ifd([np.nan, 1.0], [1.0, 1.0])).tolist() == [True, False]


@given(LOSSES, LOSSES)
def test_a_request_that_helps_more_scores_lower(after, alone):
    n = min(len(after), len(alone))
    after, alone = after[:n], alone[:n]
    score = ifd(after, alone)
    np.testing.assert_allclose(score, perplexity(after) / perplexity(alone))
    assert (score[after <= alone] <= 1).all()
    assert (score[after >= alone] >= 1).all()
    np.testing.assert_allclose(np.log(-perplexity(after)), after, atol=1e-12)


@pytest.mark.parametrize("responses", ["one text", [1, 2], [["a"], ["b"]]])
def test_lengths_of_what_is_no_list_of_texts(responses):
    with pytest.raises(InputError, match="responses should be a list of texts, one per row; (str|list) came"):
        length(responses)


def test_losses_that_are_none():
    with pytest.raises(InputError, match="conditional has NaN or infinite values"):
        perplexity([np.inf])
    with pytest.raises(InputError, match="alone has 2 rows, but there are 1 examples"):
        ifd([1.0], [1.0, 2.0])
