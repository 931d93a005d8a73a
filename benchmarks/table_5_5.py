"""Table 5.5: how many of the labels that each method keeps are wrong.

    python benchmarks/table_5_5.py --scale laptop --workers 2

Read off the trainings of table 5.2.
"""

from chapter5_paper import KEEPS, TABLE_5_5
from laboratory import VARIANTS, command
from printing import WORDS, at, figures, table
from table_5_2 import cells


def show(scale, measured):
    """One table per dataset."""
    for data in dict.fromkeys(cell.data for cell in measured):
        mine = [cell for cell in measured if (cell.data, cell.learner) == (data, "sop")]
        there = {cell.variant for cell in mine}
        table(
            f"Table 5.5 · {data} · wrong labels among the kept (%)",
            scale,
            [variant for variant in VARIANTS if variant in there],
            [(f"keep {keep}", keep) for keep in sorted({cell.keep for cell in mine})],
            lambda row, keep, data=data: figures(measured, data, "sop", row, keep, "noisy"),
            lambda row, keep, data=data: at(TABLE_5_5.get((WORDS.get(data, ""), row)), KEEPS, keep),
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], lambda scale: [cell for cell in cells(scale) if cell.learner == "sop"], show)
