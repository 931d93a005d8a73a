"""Table 5.2: test accuracy of SOP+ and DivideMix on what each method keeps of CIFAR-10N (and CIFAR-100N).

python benchmarks/table_5_2.py --scale laptop --workers 2
python benchmarks/table_5_2.py --only cifar10n-random1/sop/uniform/0.2/0        # one cell
"""

from chapter5_paper import KEEPS, TABLE_5_2
from laboratory import VARIANTS, Cell, command
from printing import WORDS, at, figures, table

METHODS = ["uniform", "small_loss", "k_center", "forgetting", "moderate", "own", "own, balanced", "coverage, balanced"]
FEW = ["uniform", "small_loss", "own, balanced", "coverage, balanced"]
ALL = [*METHODS[:2], "margin", *METHODS[2:4], "grand", "ssp", *METHODS[4:], "coverage"]


def cells(scale):
    """Share by share, seed by seed, so that an unfinished table is a fair one."""
    if scale.images is None:
        sets = ["cifar10n-random1", "cifar10n-random2", "cifar10n-random3", "cifar10n-worst", "cifar100n-noisy"]
        grid = [(learner, keep, ALL) for keep in scale.keeps for learner in ("sop", "dividemix")]
    else:
        sets = ["cifar10n-random1", "cifar10n-worst"]
        grid = [("sop", keep, METHODS) for keep in scale.keeps] + [("dividemix", scale.keeps[0], FEW)]
    return [
        Cell(data, learner, variant, keep, seed)
        for learner, keep, variants in grid
        for seed in scale.seeds
        for data in sets
        for variant in variants
    ]


def show(scale, measured):
    """One table per learner and dataset."""
    for learner in ("sop", "dividemix"):
        for data in dict.fromkeys(cell.data for cell in measured if cell.learner == learner):
            keeps = sorted({cell.keep for cell in measured if (cell.learner, cell.data) == (learner, data)})
            there = {cell.variant for cell in measured if (cell.learner, cell.data) == (learner, data)}
            table(
                f"Table 5.2 · {learner} · {data} · test accuracy (%)",
                scale,
                [variant for variant in VARIANTS if variant in there],
                [(f"keep {keep}", keep) for keep in keeps],
                lambda row, keep, data=data, learner=learner: figures(measured, data, learner, row, keep, "accuracy"),
                lambda row, keep, data=data, learner=learner: at(
                    TABLE_5_2.get((WORDS.get(data, ""), learner, row)), KEEPS, keep
                ),
            )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
