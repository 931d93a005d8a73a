"""Table 3.5: MixMatch with 250 labels of CIFAR-10, alone and with TAUFE.

python benchmarks/table_3_5.py --scale laptop --workers 2

At laptop scale 5,000 unlabelled images, and a tenth of the other tables' epochs over them: a thousandth of the
published steps.
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import TABLE_3_5
from grid import grid

COUNT = 250
ROWS = {"MixMatch": ("standard", "tiny-imagenet", ""), "TAUFE: svhn": ("taufe", "svhn", "svhn")}
ROWS["TAUFE: tiny-imagenet"] = ("taufe", "tiny-imagenet", "lsun")


def cells(scale):
    """Seed by seed."""
    return [
        Cell("cifar10", ood, "mixmatch", method, COUNT, seed)
        for seed in scale.seeds["many"]
        for method, ood, _ in ROWS.values()
    ]


def show(scale, measured):
    """One table."""

    def values(row, _):
        method, ood, _ = ROWS[row]
        return [line["accuracy"] for cell, line in measured.items() if (cell.method, cell.ood) == (method, ood)]

    def paper(row, _):
        return TABLE_3_5[ROWS[row][2], ROWS[row][0]]

    title = f"Table 3.5 · CIFAR-10, {COUNT} labels · {scale} scale: {SCALES[scale].title()}"
    grid(title, list(ROWS), [("test accuracy (%)", "")], values, paper)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
