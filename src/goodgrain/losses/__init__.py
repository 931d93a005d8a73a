"""What one training step adds: tensors in, scalars out."""

from goodgrain.losses.boxes import BOX_LOSSES, d_iou, l1, l1_iou
from goodgrain.losses.contrastive import nt_xent
from goodgrain.losses.mixmatch import (
    mix,
    negative_entropy,
    refine,
    sharpen,
    soft_cross_entropy,
    squared_error,
    uniform_divergence,
)
from goodgrain.losses.noisy import class_balance, consistency, sop
from goodgrain.losses.ood import oat, taufe
from goodgrain.losses.ranking import loss_prediction, meta_ranking

__all__ = [
    "BOX_LOSSES",
    "class_balance",
    "consistency",
    "d_iou",
    "l1",
    "l1_iou",
    "loss_prediction",
    "meta_ranking",
    "mix",
    "negative_entropy",
    "nt_xent",
    "oat",
    "refine",
    "sharpen",
    "soft_cross_entropy",
    "sop",
    "squared_error",
    "taufe",
    "uniform_divergence",
]
