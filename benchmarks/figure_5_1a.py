"""Figure 5.1a: test accuracy against the share kept, CIFAR-10N with DivideMix (on a laptop with SOP+).

    python benchmarks/figure_5_1a.py --scale laptop --workers 2

The figure gives no numbers; those of table 5.2 are printed beside.
"""

from chapter5_paper import KEEPS, TABLE_5_2
from laboratory import Cell, command
from printing import WORDS, at, figures, table

ROWS = ["uniform", "small_loss", "forgetting", "own, balanced"]


def cells(scale):
    """The methods of the figure."""
    learner = "sop" if scale.images else "dividemix"
    return [
        Cell("cifar10n-random1", learner, variant, keep, seed)
        for keep in scale.keeps
        for seed in scale.seeds
        for variant in [*ROWS, *([] if scale.images else ["grand"])]
    ]


def show(scale, measured):
    """One row per method."""
    learners = dict.fromkeys(cell.learner for cell in measured)
    for learner in learners:
        table(
            f"Figure 5.1a · {learner} · cifar10n-random1 · test accuracy (%)",
            scale,
            list(dict.fromkeys(cell.variant for cell in measured)),
            [(f"keep {keep}", keep) for keep in sorted({cell.keep for cell in measured})],
            lambda row, keep, learner=learner: figures(measured, "cifar10n-random1", learner, row, keep, "accuracy"),
            lambda row, keep, learner=learner: at(
                TABLE_5_2.get((WORDS["cifar10n-random1"], learner, row)), KEEPS, keep
            ),
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
