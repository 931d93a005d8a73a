"""Labels out of a labelling run and into it: tables, and Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodgrain.annotate import Session
from goodgrain.annotate.answers import UNRESOLVED
from goodgrain.annotate.exchange import new_file
from goodgrain.cli.label_run import Device, Run, first_round
from goodgrain.errors import InputError


def export(
    run: Run,
    file: Annotated[
        Path,
        typer.Argument(help="FILE.csv, FILE.parquet or FILE.jsonl; FILE.json for Label Studio.", show_default=False),
    ],
    history: Annotated[bool, typer.Option("--history", help="Every answer ever given, not one row per image.")] = False,
    label_studio: Annotated[
        bool,
        typer.Option(
            "--label-studio",
            help="Hand out images as Label Studio's tasks, and write its labelling interface beside them as FILE.xml.",
        ),
    ] = False,
    n: Annotated[int, typer.Option("-n", help="How many tasks at most (--label-studio).")] = 100,
    image_url: Annotated[
        str | None,
        typer.Option(
            help="What Label Studio has to put before an image's path: https://host/images/ or "
            "'/data/local-files/?d=' (--label-studio).",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Write labels, or tasks for Label Studio."""
    from goodgrain.annotate import export_history, export_labels
    from goodgrain.pipelines.label_session import view_session

    if label_studio:
        if history or image_url is None:
            raise InputError("tasks for Label Studio need --image-url, and are no history.")
        _tasks(run, file, n, image_url, device)
        return
    if image_url is not None:
        raise InputError("--image-url means nothing in a table. Add --label-studio, or leave it out.")
    with view_session(run) as session:
        (export_history if history else export_labels)(session, file)
    typer.echo(f"{'answers' if history else 'labels'}:   {file}")


def import_(
    run: Run,
    file: Annotated[
        Path,
        typer.Argument(
            help="FILE.json that Label Studio exported (JSON or JSON-MIN), or a table with columns id and label: "
            "FILE.csv, FILE.parquet or FILE.jsonl.",
            show_default=False,
        ),
    ],
    annotator: Annotated[
        str | None,
        typer.Option(help="Whose answers they are. [default: Label Studio's users; import]", show_default=False),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Of a table, where it cannot be told.", show_default=False)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Of a table, where it cannot be told.", show_default=False)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict/--no-strict", help="Take all or nothing, or leave out what cannot be taken.")
    ] = True,
) -> None:
    """Take answers that were given elsewhere.

    Only images that were asked for can be answered.
    """
    from goodgrain.annotate import import_annotations, import_labels
    from goodgrain.pipelines.label_session import open_session

    columns = {"id_column": id_column, "label_column": label_column}
    tasks = file.suffix.lower() == ".json"
    if tasks and any(columns.values()):
        raise InputError("Label Studio's JSON has no columns, so --id-column and --label-column mean nothing.")
    with open_session(run) as session:
        before = _unresolved(session)
        if tasks:
            found = import_annotations(session, file, annotator=annotator, strict=strict)
        else:
            found = import_labels(session, file, annotator=annotator, strict=strict, **columns)
        contradicted = len(_unresolved(session) - before)
    for problem in found.problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"{found.told:,} answers kept, {found.known:,} known already, {found.skipped:,} rows without one")
    if contradicted:
        typer.echo(
            f"{contradicted:,} images now have answers that differ, and no label. To correct an answer, import it with "
            "--annotator and the name of who gave it.",
            err=True,
        )


def _unresolved(session: Session) -> set[str]:
    return {name for name, answer in session.answers().items() if answer == UNRESOLVED}


def _tasks(run: Path, file: Path, n: int, image_url: str, device: str) -> None:
    from goodgrain.annotate import export_tasks, labeling_config
    from goodgrain.pipelines.label_session import check_asking, open_session

    if file.suffix.lower() != ".json":
        raise InputError(f"{file}: Label Studio takes tasks as JSON. Give a name that ends in .json.")
    interface = file.with_suffix(".xml")
    first_round(run, device)
    with open_session(run) as session:
        check_asking(session, run)
        config = labeling_config(session.classes)
        query = export_tasks(session, file, n, image_url=image_url)
        with new_file(interface) as part:
            part.write_text(config + "\n", encoding="utf-8")
        seconds = session.lease
    typer.echo(f"{len(query.ids):,} tasks: {file}")
    typer.echo(f"interface: {interface}")
    typer.echo(f"nobody else is asked about them for {seconds:,.0f} seconds (--lease of label init).", err=True)
