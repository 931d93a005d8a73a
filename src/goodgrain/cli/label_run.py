"""What a labelling run does once it has begun: the page, questions and answers, where it stands, and training."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.errors import InputError

Run = Annotated[Path, typer.Argument(help="The folder of a labelling run.", show_default=False)]
Annotator = Annotated[str, typer.Option(help="Who it is: nobody else is handed what this one holds.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def serve(
    run: Run,
    port: Annotated[int, typer.Option(help="Of 127.0.0.1; 0 takes any that is free.")] = 0,
    device: Device = "auto",
) -> None:
    """Serve the page on which people label.

    It trains between rounds; Ctrl-C ends it. With --port, a page that is open goes on after a restart.
    """
    from goodgrain.annotate import serve as page
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.label_page import backing, begin, kept_token
    from goodgrain.pipelines.labeling import Labeling

    with ExitStack() as until_the_end:
        with Terminal() as monitor:
            labeling = until_the_end.enter_context(Labeling.open(run, device=device, monitor=monitor))
            begin(labeling, monitor)
        with suppress(KeyboardInterrupt):
            page.serve(backing(labeling), port=port, token=kept_token(run), announce=_announce)
    typer.echo("stopped; every answer is on disk.", err=True)


def ask(
    run: Run,
    n: Annotated[int, typer.Option("-n", help="How many images at most.")] = 1,
    annotator: Annotator = "",
    device: Device = "auto",
) -> None:
    """Print what to label next.

    A line for each image: its id, a tab, and its path below the data if it has one. What the annotator holds already
    comes first.
    """
    from goodgrain.pipelines.label_session import check_asking, open_session

    first_round(run, device)
    with open_session(run) as session:
        check_asking(session, run)
        query = session.ask(n, annotator=annotator)
        for name in query.ids:
            typer.echo(f"{name}\t{session.item(name).path}")
        held, left = session.status().held, session.left
    if query.short_of == "budget" and held:
        typer.echo(f"what is left of the round's budget ({left:g}) waits for {held:,} images being answered.", err=True)
    elif query.short_of == "budget":
        typer.echo(f"the budget of round {query.round} is spent. Go on with `goodgrain label train {run}`.", err=True)
    if query.short_of == "items":
        typer.echo(f"round {query.round} has nothing more to ask of this annotator.", err=True)


def tell(
    run: Run,
    id: Annotated[str | None, typer.Argument(help="As ask printed it.", show_default=False)] = None,  # noqa: A002
    answer: Annotated[
        str | None,
        typer.Argument(
            help="A class; or none (of these), unsure or skip, where no class is called so: __ood__, __unsure__ and "
            "__skip__ mean the same.",
            show_default=False,
        ),
    ] = None,
    annotator: Annotator = "",
    file: Annotated[
        Path | None,
        typer.Option(
            help="Many at once, instead of ID and ANSWER: a CSV, Parquet or JSONL table with columns id and label.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer one image, or a table of them.

    The last answer that an annotator gives counts, and none is forgotten.
    """
    from goodgrain.annotate import import_labels
    from goodgrain.pipelines.label_session import open_session

    if (file is None) == (answer is None) or (id is None) != (answer is None):
        raise InputError("an answer is an ID and an ANSWER, or a table of them. Give both words, or --file alone.")
    with open_session(run) as session:
        if id is not None and answer is not None:
            told = session.tell(id, meant(answer, session.classes), annotator=annotator)
            typer.echo("kept" if told else "known already", err=True)
        elif file is not None:
            found = import_labels(session, file, annotator=annotator)
            typer.echo(f"{found.told:,} answers kept, {found.known:,} known already", err=True)


def undo(run: Run, annotator: Annotator = "") -> None:
    """Take back an annotator's last answer.

    Prints which image that was.
    """
    from goodgrain.pipelines.label_session import open_session

    with open_session(run) as session:
        typer.echo(session.undo(annotator))


