"""The command `goodgrain`, and how it says what went wrong."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Annotated

import typer

import goodgrain
from goodgrain.cli.demo import demo
from goodgrain.cli.embed import embed
from goodgrain.cli.instruct import app as instruct
from goodgrain.cli.label import app as label
from goodgrain.cli.prune import prune
from goodgrain.cli.train import train
from goodgrain.errors import GoodgrainError

app = typer.Typer(
    name="goodgrain",
    help="Separate the good grain from the chaff when deep learning meets noisy data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("prune")(prune)
app.command("embed")(embed)
app.command("train")(train)
app.add_typer(label, name="label")
app.add_typer(instruct, name="instruct")
app.command("demo")(demo)

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would become larger than allowed here",
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(goodgrain.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Separate the good grain from the chaff when deep learning meets noisy data."""


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"note: {message}", err=True)


def run() -> None:
    """Run the command line: errors that a user can mend are one sentence and exit code 2."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # so that --model module:function finds the user's own file
    warnings.showwarning = _say_warning
    _let_threads_sleep()
    try:
        app()
    except GoodgrainError as error:
        _stop(str(error), 2)
    except OSError as error:
        if error.errno in _FULL:
            where = f" while writing {error.filename}" if error.filename else ""
            _stop(f"{_FULL[error.errno]}{where}. Free some room and repeat the command: it continues.", 2)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT) and error.filename:
            _stop(f"{error.filename}: {error.strerror}. Choose another place, or change its permissions.", 2)
        raise
    except KeyboardInterrupt:
        _stop("stopped. The same command continues where it was.", 130)


def _let_threads_sleep() -> None:
    """Torch's threads wait for each other in a loop, which takes most of a core that somebody else needs as well.

    1,000 turns is what OpenMP itself takes once it knows that cores are short. It must be said before torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _stop(sentence: str, code: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201  (this is where the command line prints)
    raise SystemExit(code) from None
