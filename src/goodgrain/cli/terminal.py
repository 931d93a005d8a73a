"""What a person sees while a pipeline works: sentences, and one progress bar for each training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from goodgrain.learn.loop import Progress as Step


def speaks() -> bool:
    """Whether this process is the one of its launcher, if there is one, that talks to the person."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Print a line of the result, once."""
    if speaks():
        typer.echo(line)


class Terminal:
    """A monitor that writes to standard error; progress bars are drawn only where a person can see them."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not speaks())
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self.bars.stop()

    def stage(self, sentence: str) -> None:
        """Print what begins now."""
        self.console.print(escape(sentence), soft_wrap=True)

    def training(self, what: str, epochs: int) -> Step:
        """Show a bar; where nobody watches, a line at every tenth of the training."""
        task = self.bars.add_task(escape(what), total=epochs, loss="...")

        def after(epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:
            loss = f"{terms['loss']:.3f}" if "loss" in terms else "..."
            self.bars.update(task, completed=epoch + (step + 1) / steps, loss=loss)
            done = epoch + 1
            if not self.console.is_terminal and step + 1 == steps and done * 10 // epochs > epoch * 10 // epochs:
                self.console.print(escape(f"{what}: epoch {done} of {epochs}, loss {loss}"), soft_wrap=True)

        return after
