"""Where TAUFE costs something: what a tenth of its weight, or the penalty without a scale, changes of that.

python benchmarks/penalties.py --scale laptop --workers 2

The cells in which tables 3.2, 3.3 and 3.5 find TAUFE behind standard training, at equal steps. Shown is the difference
from standard training in points, paired by seed, with its standard error.
"""

import numpy as np
from chapter3 import SCALES, Cell, command

COLUMNS = {
    "birds, L1": ("birds", "no-birds-no-vehicles", "l1", 1000),
    "vehicles, L1": ("vehicles", "no-birds-no-vehicles", "l1", 1000),
    "500 labels, SVHN": ("cifar10", "svhn", "ce", 500),
    "500, Tiny ImageNet": ("cifar10", "tiny-imagenet", "ce", 500),
    "2,500, SVHN": ("cifar10", "svhn", "ce", 2500),
    "MixMatch, SVHN": ("cifar10", "svhn", "mixmatch", 250),
}
ROWS = {"Eq. 3.3, weight 1": "", "Eq. 3.3, weight 0.1": "shared, 0.1", "relative, weight 1": "relative"}


def standard(column, seed):
    """The standard training of a column, which stands in the table of that column."""
    target, ood, learner, count = COLUMNS[column]
    return Cell(target, "tiny-imagenet" if target == "cifar10" else ood, learner, "standard", count, seed)


def cells(scale):
    """Column by column; those of the tables come first, and have been run with these."""
    return [
        cell
        for column, (target, ood, learner, count) in COLUMNS.items()
        for seed in scale.seeds["many"]
        for cell in (
            standard(column, seed),
            *(Cell(target, ood, learner, "taufe", count, seed, change) for change in ROWS.values()),
        )
    ]


def show(scale, measured):
    """One table of differences."""

    def difference(row, column):
        target, ood, learner, count = COLUMNS[column]
        fact = "mean_iou" if learner == "l1" else "accuracy"
        pairs = [
            (measured[cell][fact], measured[standard(column, cell.seed)][fact])
            for cell in measured
            if cell == Cell(target, ood, learner, "taufe", count, cell.seed, ROWS[row])
            and standard(column, cell.seed) in measured
        ]
        if len(pairs) < 2:
            return "-"
        gains = 100 * np.array([with_taufe - without for with_taufe, without in pairs])
        return f"{gains.mean():+.1f} ± {gains.std(ddof=1) / np.sqrt(len(gains)):.1f}"

    print(f"\nTAUFE less standard training, points ± standard error · {scale}: {SCALES[scale].title()}")
    print(f"{'penalty':<22}" + "".join(f"{column:>20}" for column in COLUMNS))
    for row in ROWS:
        print(f"{row:<22}" + "".join(f"{difference(row, column):>20}" for column in COLUMNS))


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
