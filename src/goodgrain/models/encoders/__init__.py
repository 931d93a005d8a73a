"""Anyone's models as encoders: a batch of images or texts in, features and perhaps probabilities out."""

from goodgrain.models.encoders.encoder import Encoded, Encoder, Examples
from goodgrain.models.encoders.load import load_encoder

__all__ = ["Encoded", "Encoder", "Examples", "load_encoder"]
