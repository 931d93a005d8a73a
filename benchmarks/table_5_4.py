"""Table 5.4: Prune4ReL with the largest probability, and with the lead over the second largest, as confidence.

python benchmarks/table_5_4.py --scale laptop --workers 2
"""

from chapter5_paper import KEEPS, TABLE_5_4
from laboratory import Cell, command
from printing import WORDS, at, figures, table

ROWS = ["own, balanced", "own, balanced, diff_prob"]


def cells(scale):
    """SOP+ on CIFAR-10N Worst."""
    keeps = scale.keeps[:1] if scale.images else scale.keeps
    return [
        Cell("cifar10n-worst", "sop", variant, keep, seed) for keep in keeps for seed in scale.seeds for variant in ROWS
    ]


def show(scale, measured):
    """One row per confidence; the paper's figures are those without balance."""
    keeps = sorted({cell.keep for cell in measured})
    table(
        "Table 5.4 · sop · cifar10n-worst · test accuracy (%)",
        scale,
        ROWS,
        [(f"keep {keep}", keep) for keep in keeps],
        lambda row, keep: figures(measured, "cifar10n-worst", "sop", row, keep, "accuracy"),
        lambda row, keep: at(TABLE_5_4.get((WORDS["cifar10n-worst"], row.replace(", balanced", ""))), KEEPS, keep),
    )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
