"""Loss prediction (LL): from a network's intermediate maps, which images it will have a large loss on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from goodgrain.checks import check_count
from goodgrain.errors import InputError

_MAPS, _TOKENS = 4, 3  # axes
_SIZES = 3  # from so many sizes on, the sizes are the stages


class LossPredictor(nn.Module):
    """The loss-prediction module (Yoo & Kweon 2019, section 3.2) beside any network.

    Each stage's maps are averaged over all places, then go through a linear layer of their own and a ReLU; one linear
    layer makes a number of all of them together. Only the order of the numbers means anything.

    Args:
        network: whose loss is predicted; it stays as it is, and is not a part of this module.
        example: (b, channels, h, w) images that the network can take.
        hidden: width of each stage's linear layer.
        most: how many stages at the most, as in `find_stages`.

    Attributes:
        layers: names of the network's layers whose outputs are read.

    Raises:
        InputError: as in `find_stages`, or a width below 1.

    Example:
        >>> from goodgrain.models.resnet import small
        >>> network, images = small(classes=10), torch.rand(5, 3, 32, 32)
        >>> predictor = LossPredictor(network, images)
        >>> with predictor.watching(network) as means:
        ...     logits, features = network(images)
        >>> predictor(means).shape
        torch.Size([5])
    """

    def __init__(self, network: nn.Module, example: Tensor, *, hidden: int = 128, most: int = 4) -> None:
        super().__init__()
        check_count("hidden", hidden)
        stages = find_stages(network, example, most=most)
        self.layers = tuple(stages)
        self.branches = nn.ModuleList(nn.Linear(width, hidden) for width in stages.values())
        self.last = nn.Linear(hidden * len(stages), 1)

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[dict[str, Tensor]]:
        """Within this context, a forward pass of the network leaves the means of its maps behind.

        They are taken as soon as a layer has its output, which may be overwritten in place later. Of several passes,
        or of a layer that is called several times, the first counts.

        Args:
            network: that this module was made for.

        Yields:
            layer -> (b, width) float32, with gradient where one is asked for; filled by the pass.
        """
        means: dict[str, Tensor] = {}
        hooks = [network.get_submodule(name).register_forward_hook(_keeping(name, means)) for name in self.layers]
        try:
            yield means
        finally:
            for hook in hooks:
                hook.remove()

    def forward(self, means: Mapping[str, Tensor]) -> Tensor:
        """What `watching` collected -> predicted losses (b,), row by row.

        Raises:
            InputError: the network did not run while it was watched.
        """
        missing = [name for name in self.layers if name not in means]
        if missing:
            raise InputError(
                f"no maps of {', '.join(missing)} were seen. Run the network within `with predictor.watching(network)`."
            )
        rows = [branch(means[name]).relu() for name, branch in zip(self.layers, self.branches, strict=True)]
        predicted: Tensor = self.last(torch.cat(rows, dim=1))[:, 0]
        return predicted


def find_stages(network: nn.Module, example: Tensor, *, most: int = 4) -> dict[str, int]:
    """Find the layers whose outputs stand for the stages of a network, by running a copy of it once.

    Looked at are its outermost blocks: containers are opened, and what gives no maps, and a block that stands alone.
    What mixes no channels, such as a normalisation, an activation or a pooling, ends the block before it where it keeps
    the width and leaves more than one place. A network that shrinks its maps twice or more has a stage per size, which
    ends with the last block of that size; of any other, such as a vision transformer, blocks at equal distances are
    taken.

    Args:
        network: any module; its layers may give maps (b, width, h, w) or tokens (b, t, width).
        example: (b, channels, h, w) images that it can take.
        most: how many stages; of more, the last ones.

    Returns:
        layer -> width of its output, in the order of the forward pass, the last block included.

    Raises:
        InputError: no layer gives maps or tokens, as in a multi-layer perceptron, or `most` is below 1.

    Example:
        >>> from goodgrain.models.resnet import resnet18, small
        >>> find_stages(small(classes=10), torch.zeros(1, 3, 32, 32))
        {'features.3': 16, 'features.4': 64, 'features.5': 96}
        >>> find_stages(resnet18(classes=10), torch.zeros(1, 3, 32, 32))
        {'features.4': 64, 'features.6': 128, 'features.8': 256, 'features.10': 512}
    """
    check_count("most", most)
    shapes = _shapes(network, example)
    blocks = set(_blocks(network, "", shapes))
    while len(blocks) == 1:
        (lone,) = blocks
        inner = set(_blocks(network.get_submodule(lone), f"{lone}.", shapes))
        if not inner:
            break
        blocks = inner
    ends: list[str] = []
    for name in (name for name in shapes if name in blocks):
        if any(weights.ndim > 1 for weights in network.get_submodule(name).parameters()):
            ends.append(name)
        elif ends and _width(shapes[name]) == _width(shapes[ends[-1]]) and _size(shapes[name]).numel() > 1:
            ends[-1] = name
    if not ends:
        raise InputError(
            f"the network {type(network).__name__} has no layer with weight matrices that gives maps (b, width, h, w) "
            "or tokens (b, t, width), so there is nothing to predict its loss from. Take a convolutional network or a "
            "transformer whose parts are modules."
        )
    last_of_size = set({_size(shapes[name]): name for name in ends}.values())
    if len(last_of_size) >= _SIZES:
        chosen = [name for name in ends if name in last_of_size][-most:]
    else:
        count = min(most, len(ends))
        chosen = [ends[(turn + 1) * len(ends) // count - 1] for turn in range(count)]
    return {name: _width(shapes[name]) for name in chosen}


def _shapes(network: nn.Module, example: Tensor) -> dict[str, torch.Size]:
    """Layer -> shape of the maps or tokens of its first call, in the order in which they were ready."""
    network = copy.deepcopy(network).eval()
    shapes: dict[str, torch.Size] = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(_noting(name, shapes, len(example)))
    with torch.no_grad():
        network(example)
    return shapes


def _blocks(module: nn.Module, prefix: str, shapes: Mapping[str, torch.Size]) -> Iterator[str]:
    """The outermost layers within a module that give maps or tokens and are no mere sequence of others."""
    for name, layer in module.named_children():
        whole = f"{prefix}{name}"
        listing = any(isinstance(part, nn.ModuleList | nn.ModuleDict) for part in layer.children())
        if whole not in shapes or isinstance(layer, nn.Sequential) or listing:
            yield from _blocks(layer, f"{whole}.", shapes)
        else:
            yield whole


def _noting(name: str, shapes: dict[str, torch.Size], count: int) -> Callable[..., None]:
    def note(_: nn.Module, __: object, output: object) -> None:
        maps = _tensor(output)
        if maps is not None and maps.ndim in (_MAPS, _TOKENS) and len(maps) == count:
            shapes.setdefault(name, maps.shape)

    return note


def _keeping(name: str, means: dict[str, Tensor]) -> Callable[..., None]:
    def keep(_: nn.Module, __: object, output: object) -> None:
        maps = _tensor(output)
        if maps is not None and name not in means:
            means[name] = maps.float().mean(dim=(2, 3) if maps.ndim == _MAPS else 1)

    return keep


def _tensor(output: object) -> Tensor | None:
    """A layer's output; the first of several."""
    first = output[0] if isinstance(output, Sequence) and output else output
    return first if isinstance(first, Tensor) else None


def _size(shape: torch.Size) -> torch.Size:
    """(h, w) of maps, (t,) of tokens."""
    return shape[2:] if len(shape) == _MAPS else shape[1:2]


def _width(shape: torch.Size) -> int:
    return shape[1] if len(shape) == _MAPS else shape[2]
