"""Where in an image a network looks: the maps before its last pooling, and class activation maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from goodgrain.errors import InputError
from goodgrain.models.split import Split


def last_maps(network: Split, pixels: Tensor) -> Tensor:
    """The maps right before a network's last pooling: those whose means over all places are the features.

    The network runs once, in the mode that it is in, and with a gradient where one is asked for. What counts is the
    arithmetic, not the kind of layer: pooling by a function is found as well. In training mode, random dropout between
    pooling and head hides the maps.

    Args:
        network: pools its last maps by their mean, then flattens them, and ends in a linear layer.
        pixels: (b, channels, h, w), normalised as the network expects.

    Returns:
        (b, d, h', w'), d being the width of the features.

    Raises:
        InputError: the features are not the means of maps with several places, as in a multi-layer perceptron or a
            vision transformer, or where the images are too small for the network.

    Example:
        >>> from goodgrain.models.resnet import small
        >>> last_maps(small(classes=10), torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 96, 8, 8])
    """
    return with_maps(network, pixels)[2]


def with_maps(network: Split, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a network makes of images, and its last maps, from one forward pass.

    Args:
        network: as in `last_maps`.
        pixels: (b, channels, h, w), normalised as the network expects.

    Returns:
        logits (b, c), features (b, d), maps (b, d, h', w').

    Raises:
        InputError: as in `last_maps`.

    Example:
        >>> from goodgrain.models.resnet import small
        >>> logits, features, maps = with_maps(small(classes=10), torch.zeros(2, 3, 64, 64))
        >>> torch.allclose(maps.mean(dim=(2, 3)), features)
        True
    """
    seen = _LastMaps(pixels)
    with seen:
        logits, features = network(pixels)
    maps = seen.maps.get(features.shape[1])
    if maps is None or not _means_are(maps, features):
        raise InputError(
            f"the features {tuple(features.shape)} of this network are not the means of maps with several places, so "
            "it does not tell where it looks. Take one with global average pooling right before its linear head, such "
            "as a ResNet, and images that are large enough for it."
        )
    return logits, features, maps


def class_activation_maps(network: Split, pixels: Tensor, classes: Tensor) -> Tensor:
    """Class activation maps (CAM, Zhou et al. 2016, Eq. 2): how much each place of an image speaks for a class.

    The last maps, each weighted by what the head makes of it for the class, summed, and stretched bilinearly to the
    image's size. Before stretching, the mean over all places is the class's logit less its bias.

    Args:
        network: as in `last_maps`; call its `eval()` first, as for a prediction.
        pixels: (b, channels, h, w), normalised as the network expects.
        classes: (b,) int64, the class of each image.

    Returns:
        (b, h, w), of any sign.

    Raises:
        InputError: as in `last_maps`, the head is no linear layer, or a class that it does not know.

    Example:
        >>> network = Split(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(3, 2))
        >>> class_activation_maps(network, torch.rand(5, 3, 8, 6), torch.tensor([0, 1, 1, 0, 0])).shape
        torch.Size([5, 8, 6])
    """
    head = network.head
    if not isinstance(head, nn.Linear):
        raise InputError(f"class activation maps need a linear head; this network's is {type(head).__name__}.")
    if classes.shape != (len(pixels),):
        raise InputError(f"classes should be one per image, ({len(pixels)},); their shape is {tuple(classes.shape)}.")
    unknown = classes[(classes < 0) | (classes >= head.out_features)]
    if len(unknown):
        raise InputError(f"classes should be 0..{head.out_features - 1}; {int(unknown[0])} is not.")
    maps = last_maps(network, pixels)
    weighted = torch.einsum("bd,bdhw->bhw", head.weight[classes], maps)
    return functional.interpolate(weighted[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)[:, 0]


class _LastMaps(TorchFunctionMode):
    """Watches a forward pass and keeps, for each width, the last maps of more than one place.

    Every function of torch passes here, whether a layer calls it or a network's own `forward`; hooks on layers would
    miss an activation that is a function. Keeping all maps would fill the memory.

    Attributes:
        maps: width -> (b, width, h, w).
    """

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.maps: dict[int, Tensor] = {}
        self._note(pixels)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4:
            self._note(result)
        return result

    def _note(self, maps: Tensor) -> None:
        if maps.shape[2:].numel() > 1:  # after the pooling there is one place, which would be its own mean
            self.maps[maps.shape[1]] = maps


def _means_are(maps: Tensor, features: Tensor) -> bool:
    """Whether features (b, d) are the means of maps (b, d, h, w), up to what their precision rounds away."""
    with torch.no_grad():
        means, size = maps.float().mean(dim=(2, 3)), maps.float().abs().mean(dim=(2, 3))
        slack = max(1e-5, 4 * torch.finfo(features.dtype).eps)
        return means.shape == features.shape and bool((means - features).abs().sum() <= slack * size.sum())
