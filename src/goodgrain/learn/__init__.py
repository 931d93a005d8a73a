"""Training and observing: one loop, and the learners that it runs."""

from goodgrain.learn.learner import Batch, Learner, Outcome, Part, Predictor, Run, Stateful
from goodgrain.learn.learners.standard import Standard
from goodgrain.learn.loop import History, fit
from goodgrain.learn.observe import observe, predict

__all__ = [
    "Batch",
    "History",
    "Learner",
    "Outcome",
    "Part",
    "Predictor",
    "Run",
    "Standard",
    "Stateful",
    "fit",
    "observe",
    "predict",
]
