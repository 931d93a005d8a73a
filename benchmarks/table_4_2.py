"""Table 4.2: classes and noise from different datasets.

python benchmarks/table_4_2.py --scale laptop --workers 2

Ten classes of CIFAR-10; house numbers (SVHN) and unlike photographs (Tiny ImageNet) stand in for LSUN and Places365, in
equal parts. A head on frozen features of an encoder that saw all images without labels.
"""

from chapter4 import Cell, beside, command, curves, last
from chapter4_paper import SHARES, TABLE_4_2
from grid import grid

ROWS = ("random", "conf", "margin", "coreset", "badge", "ccal", "similar", "mqnet", "product")


def cells(scale):
    """Seed by seed."""
    return [Cell("cross", share, "head", row, seed) for seed in scale.seeds["head"] for share in SHARES for row in ROWS]


def show(scale, measured):
    """Last accuracy, the lead over random, and the share of useful answers."""
    columns = [(f"{share:.0%} OOD", share) for share in SHARES]

    def of(fact):
        return lambda row, share: last(measured, fact, share=share, row=row, target="head", options=())

    def paper(row, share):
        return TABLE_4_2[row][SHARES.index(share)] if row in TABLE_4_2 else None

    def useful(row, share):
        return [line[-1] for line in of("in_share")(row, share)]

    def cell_of(row, share, seed):
        return Cell("cross", share, "head", row, seed)

    title = f"Table 4.2 · CIFAR-10 with SVHN and Tiny ImageNet, a head on frozen features · {scale}"
    grid(f"{title} · last accuracy (%) [paper: LSUN, Places365]", ROWS, columns, of("last"), paper)
    beside(title, measured, ROWS, "random", columns, cell_of)
    grid(f"{title} · %IN in the query set of the last round", ROWS, columns, useful)
    curves("figure_4_4", measured, SHARES, "head", ROWS, options=())


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
