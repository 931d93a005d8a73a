"""Labels in files of arrays: .npy, and the dictionaries of arrays that CIFAR-N publishes as .pt and .npy."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.data.read.plain_pickle import ALLOWED, NotPlain, as_plain, load_plain, refuse
from goodgrain.errors import InputError

_WHAT = "a label file"
_UNSUPPORTED = re.compile(r"GLOBAL (\S+)")  # how torch names what it does not load


def read_npy(path: Path) -> dict[str, Any]:
    """The columns of a .npy file; an array of plain labels is the one column "label".

    Raises:
        InputError: no array, a damaged one, or objects that are neither labels nor arrays.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            if header(file)[2].hasobject:
                return _columns(load_plain(file, path.name, _WHAT))
            file.seek(0)
            return _columns(np.lib.format.read_array(file, allow_pickle=False))
    except InputError:
        raise
    except (OSError, ValueError, EOFError, MemoryError) as reason:
        raise InputError(f"{path} cannot be read as a plain array: {reason}.") from reason


def read_torch(path: Path) -> dict[str, Any]:
    """The columns of a .pt file: a dictionary of arrays or tensors; a single one is the column "label".

    Raises:
        InputError: not written by torch.save, damaged, or anything but arrays in it.
    """
    import torch

    allowed: Any = [(stand_in, name) for name, stand_in in ALLOWED.items()]
    try:
        with torch.serialization.safe_globals(allowed):
            return _columns(as_plain(torch.load(path, map_location="cpu", weights_only=True)))
    except NotPlain as wanted:
        refuse(path.name, _WHAT, str(wanted))
    except pickle.UnpicklingError as reason:
        wanted_name = _UNSUPPORTED.search(str(reason))
        if wanted_name:
            refuse(path.name, _WHAT, wanted_name[1])
        raise InputError(f"{path} cannot be read as a file of torch.save; it is cut off or damaged.") from reason
    except InputError:
        raise
    except Exception as reason:
        raise InputError(f"{path} cannot be read as a file of torch.save; it is cut off or damaged.") from reason


def column_values(columns: dict[str, Any], name: str, path: Path) -> list[Any]:
    """One column as a list, or an InputError where it has not one axis."""
    values = columns[name]
    if isinstance(values, list | tuple):
        return list(values)
    shape = tuple(getattr(values, "shape", ()))
    if len(shape) != 1:
        raise InputError(f"{name!r} of {path.name} should hold one label per image on 1 axis; its shape is {shape}.")
    listed: list[Any] = values.tolist()
    return listed


def _columns(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"label": value}
