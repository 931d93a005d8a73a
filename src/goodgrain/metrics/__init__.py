"""What is measured of a trained model."""

from goodgrain.metrics.classification import accuracy, relabeling_accuracy
from goodgrain.metrics.detection import ood_metrics
from goodgrain.metrics.localization import box_around, box_iou, gt_known_loc, mean_iou
from goodgrain.metrics.preference import PreferenceRates, preference_rates

__all__ = [
    "PreferenceRates",
    "accuracy",
    "box_around",
    "box_iou",
    "gt_known_loc",
    "mean_iou",
    "ood_metrics",
    "preference_rates",
    "relabeling_accuracy",
]
