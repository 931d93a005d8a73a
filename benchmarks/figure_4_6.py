"""Figures 4.6 and 4.7: more rounds, and what answers "none of these" are good for, at 40% OOD.

python benchmarks/figure_4_6.py --scale laptop --workers 2

A head on frozen features: twenty rounds; and one more class for the answers. A network from scratch: TAUFE with them as
well.
"""

from chapter4 import Cell, beside, command, curves, last
from grid import grid

LONGER = ("random", "conf", "margin", "coreset", "badge", "ccal", "similar", "mqnet", "product")
MORE = ("rounds=21",)
USES = {"none": (), "one more class": ("ood_answers=class",), "TAUFE": ("ood_answers=taufe",)}
SHARE = 0.4


def cells(scale):
    """The head's, then the network's."""
    heads = [Cell("split", SHARE, "head", row, seed, MORE) for seed in scale.seeds["network"] for row in LONGER]
    uses = [
        Cell("split", SHARE, target, "mqnet", seed, options)
        for target in ("head", "network")
        for seed in scale.seeds[target]
        for name, options in USES.items()
        if (target, name) != ("head", "TAUFE")
    ]
    return heads + uses


def show(scale, measured):
    """Accuracy over twenty rounds, and by the use of OOD answers."""
    rounds = [(str(number), number) for number in (2, 5, 10, 15, 20)]

    def after(row, number):
        return [line[number] for line in last(measured, "accuracy", row=row, target="head", options=MORE)]

    grid(f"Figure 4.6 · accuracy (%) after round ..., 40% OOD, a head · {scale}", LONGER, rounds, after)
    last_round = [("after round 20", SHARE)]

    def longer(row, share, seed):
        return Cell("split", share, "head", row, seed, MORE)

    def using(use, target, seed):
        return Cell("split", SHARE, target, "mqnet", seed, USES[use])

    beside("Figure 4.6", measured, LONGER, "random", last_round, longer)
    beside("Figure 4.7", measured, list(USES), "none", [("head", "head"), ("network", "network")], using)
    curves("figure_4_6", measured, (SHARE,), "head", LONGER, options=MORE)

    def by_use(use, key):
        target, number = key
        return [line[number] for line in last(measured, "accuracy", row="mqnet", target=target, options=USES[use])]

    columns = [(f"{target}, {number}", (target, number)) for target in ("head", "network") for number in (2, 5, 10)]
    title = f"Figure 4.7 · MQNet's accuracy (%) after round ..., by the use of OOD answers · {scale}"
    grid(title, list(USES), columns, by_use, first="use")


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
