"""Networks of the timm library as encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import Encoded, Examples, library


class TimmEncoder:
    """A timm network: its pooled features before the classifier, and the classifier's probabilities if it has one.

    Args:
        network: in evaluation mode.
        settings: what its pretrained weights expect: input_size (c, h, w), mean, std, interpolation.
        device: where the network is.
    """

    classes = None

    def __init__(self, network: Any, settings: dict[str, Any], device: torch.device) -> None:
        _, height, width = settings["input_size"]
        self.image_size: tuple[int, int] = (height, width)
        self._network = network
        self._mean, self._deviation = (
            torch.tensor(settings[name], device=device).view(-1, 1, 1) for name in ("mean", "std")
        )
        self._mode = "bicubic" if settings.get("interpolation") == "bicubic" else "bilinear"
        self._device = device

    @torch.inference_mode()
    def __call__(self, examples: Examples) -> Encoded:
        """Images (b, h, w, c) uint8 -> features (b, d) and probabilities (b, classes)."""
        pixels = to_pixels(np.asarray(examples), self._device)
        if pixels.shape[-2:] != self.image_size:
            pixels = interpolate(pixels, self.image_size, mode=self._mode, antialias=True).clamp_(0, 1)
        maps = self._network.forward_features((pixels - self._mean) / self._deviation)  # a gray channel spreads to all
        features: Tensor = self._network.forward_head(maps, pre_logits=True)
        if not self._network.num_classes:
            return Encoded(features.float().cpu().numpy())
        logits: Tensor = self._network.forward_head(maps)
        return Encoded(features.float().cpu().numpy(), logits.float().softmax(dim=1).cpu().numpy())


def load_timm(name: str, *, device: torch.device | str = "cpu") -> TimmEncoder:
    """A pretrained network by timm's name for it.

    Raises:
        MissingExtra: timm is not installed.
        InputError: timm knows no such network, or no weights of it.
    """
    timm = library("timm", "timm")
    try:
        network = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as reason:
        raise InputError(f"timm cannot load {name!r}: {reason}.") from reason
    place = torch.device(device)
    return TimmEncoder(network.to(place).eval(), timm.data.resolve_model_data_config(network), place)
