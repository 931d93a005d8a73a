"""Table 3.4: weakly supervised localisation by class activation maps, standard, OAT and TAUFE.

python benchmarks/table_3_4.py --scale laptop --workers 2

Targets and OOD images as in table 3.3.
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import TABLE_3_4
from grid import grid
from table_3_3 import COUNT, OOD, TARGETS

METHODS = ("standard", "oat", "taufe")


def cells(scale):
    """Seed by seed."""
    return [
        Cell(target, OOD, "ce", method, COUNT, seed)
        for seed in scale.seeds["many"]
        for target in TARGETS
        for method in METHODS
    ]


def show(scale, measured):
    """One table."""

    def values(row, key):
        target, fact = key
        return [line[fact] for cell, line in measured.items() if (cell.target, cell.method) == (target, row)]

    def paper(row, key):
        return TABLE_3_4[key[0], row][0] if key[1] == "gt_known_loc" else None

    columns = [(f"{target}: {words}", (target, fact)) for target in TARGETS for words, fact in FACTS]
    title = f"Table 3.4 · N = {COUNT:,} · (%) · {scale} scale: {SCALES[scale].title()} [paper, N = 2,000]"
    grid(title, METHODS, columns, values, paper)


FACTS = (("GT-known Loc", "gt_known_loc"), ("accuracy", "accuracy"))

if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
