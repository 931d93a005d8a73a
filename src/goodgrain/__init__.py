"""goodgrain: the good grain from the chaff, when deep learning meets noisy data.

Every public name is imported when it is first used: `import goodgrain` itself is instant and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from goodgrain import annotate, data, losses, meta, metrics, scores, select, teacher
    from goodgrain.cluster import ConstrainedKMeans
    from goodgrain.learn.trained import load
    from goodgrain.meta import MetaQueryNet
    from goodgrain.observations import Observations
    from goodgrain.pipelines.compare_ood import compare_ood
    from goodgrain.pipelines.embed import embed
    from goodgrain.pipelines.evaluate_mmlu import evaluate_mmlu
    from goodgrain.pipelines.evaluate_preference import evaluate_preference
    from goodgrain.pipelines.finetune import finetune
    from goodgrain.pipelines.instruct import instruct
    from goodgrain.pipelines.label import label
    from goodgrain.pipelines.labeling import Labeling
    from goodgrain.pipelines.prune import prune
    from goodgrain.pipelines.train import train

_NAMES = {
    "ConstrainedKMeans": "goodgrain.cluster",
    "Labeling": "goodgrain.pipelines.labeling",
    "MetaQueryNet": "goodgrain.meta",
    "Observations": "goodgrain.observations",
    "compare_ood": "goodgrain.pipelines.compare_ood",
    "embed": "goodgrain.pipelines.embed",
    "evaluate_mmlu": "goodgrain.pipelines.evaluate_mmlu",
    "evaluate_preference": "goodgrain.pipelines.evaluate_preference",
    "finetune": "goodgrain.pipelines.finetune",
    "instruct": "goodgrain.pipelines.instruct",
    "label": "goodgrain.pipelines.label",
    "load": "goodgrain.learn.trained",
    "prune": "goodgrain.pipelines.prune",
    "train": "goodgrain.pipelines.train",
}
_ROOMS = ("annotate", "data", "losses", "meta", "metrics", "scores", "select", "teacher")

__all__ = [
    "ConstrainedKMeans",
    "Labeling",
    "MetaQueryNet",
    "Observations",
    "__version__",
    "annotate",
    "compare_ood",
    "data",
    "embed",
    "evaluate_mmlu",
    "evaluate_preference",
    "finetune",
    "instruct",
    "label",
    "load",
    "losses",
    "meta",
    "metrics",
    "prune",
    "scores",
    "select",
    "teacher",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"goodgrain.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'goodgrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
