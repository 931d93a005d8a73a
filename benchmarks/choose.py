"""Which weight and which batch normalisation of OOD images: tried on data and a seed that no table uses.

python benchmarks/choose.py --results benchmarks/results/choose-laptop.jsonl --workers 2
"""

from chapter3 import SCALES, Cell, command
from grid import grid

COUNT, SEED = 500, 100
STATISTICS = ("shared", "separate", "running")
WAYS = [f"{statistics}, {weight}" for weight in (1.0, 0.1, 10.0) for statistics in STATISTICS]
TARGETS = {"known-bias": "photographs", "cifar10-validation": "tiny-imagenet"}


def cells(scale):  # noqa: ARG001
    """Target by target."""
    tried = [("standard", ""), *(("taufe", way) for way in WAYS), *(("oat", f"{way}, 1.0") for way in STATISTICS)]
    return [
        Cell(target, TARGETS[target], "ce", method, COUNT, SEED, change)
        for target in TARGETS
        for method, change in tried
    ]


def show(scale, measured):
    """One table."""

    def values(row, target):
        return [
            line["accuracy"]
            for cell, line in measured.items()
            if (cell.target, f"{cell.method}: {cell.change}") == (target, row)
        ]

    rows = list(dict.fromkeys(f"{cell.method}: {cell.change}" for cell in measured))
    title = f"Chosen on one seed · N = {COUNT} · accuracy (%) · {scale} scale: {SCALES[scale].title()}"
    grid(title, rows, [(target, target) for target in TARGETS], values)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