def status(
    run: Run, as_json: Annotated[bool, typer.Option("--json", help="As JSON, with more of it.")] = False
) -> None:
    """Tell where a run stands, also while it is being served."""
    from goodgrain.pipelines.label_status import status as standing

    found = standing(run)
    for line in [json.dumps(found, indent=2, ensure_ascii=False)] if as_json else lines(found):
        typer.echo(line)


def train(
    run: Run,
    final: Annotated[bool, typer.Option("--final", help="Train, measure and report; open no other round.")] = False,
    device: Device = "auto",
) -> None:
    """Close the round, learn, and ask again.

    Trains on all answers so far, learns what to ask for, and opens the next round.
    """
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.label_status import status as standing
    from goodgrain.pipelines.labeling import Labeling

    with Terminal() as monitor, Labeling.open(run, device=device, monitor=monitor) as labeling:
        if final:
            labeling.finish(monitor)
        else:
            labeling.advance(monitor)
    for line in lines(standing(run)):
        typer.echo(line)
    if final:
        typer.echo(f"models:   {run / 'models'}")
        typer.echo(f"report:   {run / 'report.html'}")
    else:
        typer.echo(f"next:     goodgrain label serve {run}")


def first_round(run: Path, device: str) -> None:
    """Let a model open the very first round, where known labels are enough to train one."""
    from goodgrain.pipelines.label_session import trains_first, view_session

    with view_session(run) as session:
        if not trains_first(session):
            return
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.label_page import begin
    from goodgrain.pipelines.labeling import Labeling

    with Terminal() as monitor, Labeling.open(run, device=device, monitor=monitor) as labeling:
        begin(labeling, monitor)


def meant(word: str, classes: tuple[str, ...]) -> str:
    """The answer that a word stands for: a class comes first.

    Example:
        >>> meant("none", ("cat", "dog")), meant("none", ("none", "some"))
        ('__ood__', 'none')
    """
    from goodgrain.annotate import OOD, SKIP, UNSURE

    return word if word in classes else {"none": OOD, "unsure": UNSURE, "skip": SKIP}.get(word, word)


def lines(status: dict[str, Any]) -> list[str]:
    r"""What a person reads of a run's status: a line for each round.

    Example:
        >>> first = {"number": 0, "strategy": "random", "state": "open", "budget": 5.0, "spent": 2.0, "unsure": 1,
        ...          "in_distribution": 1, "ood": 0, "unresolved": 0, "skipped": 0, "in_share": 1.0, "accuracy": None}
        >>> print(*lines({"items": 9, "known": 0, "unseen": 7, "held": 0, "rounds": [first], "hint": ""}), sep="\n")
        9 images: 0 known from the start, 7 not seen yet, 0 of these being answered
        round 0 (random, open): spent 2 of 5; 1 of a class, 0 none of these (100.0 % of a class); 1 unsure
    """
    said = [
        f"{status['items']:,} images: {status['known']:,} known from the start, {status['unseen']:,} not seen yet, "
        f"{status['held']:,} of these being answered"
    ]
    for one in status["rounds"]:
        parts = [f"{one['in_distribution']:,} of a class, {one['ood']:,} none of these"]
        if one["in_share"] is not None:
            parts[0] += f" ({100 * one['in_share']:.1f} % of a class)"
        parts += [f"{one[name]:,} {name}" for name in ("unsure", "unresolved", "skipped") if one[name]]
        if one["accuracy"] is not None:
            parts.append(f"test accuracy then {100 * one['accuracy']:.1f} %")
        spent = f"spent {one['spent']:g} of {one['budget']:g}"
        said.append(f"round {one['number']} ({one['strategy']}, {one['state']}): {spent}; {'; '.join(parts)}")
    return [*said, status["hint"]] if status["hint"] else said


def _announce(address: str) -> None:
    typer.echo(address)
    typer.echo("open this address in a browser of this machine; Ctrl-C ends it.", err=True)
