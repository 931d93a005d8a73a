"""The pruning job of `goodgrain demo`: with a plain and with a re-labelling learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from goodgrain.cli.demo_data import NOISE, noisy_digits

KEEP = 0.2
SEEDS = 3
SOP_EPOCHS = 60  # plain training has learned the wrong labels by heart by then; SOP+ has only just found them
BASELINES = ("uniform", "small_loss", "all")


def demo_prune(output: Path) -> None:
    """Prune handwritten digits of which 40% carry the next digit's label; train on the part, plainly and with SOP+.

    Args:
        output: folder of the runs.
    """
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines import prune as pipeline

    typer.echo(
        f"Handwritten digits (8x8, from scikit-learn), {NOISE:.0%} of the training labels moved to the next digit. "
        f"Keep {KEEP:.0%}, train a small network on the part (30 epochs, SOP+ {SOP_EPOCHS}), test on clean digits; "
        f"{SEEDS} seeds.\n"
    )
    runs, cleaned, relabeled = [], [], []
    with Terminal() as monitor:
        for seed in range(SEEDS):
            monitor.stage(f"seed {seed + 1} of {SEEDS}")
            train, test = noisy_digits(seed)
            asked: dict[str, Any] = {
                "test": test,
                "keep": KEEP,
                "monitor": monitor,
                "flip": False,
                "near": 0.995,
                "seed": seed,
            }
            run = pipeline.prune(train, output=output / f"seed-{seed}", compare=BASELINES, **asked)
            seen = run.folder / "observations"
            again = pipeline.prune(
                train, observations=seen, output=output / f"seed-{seed}-cleaned", drop_suspects=True, **asked
            )
            corrected = pipeline.prune(
                train,
                observations=seen,
                output=output / f"seed-{seed}-sop",
                learner="sop",
                epochs=SOP_EPOCHS,
                compare=("uniform", "all"),
                **asked,
            )
            runs.append(run)
            cleaned.append(again)
            relabeled.append(corrected)
    for line in table(*([run.metrics for run in family] for family in (runs, cleaned, relabeled))):
        typer.echo(line)
    found = [run.metrics["suspects"] for run in runs]
    precision = sum(one["precision"] for one in found) / len(found)
    typer.echo(
        f"\nLabels that look wrong: {sum(one['count'] for one in found) / len(found):.0f} per seed, "
        f"{100 * precision:.0f} % of them are."
    )
    typer.echo(
        "Prune4ReL keeps examples whose labels a re-labeling learner such as SOP+ can correct, right or wrong as they "
        "are now.\nFor plain training drop the suspects, or compare with small-loss, as above."
    )
    typer.echo(f"Look at the pictures: {runs[0].report}")


def table(*families: list[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over runs: one line per method.

    Args:
        *families: metrics.json of runs that differ in their seed alone, a list for each family.

    Returns:
        Lines of text.

    Example:
        >>> entry = {"count": 5, "accuracy_mean": 0.5, "noise_share": 0.1, "corrected_mean": 0.8}
        >>> table([{"method": "uniform", "learner": "sop", "n": 10, "budgets": [entry]}])[1].split()
        ['uniform,', 'SOP+', '5', '50.0', '±', '0.0', '%', '10.0', '%', '80.0', '%']
    """
    import numpy as np

    rows: dict[str, list[tuple[int, float, float, float]]] = {}
    for run in (run for family in families for run in family):
        for entry in [{"method": run["method"], **run["budgets"][0]}, *run.get("compared", ())]:
            corrected = entry.get("corrected_mean", float("nan"))
            rows.setdefault(entry["method"] + (", SOP+" if run["learner"] == "sop" else ""), []).append(
                (entry["count"], 100 * entry["accuracy_mean"], 100 * entry["noise_share"], 100 * corrected)
            )
    lines = [f"{'method':<52}{'kept':>6}  {'test accuracy':>14}  {'wrong labels':>12}  {'of them corrected':>17}"]
    for method, cells in rows.items():
        count, reached, noise, corrected = (np.array(part) for part in zip(*cells, strict=True))
        spread = reached.std(ddof=1) if len(reached) > 1 else 0.0
        lines.append(
            f"{method:<52}{count[0]:>6,}  {reached.mean():>5.1f} ± {spread:>4.1f} %  {noise.mean():>10.1f} %"
            f"  {corrected.mean():>15.1f} %"
        )
    return lines
