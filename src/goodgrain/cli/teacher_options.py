"""What every command that asks a teacher has in common: options of access and price, and what to say of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

BudgetUsd = Annotated[
    float | None,
    typer.Option(help="Most that the answers may cost, earlier tries included.", show_default=False),
]
InputUsd = Annotated[float | None, typer.Option(help="Price per million tokens of prompts.", show_default=False)]
OutputUsd = Annotated[float | None, typer.Option(help="Price per million tokens of answers.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask nothing: tell prompts, tokens and price.")]
MaxTokens = Annotated[int, typer.Option(help="Of an answer, reasoning included.")]
MaxCharacters = Annotated[int, typer.Option(help="Of each text that is shown in a prompt.")]
Temperature = Annotated[float, typer.Option(help="Of the server's sampling; -1 leaves it to the server.")]
Concurrency = Annotated[int, typer.Option(help="Calls at a time.")]
Limit = Annotated[int | None, typer.Option(help="Limit.", show_default=False)]
Timeout = Annotated[float, typer.Option(help="Seconds that a call may take.")]
Attempts = Annotated[int, typer.Option(help="How often a call is tried.")]
KeyVariable = Annotated[
    str, typer.Option(help="Environment variable that holds the key; none for a server without one.")
]
Cache = Annotated[
    Path | None,
    typer.Option(help="File of paid answers, to share between runs. [default: in the run]", show_default=False),
]


def temperature_of(asked: float) -> float | None:
    """None where it is left to the server."""
    return None if asked == -1 else asked


def variable_of(asked: str) -> str | None:
    """None for a server without a key."""
    return None if asked.lower() == "none" else asked


def cost_line(who: str, cost: dict[str, Any]) -> str:
    """What the answers took, for the terminal."""
    money = "" if cost["spent_usd"] is None else f", ${cost['spent_usd']:.4f}"
    return (
        f"the {who}: {cost['paid_calls']:,} calls, {cost['input_tokens']:,} tokens in, "
        f"{cost['output_tokens']:,} out{money}"
    )


def estimate_lines(estimate: dict[str, Any], output: Path) -> list[str]:
    """What the answers would take, for the terminal."""
    answered = f"; {estimate['cached']:,} are answered already" if estimate["cached"] else ""
    told = [
        f"{estimate['requests'] - estimate['cached']:,} prompts to send{answered}",
        f"tokens in:  about {estimate['input_tokens']:,}, at most {estimate['most_input_tokens']:,}",
        f"tokens out: about {estimate['output_tokens']:,}, at most {estimate['most_output_tokens']:,}",
    ]
    if estimate["likely_usd"] is None:
        told.append("price:      not known; give --input-usd and --output-usd, per million tokens")
    else:
        told.append(f"price:      about ${estimate['likely_usd']:.4f}, at most ${estimate['most_usd']:.4f}")
    told.append(f"prompts:    {output / 'prompts.jsonl'} holds some of them; nothing was sent")
    return told
