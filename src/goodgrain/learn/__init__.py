"""Training and observing: one loop, and the learners that it runs."""

from goodgrain.learn.learner import Batch, Learner, Outcome, Part, Predictor, Run, Stateful
from goodgrain.learn.learners.contrastive import SimCLR
from goodgrain.learn.learners.csi import CSI
from goodgrain.learn.learners.dividemix import DivideMix
from goodgrain.learn.learners.loss_prediction import LossPrediction, predicted_losses
from goodgrain.learn.learners.sop import SOP
from goodgrain.learn.learners.standard import Standard
from goodgrain.learn.loop import History, fit
from goodgrain.learn.observe import observe, predict
from goodgrain.learn.published import LEARNERS, PUBLISHED, make_learner

__all__ = [
    "CSI",
    "LEARNERS",
    "PUBLISHED",
    "SOP",
    "Batch",
    "DivideMix",
    "History",
    "Learner",
    "LossPrediction",
    "Outcome",
    "Part",
    "Predictor",
    "Run",
    "SimCLR",
    "Standard",
    "Stateful",
    "fit",
    "make_learner",
    "observe",
    "predict",
    "predicted_losses",
]
