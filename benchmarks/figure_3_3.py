"""Figure 3.3: where images of the target and OOD images lie in the penultimate layer, standard, OAT and TAUFE.

    python benchmarks/figure_3_3.py --scale laptop --workers 2

Draws trainings of table 3.2 (CIFAR-10 with SVHN, the smallest N, seed 0) from their checkpoints into
`runs/chapter3/figure_3_3-SCALE.html`, and prints how far OOD images are from zero and classes from each other.
"""

from chapter3 import HERE, SCALES, Cell, Laboratory, command, images_of
from chapter3_facts import MEASURED_OOD

from goodgrain.learn import predict
from goodgrain.report.train_plots import projections
from goodgrain.report.train_views import Projection

METHODS = ("standard", "oat", "taufe")
WORK = HERE.parent / "runs" / "chapter3"


def cells(scale):
    """One training of each method, all of them in table 3.2."""
    count = scale.counts[0]
    return [Cell("cifar10", "tiny-imagenet" if m == "standard" else "svhn", "ce", m, count, 0) for m in METHODS]


def show(scale, measured):
    """Numbers for all, and the picture where their checkpoints are."""
    print(f"\nFigure 3.3 · CIFAR-10 with SVHN · {scale} scale: {SCALES[scale].title()}")
    for cell, line in measured.items():
        squared = line["ood"]["svhn"]["activation"]
        print(
            f"{cell.method:<10} mean squared length: SVHN {squared:6.1f}, CIFAR-10 {line['activation']:6.1f}; "
            f"cosine between classes {line['class_cosine']:.2f}"
        )
    laboratory = Laboratory(scale, HERE / "results" / f"chapter3-{scale}.jsonl", WORK / scale, "cpu")
    there = [cell for cell in measured if laboratory.checkpoint(cell).exists()]
    if there:
        strangers = images_of(Cell("cifar10", "svhn", "ce", "taufe", there[0].count, 0)).strangers
        models = {cell.method: _projection(laboratory, cell, strangers) for cell in there}
        path = WORK / f"figure_3_3-{scale}.html"
        projections(models, images_of(there[0]).test.classes).write_html(path)
        print(f"drawn: {path}")


def _projection(laboratory, cell, strangers):
    task = images_of(cell)
    learner = laboratory.trained(cell, task)
    own = predict(learner, task.test)[1]
    return Projection.of(own, task.test.labels, predict(learner, strangers)[1], most=MEASURED_OOD)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
