"""Images with labels: read from disk, checked, given noise, searched for duplicates, written out again."""

from goodgrain.data.pool import OOD, UNLABELED, ImageSource, Pool, Rejected

__all__ = ["OOD", "UNLABELED", "ImageSource", "Pool", "Rejected"]
