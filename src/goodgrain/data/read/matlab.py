"""Files of MATLAB (level 5, as `save` writes them), read without running anything."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.io import loadmat

from goodgrain.errors import InputError

_HEADER = b"MATLAB 5.0 MAT-file"
_HEADER_OF_HDF5 = b"MATLAB 7.3 MAT-file"


def read_mat(file: Path, names: Sequence[str]) -> list[Any]:
    """Some variables of a file as arrays; structs become arrays of records.

    Raises:
        InputError: no such file, not of MATLAB, damaged, or without one of the variables.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(len(_HEADER))
    except OSError as reason:
        raise InputError(f"{file} cannot be read: {reason}.") from reason
    if header == _HEADER_OF_HDF5:
        raise InputError(f"{file} is a MATLAB file of version 7.3 (HDF5). Save it again with -v7.")
    if header != _HEADER:
        raise InputError(f"{file} is no MATLAB file: it does not begin with {_HEADER.decode()!r}. Get it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on variables that nobody asked for
            found = loadmat(str(file), variable_names=list(names), appendmat=False)
    except Exception as reason:  # damaged bytes provoke errors of every kind
        raise InputError(f"{file} is cut off or damaged ({type(reason).__name__}: {reason}). Get it again.") from reason
    for name in names:
        if name not in found:
            raise InputError(f"{file} has no variable {name!r}. Is it the published file?")
    return [found[name] for name in names]
