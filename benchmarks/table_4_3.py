"""Tables 4.3 and 4.8: MQNet by its purity and its informativeness, and how well each purity tells OOD images.

python benchmarks/table_4_3.py --scale laptop --workers 2

A head on frozen features; the purity that asks the model itself is MSP in the place of ReAct, which needs a network.
"""

from chapter4 import Cell, beside, command, last
from chapter4_paper import SHARES, TABLE_4_3, TABLE_4_8
from grid import grid

PURITIES = ("nearest_both", "nearest_in", "nearest_ood", "probe", "csi", "msp")
INFORMATIVENESS = ("conf", "margin")
PAPER = {("conf", "msp"): "conf-react", ("conf", "nearest_ood"): "conf-csi"}


def options(purity, informativeness):
    """Of a cell."""
    return (f"informativeness={informativeness}", f"purity={purity}")


def cells(scale):
    """Seed by seed."""
    return [
        Cell("split", share, "head", "mqnet", seed, options(purity, informativeness))
        for seed in scale.seeds["head"]
        for share in SHARES
        for purity in PURITIES
        for informativeness in INFORMATIVENESS
    ]


def show(scale, measured):
    """Accuracy of every pair, and AUROC by rounds."""
    rows = {f"{second}-{first}": (first, second) for first in PURITIES for second in INFORMATIVENESS}

    def of(fact):
        return lambda row, share: last(measured, fact, share=share, row="mqnet", options=options(*rows[row]))

    def paper(row, share):
        purity, informativeness = rows[row]
        name = PAPER.get((informativeness, purity))
        return None if name is None else TABLE_4_3[name][SHARES.index(share)]

    columns = [(f"{share:.0%} OOD", share) for share in SHARES]
    title = f"Table 4.3 · CIFAR-10 4:6 split, a head on frozen features · {scale}"
    grid(
        f"{title} · last accuracy (%) [paper: its CSI for nearest_ood, ReAct for MSP]",
        list(rows),
        columns,
        of("last"),
        paper,
    )
    grid(f"{title} · mean accuracy over the rounds (%)", list(rows), columns, of("area"))

    def cell_of(row, share, seed):
        return Cell("split", share, "head", "mqnet", seed, options(*rows[row]))

    beside(title, measured, list(rows), "margin-nearest_both", columns, cell_of)

    def auroc(row, number):
        lines = last(measured, "auroc", share=0.4, row="mqnet", options=options(row, "margin"))
        return [line[number] for line in lines if line[number] is not None]

    def published(row, number):
        name = {"msp": "react", "nearest_ood": "csi"}.get(row)
        return None if name is None or number == 1 else round(100 * TABLE_4_8[name][number // 2 - 1], 1)

    rounds = [(f"round {number}", number) for number in (1, 2, 4, 6, 8, 10)]
    grid("Table 4.8 · AUROC of the purity (%), 40% OOD [paper]", list(PURITIES), rounds, auroc, published)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
