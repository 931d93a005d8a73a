"""Table 5.3: plain cross-entropy on what each method keeps, against the learners that re-label.

python benchmarks/table_5_3.py --scale laptop --workers 2
"""

from chapter5_paper import KEEPS, TABLE_5_2, TABLE_5_3
from laboratory import Cell, command
from printing import WORDS, at, figures, table

ROWS = [("ce", "uniform"), ("ce", "small_loss"), ("ce", "forgetting"), ("ce", "own, balanced")]
RELABEL = [("dividemix", "own, balanced"), ("sop", "own, balanced")]


def cells(scale):
    """The trainings with cross-entropy; those of the other learners belong to table 5.2."""
    sets = ["cifar10n-random1", "cifar10n-worst"] if scale.images else [*WORDS]
    keeps = scale.keeps[:1] if scale.images else scale.keeps
    return [
        Cell(data, learner, variant, keep, seed)
        for keep in keeps
        for seed in scale.seeds
        for data in sets
        for learner, variant in [*ROWS, *RELABEL]
    ]


def show(scale, measured):
    """One table per dataset."""
    paper = {**TABLE_5_2, **TABLE_5_3}
    for data in dict.fromkeys(cell.data for cell in measured):
        keeps = sorted({cell.keep for cell in measured if cell.data == data})
        table(
            f"Table 5.3 · {data} · test accuracy (%)",
            scale,
            [f"{learner}: {variant}" for learner, variant in [*ROWS, *RELABEL]],
            [(f"keep {keep}", keep) for keep in keeps],
            lambda row, keep, data=data: figures(measured, data, *row.split(": "), keep, "accuracy"),
            lambda row, keep, data=data: at(paper.get((WORDS.get(data, ""), *row.split(": "))), KEEPS, keep),
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
