"""The labelling job of `goodgrain demo`: a simulated annotator, and a pool in which most images are of no class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from goodgrain.cli.demo_data import digits_of_four_classes

SHARE = 0.55
BUDGET = 15
ROUNDS = 7
SEEDS = 5
STRATEGIES = ("mqnet", "conf", "coreset", "random")


def demo_label(output: Path) -> None:
    """Label digits of four classes among others of none, with MQNet and with what it is compared with.

    Args:
        output: where the runs go.
    """
    from goodgrain.annotate import OOD, SimulatedOracle
    from goodgrain.cli.terminal import Terminal
    from goodgrain.data.open_set import oracle_truth
    from goodgrain.pipelines.label import label as pipeline

    typer.echo(
        f"Handwritten digits (from scikit-learn): four of the ten are classes, and {SHARE:.0%} of the pool is none of "
        f"them. A simulated annotator answers {BUDGET} questions a round, {ROUNDS} rounds, the first at random. A "
        f"logistic regression on pixels; {SEEDS} seeds.\n"
    )
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in STRATEGIES}
    with Terminal() as monitor:
        for seed in range(SEEDS):
            pool, embeddings, test, test_embeddings = digits_of_four_classes(SHARE, seed=seed)
            for name in STRATEGIES:
                monitor.stage(f"labelling with {name}, seed {seed}")
                run = pipeline(
                    pool,
                    SimulatedOracle(oracle_truth(pool, ood=OOD)),
                    output=output / f"{name}-{seed}",
                    rounds=ROUNDS,
                    classes=pool.classes,
                    test=test,
                    embeddings=embeddings,
                    test_embeddings=test_embeddings,
                    target="head",
                    strategy=name,
                    budget=BUDGET,
                    seed=seed,
                )
                found[name].append(run.metrics)
    for line in table(found):
        typer.echo(line)
    typer.echo(f"\nWhat was asked for, and why? {output / 'mqnet-0' / 'report.html'}")


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """One line per strategy: accuracy after the last round and over all that it chose, and the share of useful answers.

    Args:
        found: strategy -> the metrics of each seed.
    """
    import numpy as np

    lines = [f"{'strategy':<10}{'last accuracy':>18}{'mean over rounds':>18}{'answers of a class':>20}"]
    for name, runs in found.items():
        accuracy = 100 * np.array([[one["accuracy"] for one in run["rounds"]] for run in runs])[:, 1:]
        useful = 100 * np.mean([[one["in_share"] for one in run["rounds"][1:]] for run in runs])
        last = f"{accuracy[:, -1].mean():.1f} ± {accuracy[:, -1].std(ddof=1):.1f} %"
        lines.append(f"{name:<10}{last:>18}{f'{accuracy.mean():.1f} %':>18}{f'{useful:.0f} %':>20}")
    return lines
