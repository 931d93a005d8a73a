"""Table 3.8: TAUFE against SimCLR on labelled and OOD images with a head trained on the labelled ones.

python benchmarks/table_3_8.py --scale laptop --workers 2
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import COUNTS, TABLE_3_8
from grid import grid

ROWS = {"standard": ("ce", "standard"), "simclr": ("simclr", "standard"), "taufe": ("ce", "taufe")}


def cells(scale):
    """Count by count, seed by seed; only SimCLR's are not in table 3.2."""
    return [
        Cell("cifar10", "tiny-imagenet" if row == "standard" else "svhn", *ROWS[row], count, seed)
        for count in scale.counts
        for seed in scale.seeds["many"]
        for row in ROWS
    ]


def show(scale, measured):
    """One table."""
    counts = SCALES[scale].counts

    def values(row, count):
        return [
            line["accuracy"]
            for cell, line in measured.items()
            if (cell.learner, cell.method, cell.count) == (*ROWS[row], count)
        ]

    title = f"Table 3.8 · CIFAR-10 with SVHN · test accuracy (%) · {scale} scale: {SCALES[scale].title()}"
    columns = [(f"N = {count:,}", count) for count in counts]
    grid(title, list(ROWS), columns, values, lambda row, count: TABLE_3_8[row][COUNTS.index(count)])


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
