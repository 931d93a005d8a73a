"""Datasets on disk become pools: one file per layout, one door for all."""

from goodgrain.data.read.dataset import read

__all__ = ["read"]
