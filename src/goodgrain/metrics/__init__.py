"""What is measured of a trained model."""

from goodgrain.metrics.classification import accuracy, relabeling_accuracy

__all__ = ["accuracy", "relabeling_accuracy"]
