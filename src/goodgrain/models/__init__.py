"""Networks that hand out their features: some of our own, those of timm, and any module that ends in a linear layer."""

from goodgrain.models.batch_norm import has_batch_norm, running_statistics, statistics_kept
from goodgrain.models.load import load_network
from goodgrain.models.loss_predictor import LossPredictor
from goodgrain.models.maps import class_activation_maps, last_maps
from goodgrain.models.penultimate import Penultimate
from goodgrain.models.resnet import preact_resnet18, resnet18, resnet50, small
from goodgrain.models.split import Split, split

__all__ = [
    "LossPredictor",
    "Penultimate",
    "Split",
    "class_activation_maps",
    "has_batch_norm",
    "last_maps",
    "load_network",
    "preact_resnet18",
    "resnet18",
    "resnet50",
    "running_statistics",
    "small",
    "split",
    "statistics_kept",
]
