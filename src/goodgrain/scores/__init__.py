"""Scores: one number per example from what a model saw of it; the higher, the earlier it is picked."""

from goodgrain.scores.answered import nearest_both, probe
from goodgrain.scores.contrast import ccal, ccal_distinctive, ccal_semantic, csi
from goodgrain.scores.features import (
    activation,
    agreement,
    between_classes,
    class_cosine,
    projection,
    response,
    switched_off,
    undesirability,
)
from goodgrain.scores.geometry import moderate, prototypical
from goodgrain.scores.purity import (
    energy,
    knn,
    label_agreement,
    mahalanobis,
    max_logit,
    msp,
    nearest_in,
    nearest_ood,
    odin,
    react,
)
from goodgrain.scores.training import aum, el2n, forgetting, grand, small_loss
from goodgrain.scores.uncertainty import diff_prob, entropy, least_confidence, margin, max_prob

__all__ = [
    "activation",
    "agreement",
    "aum",
    "between_classes",
    "ccal",
    "ccal_distinctive",
    "ccal_semantic",
    "class_cosine",
    "csi",
    "diff_prob",
    "el2n",
    "energy",
    "entropy",
    "forgetting",
    "grand",
    "knn",
    "label_agreement",
    "least_confidence",
    "mahalanobis",
    "margin",
    "max_logit",
    "max_prob",
    "moderate",
    "msp",
    "nearest_both",
    "nearest_in",
    "nearest_ood",
    "odin",
    "probe",
    "projection",
    "prototypical",
    "react",
    "response",
    "small_loss",
    "switched_off",
    "undesirability",
]
