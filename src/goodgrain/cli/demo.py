"""`goodgrain demo`: each job on data that every machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodgrain.checks import lookup
from goodgrain.cli.demo_instruct import demo_instruct
from goodgrain.cli.demo_label import demo_label
from goodgrain.cli.demo_prune import demo_prune
from goodgrain.cli.demo_train import demo_train

JOBS = {"prune": demo_prune, "train": demo_train, "label": demo_label, "instruct": demo_instruct}


def demo(
    job: Annotated[
        str | None, typer.Argument(help="prune, train, label or instruct; all of them by default.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the runs go; the same command continues them.")
    ] = Path("goodgrain-demo"),
) -> None:
    """Prune wrong labels, train past misleading backgrounds, label a pool full of others, choose instructions."""
    for number, one in enumerate(JOBS if job is None else [job]):
        show = lookup("demo", JOBS, one)
        typer.echo(("\n" if number else "") + f"-- {one} --")
        show(output / one)
