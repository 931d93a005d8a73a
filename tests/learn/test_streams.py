import hashlib

from hypothesis import given
from hypothesis import strategies as st

from goodgrain.learn.streams import generator, stream_seed

names = st.lists(st.one_of(st.text(max_size=5), st.integers(0, 99)), max_size=3)


def test_by_hand():
    digest = hashlib.sha256(b"(3, 'order', 7)").hexdigest()
    assert stream_seed(3, "order", 7) == int(digest[:16], 16) // 2


@given(st.integers(0, 9), names, st.integers(0, 9), names)
def test_other_names_or_seeds_give_other_streams(seed, first, other_seed, second):
    same = (seed, first) == (other_seed, second)
    assert (stream_seed(seed, *first) == stream_seed(other_seed, *second)) == same
    assert 0 <= stream_seed(seed, *first) < 2**63


def test_generators_repeat():
    assert generator(1, "a").permutation(50).tolist() == generator(1, "a").permutation(50).tolist()
    assert generator(1, "a").permutation(50).tolist() != generator(1, "b").permutation(50).tolist()
