"""Figure 5.4: the threshold of Prune4ReL's neighbourhoods, with the own and with the coverage gain.

    python benchmarks/figure_5_4.py --scale laptop --workers 2

The figure is on CIFAR-100N with thresholds 0.93, 0.95 and 0.99 (of (1 + cos) / 2) and gives no numbers. A laptop's
small network spreads its features more widely: the cosine thresholds here are lower, and one is chosen by the data.
"""

from laboratory import Cell, command
from printing import figures, table

ROWS = [f"{gain}, balanced{end}" for gain in ("own", "coverage") for end in (", 0.80", "", ", 0.95")]


def cells(scale):
    """SOP+ at the smallest share."""
    data = "cifar10n-random1" if scale.images else "cifar100n-noisy"
    return [Cell(data, "sop", variant, scale.keeps[0], seed) for seed in scale.seeds for variant in ROWS]


def show(scale, measured):
    """One row per gain and threshold."""
    for data in dict.fromkeys(cell.data for cell in measured):
        facts = [("test accuracy", "accuracy"), ("wrong among the kept", "noisy"), ("of them corrected", "corrected")]
        table(
            f"Figure 5.4 · sop · {data} · (%)",
            scale,
            ROWS,
            facts,
            lambda row, fact, data=data: figures(measured, data, "sop", row, 0.2, fact),
            lambda row, fact: None,  # noqa: ARG005
        )


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
