"""Tables 4.5 and 4.6, figure 4.5: MQNet without its constraint, and fixed rules in its place.

python benchmarks/table_4_5.py --scale laptop --workers 2

A head on frozen features. Beside the paper's: without turns of the predicted classes, and learning from the answers of
the last round alone. The slope is that of figure 4.5, of the line of equal scores: the steeper, the more counts
informativeness.
"""

import numpy as np
from chapter4 import Cell, beside, command, curves, last
from chapter4_paper import SHARES, TABLE_4_1, TABLE_4_5, TABLE_4_6
from grid import grid

ROWS = {
    "MQNet": (),
    "no skyline constraint": ("meta=plain",),
    "P + I": ("meta=sum",),
    "P x I": ("meta=product",),
    "purity alone": ("meta=purity",),
    "informativeness alone": ("meta=informativeness",),
    "last round's answers": ("learn_from=last",),
    "not in turns": ("balanced=false",),
}


def cells(scale):
    """Seed by seed; MQNet itself is a cell of table 4.1, and run again here for its slopes."""
    return [
        Cell("split", share, "head", "mqnet", seed, options or ("meta=learned",))
        for seed in scale.seeds["head"]
        for share in SHARES
        for options in ROWS.values()
    ]


def show(scale, measured):
    """Accuracy, the share of useful answers, and the slopes."""

    def of(fact, number=None):
        def values(row, share):
            lines = last(measured, fact, share=share, row="mqnet", options=ROWS[row] or ("meta=learned",))
            return lines if number is None else [line[number] for line in lines if line[number] is not None]

        return values

    def paper(row, share):
        place = SHARES.index(share)
        if row == "MQNet":
            return TABLE_4_1["mqnet"][place]
        if row == "no skyline constraint":
            return TABLE_4_5["no skyline"][place]
        rule = {"P + I": "sum", "P x I": "product"}.get(row)
        return TABLE_4_6[rule][place - 1] if rule and share in (0.2, 0.4) else None

    columns = [(f"{share:.0%} OOD", share) for share in SHARES]
    title = f"Tables 4.5 and 4.6 · CIFAR-10 4:6 split, a head on frozen features · {scale}"
    grid(f"{title} · last accuracy (%) [paper]", list(ROWS), columns, of("last"), paper)
    grid(f"{title} · mean accuracy over the rounds (%)", list(ROWS), columns, of("area"))

    def cell_of(row, share, seed):
        return Cell("split", share, "head", "mqnet", seed, ROWS[row] or ("meta=learned",))

    beside(title, measured, list(ROWS), "MQNet", columns, cell_of)
    for number in (2, 10):
        grid(f"{title} · %IN in the query set of round {number}", list(ROWS), columns, of("in_share", number))

    def slopes(number, share):
        steep = of("slope", int(number))("MQNet", share)
        return [float(np.median(steep))] if steep else []

    rounds = [str(number) for number in (3, 5, 7, 9, 10)]
    grid("Figure 4.5 · median slope over the pools", rounds, columns, slopes, percent=False, first="round")
    curves("figure_4_5_rules", measured, SHARES, "head", ["mqnet"], options=("meta=learned",))


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
