"""Table 5.6: of the wrong labels that each method keeps, how many SOP+ puts right.

    python benchmarks/table_5_6.py --scale laptop --workers 2

Read off the trainings of table 5.2. "All wrong labels" counts those that were not kept as well.
"""

from chapter5_paper import TABLE_5_6
from laboratory import VARIANTS, command
from printing import figures, table
from table_5_2 import cells

FACTS = [
    ("test accuracy", "accuracy"),
    ("wrong among the kept", "noisy"),
    ("of them corrected", "corrected"),
    ("of all wrong labels", "corrected_all"),
]


def show(scale, measured):
    """One table per dataset, at a share of 0.2; the paper's is CIFAR-10N Random."""
    for data in dict.fromkeys(cell.data for cell in measured):
        there = {cell.variant for cell in measured if cell.data == data}
        paper = TABLE_5_6 if "random" in data else {}
        table(
            f"Table 5.6 · {data} · keep 0.2 (%)",
            scale,
            [variant for variant in VARIANTS if variant in there],
            [(heading, (i, fact)) for i, (heading, fact) in enumerate(FACTS)],
            lambda row, key, data=data: figures(measured, data, "sop", row, 0.2, key[1]),
            lambda row, key, paper=paper: paper[row][key[0]] if row in paper and key[0] < 3 else None,
        )


def _cells(scale):
    return [cell for cell in cells(scale) if cell.learner == "sop" and cell.keep == 0.2]


if __name__ == "__main__":
    command(__doc__.splitlines()[0], _cells, show)
