"""Networks that the benchmarks compare with the house's small one."""

from torch import nn

from goodgrain.models import small

GROUPS = 8


def group_norm(*, classes: int, channels: int = 3) -> nn.Module:
    """The small network with group normalisation: an image's features do not depend on the others of its batch."""
    network = small(classes=classes, channels=channels)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
    return network
