"""`goodgrain demo`: the pruning job on data that every machine has, against three baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from goodgrain.data.pool import Pool

NOISE = 0.4
KEEP = 0.2
SEEDS = 3
BASELINES = ("uniform", "small_loss", "all")


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the runs go; the same command continues them.")
    ] = Path("goodgrain-demo"),
) -> None:
    """Prune handwritten digits of which 40% carry the next digit's label, and compare with three baselines."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines import prune as pipeline

    typer.echo(
        f"Handwritten digits (8x8, from scikit-learn), {NOISE:.0%} of the training labels moved to the next digit. "
        f"Keep {KEEP:.0%}, train a small network on the part, test on clean digits; {SEEDS} seeds.\n"
    )
    runs = []
    with Terminal() as monitor:
        for seed in range(SEEDS):
            monitor.stage(f"seed {seed + 1} of {SEEDS}")
            train, test = noisy_digits(seed)
            run = pipeline.prune(
                train,
                test=test,
                keep=KEEP,
                output=output / f"seed-{seed}",
                monitor=monitor,
                method="prune4rel",
                balanced=None,
                compare=BASELINES,
                flip=False,
                seed=seed,
            )
            runs.append(run)
    for line in table([run.metrics for run in runs]):
        typer.echo(line)
    found = [run.metrics["suspects"] for run in runs]
    precision = sum(one["precision"] for one in found) / len(found)
    typer.echo(
        f"\nLabels that look wrong: {sum(one['count'] for one in found) / len(found):.0f} per seed, "
        f"{100 * precision:.0f} % of them are."
    )
    typer.echo(f"Look at the pictures: {runs[0].report}")


def noisy_digits(seed: int) -> tuple[Pool, Pool]:
    """1,437 training digits with asymmetric label noise, and 360 clean test digits.

    Args:
        seed: draws the split and the noise.

    Returns:
        Training pool (clean labels known, for reporting) and test pool.

    Example:
        >>> train, test = noisy_digits(0)
        >>> len(train), len(test), round(float((train.labels != train.clean_labels).mean()), 2)
        (1437, 360, 0.4)
    """
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from goodgrain.data.noise import asymmetric
    from goodgrain.data.pool import Pool

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    numbers = np.arange(len(labels))
    kept, held = train_test_split(numbers, test_size=360, stratify=labels, random_state=seed)
    classes = [f"digit {j}" for j in range(10)]
    noisy = asymmetric(labels[kept], NOISE, classes=10, seed=seed)
    train = Pool.from_arrays(
        pixels[kept], noisy, classes=classes, ids=[f"digit-{i:04}" for i in kept], clean_labels=labels[kept]
    )
    test = Pool.from_arrays(pixels[held], labels[held], classes=classes, ids=[f"digit-{i:04}" for i in held])
    return train, test


def table(metrics: list[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over runs: one line per method.

    Args:
        metrics: metrics.json of each run, all with the same methods.

    Returns:
        Lines of text.

    Example:
        >>> entry = {"count": 5, "accuracy_mean": 0.5, "noise_share": 0.1}
        >>> table([{"method": "uniform", "n": 10, "budgets": [entry], "compared": []}])[1].split()
        ['uniform', '5', '50.0', '±', '0.0', '%', '10.0', '%']
    """
    import numpy as np

    rows: dict[str, list[tuple[int, float, float]]] = {}
    for run in metrics:
        for entry in [{"method": run["method"], **run["budgets"][0]}, *run["compared"]]:
            rows.setdefault(entry["method"], []).append(
                (entry["count"], 100 * entry["accuracy_mean"], 100 * entry["noise_share"])
            )
    lines = [f"{'method':<34}{'kept':>7}   {'test accuracy':>15}   {'wrong labels':>12}"]
    for method, cells in rows.items():
        count, reached, noise = (np.array(part) for part in zip(*cells, strict=True))
        spread = reached.std(ddof=1) if len(reached) > 1 else 0.0
        lines.append(f"{method:<34}{count[0]:>7,}   {reached.mean():>8.1f} ± {spread:.1f} %   {noise.mean():>10.1f} %")
    return lines
