"""Table 3.2: few-shot classification on CIFAR-10, standard, OAT and TAUFE, under two protocols.

python benchmarks/table_3_2.py --scale laptop --workers 2

"equal": as many labelled images a step and as many steps for every method. "published": standard training takes 64
labelled images a step, and so half of the steps.
"""

from chapter3 import SCALES, Cell, command
from chapter3_paper import COUNTS, TABLE_3_2
from grid import grid

OODS = {"tiny-imagenet": "lsun", "svhn": "svhn"}  # stand-in -> what the paper has in its place
ROWS = ["standard, 64 a step", "standard"] + [f"{method}: {ood}" for ood in OODS for method in ("oat", "taufe")]


def cell(row: str, count: int, seed: int) -> Cell:
    """The cell of a row."""
    method, _, ood = row.partition(": ")
    if method.startswith("standard"):
        return Cell("cifar10", "tiny-imagenet", "ce", "standard", count, seed, "batch 64" if "64" in method else "")
    return Cell("cifar10", ood, "ce", method, count, seed)


def cells(scale):
    """Count by count, seed by seed."""
    return [
        cell(row, count, seed)
        for count in scale.counts
        for seed in scale.seeds["few" if count == scale.counts[0] else "many"]
        for row in ROWS
    ]


def show(scale, measured):
    """One table."""
    counts = SCALES[scale].counts

    def values(row, count):
        wanted = [cell(row, count, seed) for seed in range(5)]
        return [measured[one]["accuracy"] for one in wanted if one in measured]

    def paper(row, count):
        method, _, ood = row.partition(": ")
        key = ("cifar10", OODS.get(ood, ""), method.split(",")[0])
        return TABLE_3_2[key][COUNTS.index(count)] if "64" in row or ood else None

    title = f"Table 3.2 · CIFAR-10 · test accuracy (%) · {scale} scale: {SCALES[scale].title()} [paper: LSUN, SVHN]"
    grid(title, ROWS, [(f"N = {count:,}", count) for count in counts], values, paper)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
