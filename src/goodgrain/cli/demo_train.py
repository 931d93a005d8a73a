"""The training job of `goodgrain demo`: OOD images that show what misleads a model on few labelled ones."""

from __future__ import annotations

from pathlib import Path

import typer

from goodgrain.cli.demo_data import digits_on_photographs

LABELLED = 600
GIVEN_AWAY = 0.85
EPOCHS = 40
SEEDS = 3


def demo_train(output: Path) -> None:
    """Train on few digits over photographs whose kind goes with the digit, and not in test; TAUFE beside OAT.

    Args:
        output: the run folder.
    """
    from goodgrain.cli.terminal import Terminal
    from goodgrain.cli.train import summary
    from goodgrain.pipelines.train import train as pipeline

    typer.echo(
        f"{LABELLED} handwritten digits on pieces of two photographs (all from scikit-learn). In {GIVEN_AWAY:.0%} of "
        "the training images the kind of piece gives the digit away; in the test images it says nothing. OOD images: "
        f"other pieces, without a digit. A small network, {EPOCHS} epochs, the same steps for every method; {SEEDS} "
        "seeds.\n"
    )
    target, ood, test = digits_on_photographs(LABELLED, GIVEN_AWAY, seed=0)
    with Terminal() as monitor:
        run = pipeline(
            target,
            ood={"pieces of photographs": ood},
            test=test,
            output=output,
            compare=("standard", "oat"),
            epochs=EPOCHS,
            batch_size=32,
            repeats=SEEDS,
            flip=False,
            monitor=monitor,
        )
    for line in summary(run.metrics):
        typer.echo(line)
    typer.echo(
        "\nTAUFE pays here because what misleads the model is in the OOD images. Where it is not, expect nothing: "
        "the standard model beside it tells."
    )
    typer.echo(f"What did the model stop looking at? {run.report}")
