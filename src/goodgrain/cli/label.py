"""`goodgrain label`: ask people for the few labels that are both pure and informative, round by round."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from goodgrain.cli.label_exchange import export, import_
from goodgrain.cli.label_run import ask, serve, status, tell, train, undo

app = typer.Typer(
    name="label",
    help="Ask people for the few labels that are both pure and informative, and learn from them, round by round.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def init(
    data: Annotated[
        Path,
        typer.Argument(
            help="Images in any layout, labels not needed: a folder, a Parquet or NPZ file, or a published set.",
            show_default=False,
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(help="What images may be: cat,dog. [default: the classes of --known]", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command goes on with it.")
    ] = Path("run"),
    known: Annotated[
        str | None,
        typer.Option(
            help="Labels that exist already: a CSV, Parquet or JSONL file (columns id and label), or data for those "
            "that DATA has itself; classes that are not among --classes are then none of these.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="A labelled test set; its images of other classes are left out.", show_default=False),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Of any encoder, one row per image: what goodgrain embed made, or an .npy file in the order of DATA. "
            "They take --encoder's place.",
            show_default=False,
        ),
    ] = None,
    test_embeddings: Annotated[
        Path | None, typer.Option(help="Of the test images, for --target head.", show_default=False)
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="mqnet, purity-first, random, conf, margin, entropy, coreset, ll, badge, ccal, similar-flcmi or "
            "similar-logdetcmi."
        ),
    ] = "mqnet",
    purity: Annotated[
        str,
        typer.Option(
            help="nearest_both, nearest_in, nearest_ood, probe or csi by what the encoder sees; msp, energy, ... by "
            "the model (mqnet, purity-first)."
        ),
    ] = "nearest_both",
    informativeness: Annotated[str, typer.Option(help="conf, margin, entropy, ... (mqnet, purity-first).")] = "margin",
    meta: Annotated[
        str,
        typer.Option(
            help="What weighs the two (mqnet): learned, plain (without the skyline), or a rule: sum, product."
        ),
    ] = "learned",
    learn_from: Annotated[
        str, typer.Option(help="Answers that the meta-model learns from: those of the last round, or of all.")
    ] = "all",
    warm_start: Annotated[
        bool, typer.Option("--warm-start/--no-warm-start", help="The meta-model goes on from its last weights.")
    ] = False,
    balanced: Annotated[
        bool | None,
        typer.Option(
            "--balanced/--no-balanced",
            help="Predicted classes take turns. [default: for mqnet and purity-first]",
            show_default=False,
        ),
    ] = None,
    query_precision: Annotated[
        float, typer.Option(help="Share of answers of a class that purity-first aims at.")
    ] = 0.9,
    target: Annotated[
        str, typer.Option(help="What answers train: network (from scratch each round), or head (on embeddings).")
    ] = "network",
    ood_answers: Annotated[
        str,
        typer.Option(help="What answers 'none of these' are used for: none, class (one more) or taufe (silenced)."),
    ] = "none",
    encoder: Annotated[str, typer.Option(help="csi, trained once on all images without any label, or none.")] = "csi",
    encoder_epochs: Annotated[int, typer.Option(help="Of its training.")] = 20,
    model: Annotated[
        str,
        typer.Option(
            help="Network of target and encoder: small, resnet18, preact_resnet18, resnet50, timm:NAME or "
            "package.module:function."
        ),
    ] = "small",
    steps: Annotated[int, typer.Option(help="Of the target's training in each round.")] = 2000,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images a step. [default: a twentieth of the labelled, 16 to 128]", show_default=False),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.", show_default=False)] = None,
    precision: Annotated[str, typer.Option(help="float32, or bf16 for mixed precision.")] = "float32",
    flip: Annotated[bool, typer.Option(help="Augmentation may swap left and right; not for digits or text.")] = True,
    budget: Annotated[float, typer.Option(help="What the answers of a round may cost.")] = 100.0,
    c_in: Annotated[float, typer.Option(help="Cost of an answer that names a class.")] = 1.0,
    c_ood: Annotated[float, typer.Option(help="Cost of 'none of these'.")] = 1.0,
    c_unsure: Annotated[
        float | None, typer.Option(help="Cost of 'unsure'. [default: as a class]", show_default=False)
    ] = None,
    lease: Annotated[float, typer.Option(help="Seconds until an image may go to somebody else.")] = 1800.0,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    label_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Pixels of a square. [default: as most images, at most 64]", show_default=False),
    ] = None,
    max_bad: Annotated[float, typer.Option(help="The largest share of unreadable images that is put up with.")] = 0.01,
) -> None:
    """Begin a labelling run.

    Reads the images, and keeps all that was asked in a folder. Nothing is trained yet.
    """
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.labeling import Labeling

    with (
        Terminal() as monitor,
        Labeling.create(
            data,
            output=output,
            classes=None if classes is None else class_list(classes),
            known=known,
            test=test,
            embeddings=embeddings,
            test_embeddings=test_embeddings,
            image_size=image_size,
            label_column=label_column,
            image_column=image_column,
            id_column=id_column,
            max_bad=max_bad,
            monitor=monitor,
            strategy=strategy,
            purity=purity,
            informativeness=informativeness,
            meta=meta,
            learn_from=learn_from,
            warm_start=warm_start,
            balanced=balanced,
            query_precision=query_precision,
            target=target,
            ood_answers=ood_answers,
            encoder=encoder,
            encoder_epochs=encoder_epochs,
            model=model,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            precision=precision,
            flip=flip,
            budget=budget,
            c_in=c_in,
            c_ood=c_ood,
            c_unsure=c_unsure,
            lease=lease,
            seed=seed,
        ) as run,
    ):
        now, names, rejected = run.session.status(), run.session.classes, run.rejected
    typer.echo(f"{now.items:,} images, {now.known:,} of them labelled; classes: {', '.join(names)}")
    if rejected:
        typer.echo(f"{len(rejected):,} files cannot be used, such as {rejected[0].id}: {rejected[0].reason}")
    typer.echo(f"next:     goodgrain label serve {output}")


def class_list(text: str) -> list[str]:
    r"""Class names, by commas or lines; a name with a comma stands in quotation marks.

    Example:
        >>> class_list('cat , "dog, big"\nbird\n')
        ['cat', 'dog, big', 'bird']
    """
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


app.command("init")(init)
app.command("serve")(serve)
app.command("ask")(ask)
app.command("tell")(tell)
app.command("undo")(undo)
app.command("status")(status)
app.command("train")(train)
app.command("export")(export)
app.command("import")(import_)
