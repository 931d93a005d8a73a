"""Pickles of plain containers and NumPy arrays, read without running anything that they ask for."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from typing import Any, BinaryIO, Never

import numpy as np

from goodgrain.errors import InputError

_PLAIN_KINDS = re.compile(r"[biufSU]\d+")


class NotPlain(Exception):
    """A pickle asks for something that is no container and no array; the message is its name."""


class _StandIn:
    """What a pickle gets in place of NumPy's own names, so that NumPy never sees anything that is not checked.

    As the class has `__setstate__`, a pickle cannot put attributes on the class itself.
    """

    def __setstate__(self, state: Any) -> None:
        raise NotPlain(f"a state for {type(self).__name__}")


class _Kind(_StandIn):
    """In place of numpy.dtype."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = _text(code)
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    @property
    def holds_objects(self) -> bool:
        return self.code.startswith("O")

    def dtype(self) -> np.dtype[Any]:
        if not _PLAIN_KINDS.fullmatch(self.code):
            raise NotPlain(f"numpy.dtype({self.code!r})")
        order: Any = self.order
        return np.dtype(self.code).newbyteorder(order)


class _Array(_StandIn):
    """In place of numpy.ndarray, empty until its state comes."""

    value: Any = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, data = state
        if kind.holds_objects:
            self.value = data[0] if shape == () else data
        else:
            flat = np.frombuffer(_raw(data), dtype=kind.dtype())
            self.value = flat.reshape(shape, order="F" if columns_first else "C")


class _Scalar(_StandIn):
    """In place of NumPy's scalars: the Python number itself."""

    def __new__(cls, kind: _Kind, data: str | bytes) -> Any:
        return np.frombuffer(_raw(data), dtype=kind.dtype())[0].item()


class _Encoded(_StandIn):
    """In place of codecs.encode, by which protocols 0 to 2 write bytes."""

    def __new__(cls, text: str, encoding: str = "latin1") -> Any:
        if encoding != "latin1":
            raise NotPlain(f"the encoding {encoding!r}")
        return text.encode("latin1")


ALLOWED: dict[str, type[_StandIn]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Kind,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray.scalar": _Scalar,
    "_codecs.encode": _Encoded,
}
"""All that a pickle may name, and what it gets; any other name is refused."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in ALLOWED:
            raise NotPlain(full)
        return ALLOWED[full]


def load_plain(file: BinaryIO, name: str, what: str) -> Any:
    """What a pickle holds: numbers, text, containers, arrays.

    Nothing that the pickle names is imported or called; see `ALLOWED`.

    Args:
        file: at the beginning of the pickle.
        name: what the file is called in error messages.
        what: what such a file should be ("a CIFAR file").

    Returns:
        The object. A dictionary has text for keys, whichever Python wrote it; an array of objects is a list.

    Raises:
        InputError: the pickle asks for anything else, is cut off, or is damaged.
    """
    try:
        return as_plain(_Unpickler(file, encoding="latin1").load())  # the encoding of arrays that Python 2 wrote
    except NotPlain as wanted:
        refuse(name, what, str(wanted))
    except Exception as reason:
        raise InputError(f"{name} is cut off or damaged ({_first_line(reason)}). Get it again.") from reason


def refuse(name: str, what: str, wanted: str) -> Never:
    """Say that a file asks for what it should not need."""
    raise InputError(
        f"{name} asks for {wanted}; {what} holds arrays only. Nothing was executed; get the file from its source."
    )


def as_plain(value: Any) -> Any:
    """Arrays in place of their stand-ins, in the object itself and in a dictionary."""
    if isinstance(value, _Array):
        return as_plain(value.value)
    if isinstance(value, dict):
        return {_text(key): as_plain(entry) if isinstance(entry, _Array) else entry for key, entry in value.items()}
    return value


def names_of(values: Any) -> tuple[str, ...] | None:
    """Names as text, whichever Python wrote them; None where the values are no names."""
    if not isinstance(values, Sequence) or not all(isinstance(value, str | bytes) for value in values):
        return None
    return tuple(_text(value) for value in values)


def _first_line(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _raw(data: str | bytes) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else data
