"""Beyond the text: coverage against own gain, several strong views, suspects dropped; the same cells as table 5.2.

python benchmarks/beyond.py --scale laptop --workers 2
"""

from laboratory import Cell, command
from printing import figures, table

SETS = ["cifar10n-random1", "cifar10n-worst"]
ROWS = ["uniform", "moderate", "own, balanced", "coverage, balanced"]
NEW = [
    "coverage, balanced, suspects dropped",
    "uniform, suspects dropped",
    "own, balanced, suspects dropped",
    "own, balanced, 4 views",
    "forgetting, learned only",
]


def cells(scale):
    """The smallest share; what table 5.2 has is not run again."""
    return [
        Cell(data, "sop", variant, scale.keeps[0], seed)
        for seed in scale.seeds
        for variant in [*NEW, *ROWS]
        for data in SETS
    ]


def show(scale, measured):
    """One table per dataset."""
    facts = [
        ("test accuracy", "accuracy"),
        ("wrong among the kept", "noisy"),
        ("of them corrected", "corrected"),
        ("of all wrong labels", "corrected_all"),
    ]
    for data in SETS:
        table(
            f"Beyond the text · sop · {data} · (%)",
            scale,
            [row for row in [*ROWS, *NEW] if any((cell.data, cell.variant) == (data, row) for cell in measured)],
            facts,
            lambda row, fact, data=data: figures(measured, data, "sop", row, 0.2, fact),
            lambda row, fact: None,  # noqa: ARG005
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
