import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goodgrain.data.read.plain_pickle import ALLOWED, load_plain
from goodgrain.errors import InputError
from published import python2_pickle


def load(data):
    return load_plain(io.BytesIO(data), "some file", "a CIFAR file")


class Call:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@given(
    arrays.arrays(st.sampled_from(["u1", "<i8", ">i4", "f4", "U3", "?"]), arrays.array_shapes(max_dims=3, max_side=4)),
    st.booleans(),
    st.sampled_from([2, 3, 4]),
)
def test_arrays_come_as_numpy_itself_would_read_them(array, columns_first, protocol):
    if columns_first:
        array = np.asfortranarray(array)
    data = pickle.dumps({"data": array, b"labels": [1, 2]}, protocol=protocol)
    found = load(data)
    np.testing.assert_array_equal(found["data"], pickle.loads(data)["data"])
    assert found["data"].dtype == array.dtype
    assert found["labels"] == [1, 2]


def test_what_python_2_wrote():
    array = np.arange(256, dtype=np.uint8).reshape(4, 64)  # every byte, of which half are no ASCII
    found = load(python2_pickle({"data": array, "labels": [0, -1], "label_names": ["cat"]}))
    np.testing.assert_array_equal(found["data"], array)
    assert (found["labels"], found["label_names"]) == ([0, -1], ["cat"])


def test_scalars_and_arrays_of_objects():
    labels = [np.int64(7), np.float32(0.5), np.uint8(255)]
    assert load(pickle.dumps({"labels": labels}, protocol=3)) == {"labels": [7, 0.5, 255]}
    inside = {"clean": np.array([1, 2]), "noisy": [np.int64(3)]}
    found = load(pickle.dumps(np.array(inside, dtype=object), protocol=3))
    assert found["clean"].tolist() == [1, 2]
    assert found["noisy"] == [3]
    assert load(pickle.dumps(np.array(["cat", None], dtype=object), protocol=2)) == ["cat", None]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "in a dictionary", "in an array"])
def test_nothing_that_a_pickle_asks_for_is_run(tmp_path, protocol, place):
    trap = tmp_path / "executed"
    armed = Call(os.mkdir, str(trap))
    value = {"alone": armed, "in a dictionary": {"data": armed}, "in an array": np.array([armed], dtype=object)}[place]
    data = pickle.dumps(value, protocol=protocol)
    with pytest.raises(InputError, match=r"^some file asks for posix.mkdir; a CIFAR file holds arrays only\. Nothing"):
        load(data)
    assert not trap.exists()
    pickle.loads(data)
    assert trap.exists()  # the trap does work


@pytest.mark.parametrize(
    "function", [eval, getattr, __import__, np.load, np.frombuffer, pickle.loads, bytearray, set, np.matrix]
)
def test_harmless_names_are_refused_as_well(function):
    with pytest.raises(InputError, match=f"asks for .*{function.__name__}"):
        load(pickle.dumps(Call(function, ("x",)), protocol=2))


def state_of(kind, data):
    """An array whose type and contents are forged."""
    made = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return made + b"(K\x01K\x01\x85" + kind + b"\x89" + data + b"tb."


def test_forged_types_never_become_pointers():
    objects_without_flags = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNK\x08K\x08K\x00tb"
    assert load(state_of(objects_without_flags, b"U\x08AAAAAAAA")) == "AAAAAAAA"
    with pytest.raises(InputError, match=r"asks for numpy.dtype\('V8'\)"):
        load(state_of(objects_without_flags.replace(b"O8", b"V8"), b"U\x08AAAAAAAA"))
    with pytest.raises(InputError, match="cut off or damaged"):
        load(state_of(objects_without_flags.replace(b"O8", b"i8"), b"U\x07AAAAAAA"))


def test_a_pickle_cannot_change_the_reader_itself():
    for name in ALLOWED:
        module, _, attribute = name.rpartition(".")
        asked = f"c{module}\n{attribute}\n".encode()
        with pytest.raises(InputError):
            load(b"\x80\x02" + asked + b"}U\x05value" + asked + b"sb.")  # dictionary as state of the class
        with pytest.raises(InputError):
            load(b"\x80\x02" + asked + b"N}U\x05value" + asked + b"s\x86b.")  # (None, slots) as state
    assert load(pickle.dumps(np.array([1, 2]), protocol=2)).tolist() == [1, 2]


def test_no_damage_is_anything_but_a_sentence():
    data = python2_pickle({"data": np.arange(12, dtype=np.uint8).reshape(2, 6), "labels": [1, 0]})
    for place in range(len(data)):
        with pytest.raises(InputError, match="some file (is cut off or damaged|asks for)"):
            load(data[:place])
        for flip in (0xFF, 0x01):
            try:
                load(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            except InputError:
                continue
