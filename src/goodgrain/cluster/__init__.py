"""Clusters of bounded sizes."""

from goodgrain.cluster.estimator import ConstrainedKMeans

__all__ = ["ConstrainedKMeans"]
