"""Figure 5.2: the more confidence the kept neighbours of a wrongly labelled example have, the likelier it is corrected.

    python benchmarks/figure_5_2.py --scale laptop --workers 2

Read off the trainings of table 5.2: all wrong labels of the data, kept or not, in five equal parts by neighbourhood
confidence given the picks (Eq. 5.3); of each part, the share for which SOP+ predicts the true class after training.
The paper shows a curve that rises and then levels off.
"""

import numpy as np
from laboratory import SCALES, VARIANTS, command
from table_5_2 import cells


def show(scale, measured):
    """Five bins a method, means over seeds."""
    for data in dict.fromkeys(cell.data for cell in measured):
        print(f"\nFigure 5.2 · {data} · keep 0.2 · {scale} scale: {SCALES[scale].title()}")
        print(f"{'method':<28}share of wrong labels corrected (%), at mean neighbourhood confidence")
        for variant in VARIANTS:
            lines = [line for cell, line in measured.items() if (cell.data, cell.variant) == (data, variant)]
            if lines:
                bins = np.mean([[one[:2] for one in line["bins"]] for line in lines], axis=0)  # (bins, 2)
                row = "   ".join(f"{100 * corrected:4.1f} at {around:5.1f}" for around, corrected in bins)
                print(f"{variant:<28}{row}")


def _cells(scale):
    return [cell for cell in cells(scale) if cell.learner == "sop" and cell.keep == 0.2]


if __name__ == "__main__":
    command(__doc__.splitlines()[0], _cells, show)
