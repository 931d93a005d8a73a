"""Figure 6.1: how near a hallucinated response lies to the true one, and how coarse scores are within clusters.

python benchmarks/figure_6_1.py

Rows of Alpaca and responses of HaluEval to the same requests, embedded with request and response. For each response the
rank of it among all other rows of Alpaca, by distance from the row with the same request: 1 is the nearest. Then, of
clusters of Alpaca's random rows, the share of pairs that the published filter's verdict (a score of at least 4.5, or
less) cannot rank; with scores instead of the verdict, the text has 48 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from chapter6_data import alpaca, embed, twins

from goodgrain import ConstrainedKMeans

HERE = Path(__file__).parent
MANY = 5  # rows of a cluster that is looked at: more than these, as in the text
PAPER = "median 1, mean 3.6; 48.32 % of pairs"


def ranks(x: np.ndarray, rows: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """Of each twin its rank among the other rows, by distance from its own row; 1 is the nearest."""
    found = np.empty(len(rows), dtype=int)
    for place, row in enumerate(rows):
        likeness = x @ x[row]
        likeness[row] = -np.inf
        found[place] = 1 + int((likeness > x[row] @ twin[place]).sum())
    return found


def unrankable(labels: np.ndarray, verdict: np.ndarray) -> tuple[float, int]:
    """Mean over clusters of the share of pairs with the same verdict, and how many clusters there are."""
    shares = []
    for cluster in np.unique(labels):
        own = verdict[labels == cluster]
        if len(own) > MANY:
            yes, pairs = int(own.sum()), len(own) * (len(own) - 1) / 2
            shares.append((yes * (yes - 1) / 2 + (len(own) - yes) * (len(own) - yes - 1) / 2) / pairs)
    return float(np.mean(shares)), len(shares)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter6")
    work = parser.parse_args().work
    data, pairs = alpaca(), twins()
    rows = [row for _, some in data.blocks() for row in some]
    x = embed(["\n\n".join(row) for row in rows], work)
    requests = [rows[row][0] for row in pairs.rows]
    twin = embed([f"{request}\n\n{said}" for request, said in zip(requests, pairs.responses, strict=True)], work)
    found = ranks(x, pairs.rows, twin)
    print(f"Figure 6.1 · rank of HaluEval's response among {len(data):,} rows of Alpaca [paper: {PAPER}]")
    print(f"{'responses':<18}{'n':>6}{'median':>8}{'mean':>8}{'rank 1':>9}{'<= 10':>8}{'> 100':>8}")
    for name, chosen in (
        ("hallucinated", pairs.hallucinated),
        ("others", ~pairs.hallucinated),
        ("all", np.ones(len(found), dtype=bool)),
    ):
        own = found[chosen]
        print(
            f"{name:<18}{len(own):>6}{np.median(own):>8.0f}{own.mean():>8.1f}{(own == 1).mean():>9.1%}"
            f"{(own <= 10).mean():>8.1%}{(own > 100).mean():>8.1%}"
        )
    drawn = np.flatnonzero(np.array(data.column("in_random_9k")))
    verdict = np.array(data.column("in_claude_t45"))[drawn]
    requests_only = embed([rows[row][0] for row in drawn], work)
    print(
        f"\nPairs that the filter's verdict cannot rank, in clusters of more than {MANY} of {len(drawn):,} random rows"
    )
    for seed in range(3):
        k = round(len(drawn) / 5.2)
        labels = ConstrainedKMeans(k, size_max=10, random_state=seed).fit(requests_only).labels_
        share, count = unrankable(labels, verdict)
        print(f"seed {seed}: {share:.1%} of the pairs of {count:,} clusters ({verdict.mean():.1%} pass the filter)")


if __name__ == "__main__":
    main()
