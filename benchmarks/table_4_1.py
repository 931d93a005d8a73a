"""Tables 4.1 and 4.9, figure 4.3: all strategies on a 4:6 split of CIFAR-10, by share of OOD images.

python benchmarks/table_4_1.py --scale laptop --workers 2

Prints the last accuracy, the area under the curve, and the share of in-distribution examples in each query set, and
draws the curves. A head on frozen features of an encoder that saw the pool without labels, and for some strategies a
network trained from scratch in every round.
"""

import numpy as np
from chapter4 import Cell, beyond_random, command, curves, last
from chapter4_paper import SHARES, TABLE_4_1, TABLE_4_9
from grid import grid

HEAD = ("random", "conf", "margin", "entropy", "coreset", "badge", "ccal", "similar", "similar-logdet")
HEAD += ("margin-balanced", "purity-first", "mqnet", "mqnet-probe", "mqnet-published", "product")
NETWORK = ("conf", "ll", "ccal", "mqnet", "mqnet-published")
NETWORK_SHARES = (0.2, 0.6)


def cells(scale):
    """Seed by seed, the head first."""
    heads = [
        Cell("split", share, "head", row, seed) for seed in scale.seeds["head"] for share in SHARES for row in HEAD
    ]
    networks = [
        Cell("split", share, "network", row, seed)
        for seed in scale.seeds["network"]
        for share in NETWORK_SHARES
        for row in NETWORK
    ]
    return heads + networks


def paper(row, share):
    """Of a row under its published name."""
    figures = TABLE_4_1.get("mqnet" if row == "mqnet-published" else row)
    return None if figures is None else figures[SHARES.index(share)]


def standard_error(values):
    """Mean and its standard error, in points."""
    points = 100 * np.array(values)
    return "-" if len(points) < 2 else f"{points.mean():+.1f} ± {points.std(ddof=1) / len(points) ** 0.5:.1f}"


def show(scale, measured):
    """Last accuracy, area, and query precision of both targets."""
    for target, rows, shares in (("head", HEAD, SHARES), ("network", NETWORK, NETWORK_SHARES)):
        columns = [(f"{share:.0%} OOD", share) for share in shares]

        def of(fact, target=target):
            return lambda row, at: last(measured, fact, share=at, target=target, row=row, options=())

        words = "a head on frozen features" if target == "head" else "a network from scratch"
        title = f"Table 4.1 · CIFAR-10 4:6 split, {words} · {scale}"
        grid(f"{title} · last accuracy (%) [paper, ResNet-18]", rows, columns, of("last"), paper)
        grid(f"{title} · mean accuracy over the rounds: area under the curve (%)", rows, columns, of("area"))
        if target == "head":
            for fact, words_of in (("last", "last accuracy"), ("area", "mean accuracy over the rounds")):
                print(f"\nLess random on the same pool, paired by seed, ± standard error: {words_of} (points)")
                print(f"{'method':<28}" + "".join(f"{heading:>16}" for heading, _ in columns))
                for name in rows[1:]:
                    told = [standard_error(beyond_random(measured, fact, target, name, share)) for share in shares]
                    print(f"{name:<28}" + "".join(f"{cell:>16}" for cell in told))
        for share in (shares[0], shares[-1]):
            title = f"Table 4.9 · %IN in the query set of round ..., {share:.0%} OOD, {words} · {scale} [paper]"
            rounds = [(str(number), number) for number in (1, 2, 4, 6, 8, 10)]

            def of_round(row, number, share=share, target=target):
                lines = last(measured, "in_share", share=share, target=target, row=row, options=())
                return [line[number] for line in lines]

            def published(row, number, share=share):
                figures = TABLE_4_9.get((share, row))
                return None if figures is None else figures[number - 1]

            grid(title, rows, rounds, of_round, published)
    curves("figure_4_3", measured, SHARES, "head", HEAD, options=())
    curves("figure_4_3_network", measured, NETWORK_SHARES, "network", NETWORK, options=())


if __name__ == "__main__":
    command(__doc__.splitlines()[0], cells, show)
