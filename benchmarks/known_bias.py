"""Known bias: digits over photographs whose class goes with the digit in training and not in test.

python benchmarks/known_bias.py --scale laptop --workers 2

OOD images are photographs alone. How far a model follows the photograph is measured directly: accuracy where digit
and photograph disagree, the share of these images that are taken for the photograph's digit, how well the photograph's
class can be read from the features (ridge classifier), and the response to photographs alone.
"""

from chapter3 import SCALES, Cell, command
from grid import grid

ROWS = ["standard", "oat", "taufe"]
BIASES = ["no bias", "bias 0.8", "bias 0.99", "other photographs"]
FOR_ALL = [*BIASES, "group norm", "twice the epochs"]
FOR_ONE = {
    "taufe": [
        *("relative", "group norm, relative", "group norm, 10.0", "separate, relative"),
        *("maps", "shared, 0.1", "shared, 10.0", "separate, 1.0", "running, 1.0"),
    ],
    "oat": ["shared, 1.0"],
}
CHANGES = ["", *FOR_ALL, *FOR_ONE["taufe"], *FOR_ONE["oat"]]
FACTS = [
    ("test accuracy", "accuracy"),
    ("photo disagrees", "conflicting"),
    ("follows the photo", "follows_photograph"),
    ("photo is readable", "photograph_readable"),
]
COUNT = 500


def cells(scale):
    """The fixed protocol first, on five seeds; then what is changed, on three."""
    fixed = [Cell("known-bias", "photographs", "ce", row, COUNT, seed) for seed in scale.seeds["few"] for row in ROWS]
    changed = [
        Cell("known-bias", "photographs", "ce", row, COUNT, seed, change)
        for seed in scale.seeds["many"]
        for change in CHANGES[1:]
        for row in ROWS
        if change in FOR_ALL or change in FOR_ONE.get(row, ())
    ]
    return [*fixed, *changed]


def show(scale, measured):
    """One table per change."""
    for change in CHANGES:
        found = {cell: line for cell, line in measured.items() if cell.change == change}
        rows = [row for row in ROWS if any(cell.method == row for cell in found)]
        if not rows:
            continue

        def values(row, fact, found=found):
            if fact == "ood":
                return [line["ood"]["photographs"]["activation"] for cell, line in found.items() if cell.method == row]
            return [line[fact] for cell, line in found.items() if cell.method == row]

        title = f"Known bias · {COUNT:,} digits · {change or 'as fixed'} · (%) · {scale}: {SCALES[scale].title()}"
        grid(title, rows, FACTS, values)
        grid(
            "  mean squared length of features",
            rows,
            [("photographs", "ood"), ("test", "activation")],
            values,
            percent=False,
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
