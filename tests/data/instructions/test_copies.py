"""Rows that repeat others."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.instructions import find_copies, read_instructions
from goodgrain.errors import InputError


def made(texts, path):
    path.write_text(json.dumps([{"prompt": text, "response": "r"} for text in texts]))
    return read_instructions(path)


def test_exact_and_near_by_hand(tmp_path):
    data = made(["a", "b", " a ", "c", "a"], tmp_path / "set.json")
    # b and c point nearly the same way; a's copies are exact whatever the vectors say
    x = np.array([[1, 0], [0, 1], [1, 0], [0.1, 1], [0, 1]], dtype=float)
    found = find_copies(data, x, threshold=0.95)
    assert found.positions.tolist() == [2, 3, 4]
    assert found.originals.tolist() == [0, 1, 0]
    assert found.exact.tolist() == [True, False, True]
    np.testing.assert_allclose(found.similarity, [1, 1 / 1.01**0.5, 1], atol=1e-6)
    assert len(find_copies(data)) == 2
    with pytest.raises(InputError, match="threshold"):
        find_copies(data, x, threshold=0.0)


@given(words=st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_equals_the_slow_search(words, seed, tmp_path_factory):
    data = made(words, tmp_path_factory.mktemp("copies") / "set.json")
    x = np.random.default_rng(seed).normal(size=(len(words), 3))
    found = find_copies(data, x, threshold=0.8)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = []
    for row, word in enumerate(words):
        if word in words[:row]:
            expected.append((row, words.index(word), True))
            continue
        earlier = [other for other in range(row) if words[other] not in words[:other]]
        likeness = [float(unit[row] @ unit[other]) for other in earlier]
        if likeness and max(likeness) >= 0.8:
            expected.append((row, earlier[int(np.argmax(likeness))], False))
    assert list(zip(found.positions.tolist(), found.originals.tolist(), found.exact.tolist(), strict=True)) == expected
