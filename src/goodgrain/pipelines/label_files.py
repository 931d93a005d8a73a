"""Where a labelling run keeps what, and its configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from goodgrain.errors import InputError
from goodgrain.run import CONFIG


def asked_file(number: int) -> str:
    """What a round asked for, and what was known then."""
    return f"rounds/{number:03}.npz"


def facts_file(number: int) -> str:
    """What the model that asked in this round was trained on and came to."""
    return f"rounds/{number:03}.json"


def model_file(number: int) -> str:
    """The model that asked in this round; it learned from the answers of the rounds before."""
    return f"models/round-{number:03}.safetensors"


def meta_file(number: int) -> str:
    """The meta-model that weighed in this round."""
    return f"rounds/{number:03}-meta.safetensors"


def config_of(folder: str | Path) -> dict[str, Any]:
    """The configuration of a labelling run.

    Raises:
        InputError: no labelling run is there.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} holds no labelling run. Begin one with `goodgrain label init`.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise InputError(f"{path} cannot be read: {reason}.") from reason
    if table.get("job") != "label":
        raise InputError(f"{folder} holds a run of another job ({table.get('job', 'prune')}). Give a labelling run.")
    return table
