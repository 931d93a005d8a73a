"""Table 3.3: box regression under three losses, standard and TAUFE, on birds and vehicles with boxes.

python benchmarks/table_3_3.py --scale laptop --workers 2

Birds and vehicles of Tiny ImageNet at 32 x 32 stand in for CUB-200 and Cars at 224 x 224, the other classes for
ImageNet.
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import TABLE_3_3, TABLE_3_3_CARS
from grid import grid

LOSSES = ("l1", "l1_iou", "d_iou")
METHODS = ("standard", "taufe")
TARGETS = {"birds": TABLE_3_3, "vehicles": TABLE_3_3_CARS}
COUNT = 1000
OOD = "no-birds-no-vehicles"


def cells(scale):
    """Seed by seed."""
    return [
        Cell(target, OOD, loss, method, COUNT, seed)
        for seed in scale.seeds["many"]
        for target in TARGETS
        for loss in LOSSES
        for method in METHODS
    ]


def show(scale, measured):
    """One table per target."""
    for target, paper in TARGETS.items():

        def values(row, loss, target=target):
            return [
                line["mean_iou"]
                for cell, line in measured.items()
                if (cell.target, cell.learner, cell.method) == (target, loss, row)
            ]

        title = (
            f"Table 3.3 · {target}, N = {COUNT:,} · mean IoU (%) · {scale}: {SCALES[scale].title()} [paper, N = 2,000]"
        )
        columns = [(loss, loss) for loss in LOSSES]
        grid(title, METHODS, columns, values, lambda row, loss, paper=paper: paper[loss, row][0])


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
