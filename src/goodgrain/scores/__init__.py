"""Scores: one number per example from what a model saw of it; the higher, the earlier it is picked."""

from goodgrain.scores.geometry import moderate, prototypical
from goodgrain.scores.purity import label_agreement
from goodgrain.scores.training import aum, el2n, forgetting, grand, small_loss
from goodgrain.scores.uncertainty import diff_prob, entropy, least_confidence, margin, max_prob

__all__ = [
    "aum",
    "diff_prob",
    "el2n",
    "entropy",
    "forgetting",
    "grand",
    "label_agreement",
    "least_confidence",
    "margin",
    "max_prob",
    "moderate",
    "prototypical",
    "small_loss",
]
