import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.scores.quantiles import StreamedQuantile


@given(st.integers(0, 300), st.floats(0.01, 1.0))
def test_equals_numpy_whatever_the_chunks(seed, share):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=int(rng.integers(1, 200))).round(1)  # ties included
    stream = StreamedQuantile(share, len(values))
    for chunk in np.split(values, np.sort(rng.integers(0, len(values) + 1, 4))):
        stream.add(chunk)
    assert stream.value() == pytest.approx(np.quantile(values, share), abs=1e-12)


def test_keeps_a_tenth_for_the_90th_percentile():
    stream = StreamedQuantile(0.9, 10_000)
    for _ in range(100):
        stream.add(np.random.default_rng(0).normal(size=(10, 10)))
        assert len(stream._top) <= 1001


def test_refusals():
    with pytest.raises(InputError, match="share should be above 0 and at most 1"):
        StreamedQuantile(1.5, 3)
    stream = StreamedQuantile(0.5, 3)
    stream.add([1, 2])
    with pytest.raises(ValueError, match="3 numbers were announced, and 2 came"):
        stream.value()
