"""Selections: scores or embeddings in, positions under a budget out, in the order picked."""

from goodgrain.select.distance import herding, k_center, min_cover
from goodgrain.select.gradient import badge
from goodgrain.select.methods import METHODS, Method, Options, Rulebook, select
from goodgrain.select.neighborhood import neighborhood_confidence, objective, prune4rel
from goodgrain.select.ranking import ccs, random, top_k
from goodgrain.select.selection import Selection
from goodgrain.select.standing import Standing
from goodgrain.select.strategies import STRATEGIES, QueryOptions, Strategy, query
from goodgrain.select.submodular import similar
from goodgrain.select.threshold import ThresholdAdvice, advise_threshold

__all__ = [
    "METHODS",
    "STRATEGIES",
    "Method",
    "Options",
    "QueryOptions",
    "Rulebook",
    "Selection",
    "Standing",
    "Strategy",
    "ThresholdAdvice",
    "advise_threshold",
    "badge",
    "ccs",
    "herding",
    "k_center",
    "min_cover",
    "neighborhood_confidence",
    "objective",
    "prune4rel",
    "query",
    "random",
    "select",
    "similar",
    "top_k",
]
