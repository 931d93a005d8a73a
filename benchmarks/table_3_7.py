"""Table 3.7: detecting OOD images of another kind than those of training, from the cells of table 3.2.

python benchmarks/table_3_7.py --print

As published, the training's OOD images (Tiny ImageNet for LSUN) are others than those that are detected (SVHN).
"""

from chapter3 import SCALES, command
from chapter3_paper import TABLE_3_7
from grid import grid
from table_3_2 import cell, cells

ROWS = {"standard": "standard", "OAT": "oat: tiny-imagenet", "TAUFE": "taufe: tiny-imagenet"}
FACTS = ("auroc", "aupr_out", "fpr95")


def show(scale, measured):
    """One table per detector, at the largest count of labelled images that was run."""
    counts = [one.count for one in measured]
    if not counts:
        return
    count = max(counts)
    for detector in ("msp", "energy"):

        def values(row, fact, detector=detector):
            wanted = [cell(ROWS[row], count, seed) for seed in range(5)]
            return [measured[one]["ood"]["svhn"][f"{detector}_{fact}"] for one in wanted if one in measured]

        def paper(row, fact, detector=detector):
            figures = TABLE_3_7.get((row.lower(), detector))
            return figures and figures[FACTS.index(fact)]

        title = f"Table 3.7 · {detector} · SVHN against CIFAR-10, N = {count:,} · {scale}: {SCALES[scale].title()}"
        grid(title, list(ROWS), [(f"{fact} (%)", fact) for fact in FACTS], values, paper)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
