"""Table 4.7: what an answer "none of these" costs, at 40% OOD.

python benchmarks/table_4_7.py --scale laptop --workers 2

A head on frozen features; an answer that names a class costs 1.
"""

from chapter4 import Cell, beside, command, last
from chapter4_paper import COSTS, TABLE_4_7
from grid import grid

ROWS = ("random", "conf", "margin", "coreset", "badge", "ccal", "similar", "mqnet", "product")
SHARE = 0.4


def cells(scale):
    """Seed by seed; at a cost of 1 they are those of table 4.1."""
    return [
        Cell("split", SHARE, "head", row, seed, () if cost == 1 else (f"c_ood={cost}",))
        for seed in scale.seeds["head"]
        for cost in COSTS
        for row in ROWS
    ]


def show(scale, measured):
    """One table for each fact."""
    columns = [(f"c_ood = {cost}", cost) for cost in COSTS]

    def of(fact):
        return lambda row, cost: last(measured, fact, row=row, options=() if cost == 1 else (f"c_ood={cost}",))

    def paper(row, cost):
        return TABLE_4_7[row][COSTS.index(cost)] if row in TABLE_4_7 else None

    def cell_of(row, cost, seed):
        return Cell("split", SHARE, "head", row, seed, () if cost == 1 else (f"c_ood={cost}",))

    title = f"Table 4.7 · CIFAR-10 4:6 split, 40% OOD, a head on frozen features · {scale}"
    grid(f"{title} · last accuracy (%) [paper]", ROWS, columns, of("last"), paper)
    grid(f"{title} · mean accuracy over the rounds (%)", ROWS, columns, of("area"))
    beside(title, measured, ROWS, "random", columns, cell_of)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
