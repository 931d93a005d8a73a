import numpy as np
import pytest
from PIL import Image

from goodgrain.report.facts import Copies, Noise, PruneFacts, Threshold
from goodgrain.report.plots import CurvePoint
from goodgrain.scores.suspects import Suspects

N, KEPT = 120, 60
SECTIONS = (
    "In brief",
    "Accuracy",
    "Labels that look wrong",
    "What was kept",
    "Label noise",
    "Confidence",
    "Neighbourhood threshold",
    "Copies",
    "Files that could not be used",
    "Settings",
)


def picture(position):
    pixels = np.random.default_rng(position).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def sections():
    return SECTIONS


@pytest.fixture
def full():
    """Facts in which every section has something to show; keywords replace what they name."""

    def make(**changes):
        rng = np.random.default_rng(0)
        labels = np.arange(N) % 3
        positions = np.arange(0, N, 4)
        known = {
            "name": "toys",
            "method": "prune4rel",
            "command": "goodgrain prune toys --keep 0.5",
            "settings": [("prune.keep", "0.5"), ("prune.seed", "0")],
            "ids": np.asarray([f"id-{i:03}" for i in range(N)]),
            "kept": rng.permutation(N)[:KEPT],
            "classes": ("cat", "dog", "ship"),
            "labels": labels,
            "thumbnail": picture,
            "accuracy": [
                CurvePoint("prune4rel", 30, 0.5, 0.01, 3),
                CurvePoint("prune4rel", 60, 0.612, 0.012, 3),
                CurvePoint("uniform", 60, 0.58, 0.02, 3),
            ],
            "advice": "More data still pays.",
            "noise": Noise([30, 60], [0.05, 0.1], 0.2),
            "suspects": Suspects(positions, (labels[positions] + 1) % 3, np.linspace(0.9, 0.1, len(positions))),
            "confidence": rng.random(N),
            "neighbourhood_confidence": 5 * rng.random(N),
            "threshold": Threshold(0.9, "It was measured.", [0.8, 0.9], {"median": [20.0, 5.0]}),
            "duplicates": Copies(np.array([[0, 1], [2, 3]]), 1),
            "overlap": Copies(np.array([[4, 0]])),
            "test_ids": ["test-0"],
            "test_thumbnail": picture,
            "rejected": [("broken.png", "the file ends too early")],
        }
        return PruneFacts(**(known | changes))

    return make
