"""Encoders by the words of a command line."""

from __future__ import annotations

from pathlib import Path

import torch

from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import Encoder
from goodgrain.models.encoders.function import FunctionEncoder, imported
from goodgrain.models.encoders.hugging_face import load_hugging_face
from goodgrain.models.encoders.timm_model import load_timm

FORMS = "hf:NAME, timm:NAME, a folder with a saved model, or package.module:function"


def load_encoder(spec: str, *, texts: bool = False, device: torch.device | str = "cpu") -> Encoder:
    """An encoder by its name.

    Nothing is fetched but by transformers or timm themselves; no code comes with the weights, and weights are only
    read as safetensors.

    Args:
        spec: "hf:NAME" or a folder (Hugging Face transformers, or sentence-transformers for texts), "timm:NAME", or
            "package.module:function", a function of one batch: uint8 images (b, h, w, c) or a list of b texts ->
            features (b, d), or a pair of features and probabilities (b, c).
        texts: whether it will be given texts; images otherwise.
        device: where a network goes; a function sees to that itself.

    Raises:
        InputError: none of these forms, or a model that cannot be loaded.
        MissingExtra: the library that the model needs is not installed.

    Example:
        >>> load_encoder("numpy:atleast_2d")([[1.0, 2.0]]).features
        array([[1., 2.]])
    """
    family, colon, name = spec.partition(":")
    if family == "hf" and name:
        return load_hugging_face(name, texts=texts, device=device)
    if family == "timm" and name:
        if texts:
            raise InputError(f"{spec} takes images, but the data are texts. Give a model for texts.")
        return load_timm(name, device=device)
    if Path(spec).is_dir():
        return load_hugging_face(spec, texts=texts, device=device)
    if colon and name:
        return FunctionEncoder(imported(spec), spec)
    raise InputError(f"there is no model {spec!r}. Give {FORMS}.")
