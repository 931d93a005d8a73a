"""Any function as an encoder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from goodgrain.checks import check_embeddings, check_probabilities
from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import Encoded, Examples


class FunctionEncoder:
    """A function of one batch that returns features (b, d), or a pair of features and probabilities (b, c).

    Args:
        function: takes uint8 images (b, h, w, c) or a list of b texts; returns anything NumPy can take, or tensors.
        name: what error messages call it.

    Example:
        >>> mean = FunctionEncoder(lambda images: images.mean(axis=(1, 2)), "mean")
        >>> mean(np.full((2, 4, 4, 1), 7, dtype=np.uint8)).features.tolist()
        [[7.0], [7.0]]
    """

    image_size = None
    classes = None

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self._function = function
        self._name = name

    def __call__(self, examples: Examples) -> Encoded:
        """Encode one batch.

        Raises:
            InputError: the function returns something else than one finite row per example.
        """
        answer = self._function(examples)
        pair = isinstance(answer, tuple)
        if pair and len(answer) != 2:
            raise InputError(
                f"{self._name} should return features, or features and probabilities; {len(answer)} parts came."
            )
        features, probabilities = answer if pair else (answer, None)
        n = len(examples)
        return Encoded(
            check_embeddings(_array(features), name=f"the features of {self._name}", n=n),
            None
            if probabilities is None
            else check_probabilities(_array(probabilities), name=f"the probabilities of {self._name}", n=n),
        )


def imported(spec: str) -> Callable[[Any], Any]:
    """The function of "package.module:function"."""
    module, _, name = spec.partition(":")
    try:
        function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as reason:
        raise InputError(f"the model {spec} cannot be imported: {reason}. Give package.module:function.") from reason
    if not callable(function):
        raise InputError(f"{spec} should be a function of one batch; it is a {type(function).__name__}.")
    return function


def _array(values: Any) -> Any:
    return values.detach().float().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
