"""Table 3.1: mean cosine similarity between activations of different classes, from the cells of table 3.2.

python benchmarks/table_3_1.py --print
"""

from chapter3 import SCALES, command
from grid import grid
from table_3_2 import ROWS, cell, cells


def show(scale, measured):
    """One table; the paper's has no figures in the text."""
    counts = SCALES[scale].counts

    def values(row, count):
        wanted = [cell(row, count, seed) for seed in range(5)]
        return [measured[one]["class_cosine"] for one in wanted if one in measured]

    title = f"Table 3.1 · CIFAR-10 · cosine between classes (x 100) · {scale} scale: {SCALES[scale].title()}"
    grid(title, ROWS, [(f"N = {count:,}", count) for count in counts], values)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
