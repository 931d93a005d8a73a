"""Table 3.6: adversarial training (PGD-7), alone and with TAUFE; clean accuracy, and under PGD-100 on 500 images.

python benchmarks/table_3_6.py --scale laptop --workers 2
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import TABLE_3_6
from grid import grid

COUNT = 500
ROWS = {"PGD": ("standard", "tiny-imagenet", ""), "TAUFE: svhn": ("taufe", "svhn", "svhn")}
ROWS["TAUFE: tiny-imagenet"] = ("taufe", "tiny-imagenet", "lsun")
FACTS = ("accuracy", "adversarial")


def cells(scale):
    """Seed by seed."""
    return [
        Cell("cifar10", ood, "adversarial", method, COUNT, seed)
        for seed in scale.seeds["many"]
        for method, ood, _ in ROWS.values()
    ]


def show(scale, measured):
    """One table."""

    def values(row, fact):
        method, ood, _ = ROWS[row]
        return [line[fact] for cell, line in measured.items() if (cell.method, cell.ood) == (method, ood)]

    def paper(row, fact):
        return TABLE_3_6[ROWS[row][2], ROWS[row][0]][FACTS.index(fact)]

    title = f"Table 3.6 · CIFAR-10, N = {COUNT:,} · {scale} scale: {SCALES[scale].title()} [paper: all images]"
    grid(title, list(ROWS), [(f"{fact} (%)", fact) for fact in FACTS], values, paper)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
