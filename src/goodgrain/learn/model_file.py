"""Trained networks as safetensors, with what is needed to use them again."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save

from goodgrain.data.pool import Pool
from goodgrain.learn.learners.standard import Standard


def save_model(path: Path, learner: Standard, pool: Pool) -> None:
    """Write a trained learner's network and pixel statistics, and in the metadata what they expect.

    Args:
        path: the file.
        learner: what was trained.
        pool: what it was trained on: its class names and the shape of its images.
    """
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, module in (("network", learner.network), ("normalize", learner.normalize))
        for name, tensor in module.state_dict().items()
    }
    metadata = {
        "format": "goodgrain-model-1",
        "config": json.dumps(dict(learner.config())),
        "classes": json.dumps(list(pool.classes)),
        "image_shape": json.dumps(list(pool.image_shape)),
    }
    path.write_bytes(save(tensors, metadata))  # the library's own writer hides why a disk refused
