"""Table 5.7: SOP+ under 20% asymmetric noise on Tiny ImageNet at 32 x 32, which stands in for ImageNet.

python benchmarks/table_5_7.py --scale laptop --workers 2
"""

from chapter5_paper import KEEPS_5_7, TABLE_5_7
from laboratory import Cell, command
from printing import at, figures, table

DATA = "tiny-imagenet-20"


def cells(scale):
    """The paper's four methods and shares; on a laptop the larger two."""
    keeps = (0.2, 0.4) if scale.images else KEEPS_5_7
    return [Cell(DATA, "sop", variant, keep, seed) for keep in keeps for seed in scale.seeds for variant in TABLE_5_7]


def show(scale, measured):
    """One row per method."""
    table(
        "Table 5.7 · sop · Tiny ImageNet at 32 x 32 with 20% asymmetric noise · test accuracy (%)",
        scale,
        list(TABLE_5_7),
        [(f"keep {keep}", keep) for keep in sorted({cell.keep for cell in measured})],
        lambda row, keep: figures(measured, DATA, "sop", row, keep, "accuracy"),
        lambda row, keep: at(TABLE_5_7[row], KEEPS_5_7, keep),
    )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
