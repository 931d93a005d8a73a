"""`goodgrain embed`: what any model sees of every example, for every selection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    data: Annotated[
        Path,
        typer.Argument(
            help="Images as for prune, or a CSV, JSONL or Parquet table with a column of texts.", show_default=False
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="hf:NAME, timm:NAME, a folder with a saved model, a goodgrain run or package.module:function.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder of observations; the same command continues it.")
    ] = Path("observations"),
    batch_size: Annotated[int, typer.Option(help="Examples that the model gets at a time.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    views: Annotated[int, typer.Option(help="Strongly augmented views whose mean is added; 0 for none.")] = 0,
    flip: Annotated[bool, typer.Option(help="Views may swap left and right; not for digits or text.")] = True,
    normalize: Annotated[bool, typer.Option(help="Give each row of features length 1.")] = False,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Probabilities from linear classifiers on the features. [default: where the model gives none]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    labeled: Annotated[
        bool,
        typer.Option("--labeled/--unlabeled", help="Unlabeled: any folder of images will do, whatever lies in it."),
    ] = True,
    labels: Annotated[str | None, typer.Option(help="FILE[:COLUMN] of labels that replace those of DATA.")] = None,
    clean_labels: Annotated[str | None, typer.Option(help="FILE[:COLUMN] of true labels, for reporting only.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Makes a table one of texts.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels of a square. [default: as the model expects]", show_default=False)
    ] = None,
    max_bad: Annotated[float, typer.Option(help="The largest share of unreadable images that is put up with.")] = 0.01,
) -> None:
    """Let any model look at every example, and keep what it saw for `goodgrain prune --observations`."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines import embed as pipeline

    with Terminal() as monitor:
        seen = pipeline.embed(
            data,
            model=model,
            output=output,
            labeled=labeled,
            labels=labels,
            clean_labels=clean_labels,
            text_column=text_column,
            label_column=label_column,
            image_column=image_column,
            id_column=id_column,
            image_size=image_size,
            max_bad=max_bad,
            device=device,
            monitor=monitor,
            batch_size=batch_size,
            views=views,
            flip=flip,
            normalize=normalize,
            probe=probe,
            seed=seed,
        )
    typer.echo(f"saw {', '.join(seen.columns)} of {len(seen):,} examples")
    typer.echo(f"observations: {output}")
    if seen.probabilities is not None and seen.labels is not None:
        typer.echo(f"next:         goodgrain prune --observations {output} --keep 0.2 -o run")
