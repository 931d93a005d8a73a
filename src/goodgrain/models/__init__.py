"""Networks that hand out their features: small ones of our own, and any module that ends in a linear layer."""

from goodgrain.models.load import load_network
from goodgrain.models.resnet import resnet18, small
from goodgrain.models.split import Split, split

__all__ = ["Split", "load_network", "resnet18", "small", "split"]
