"""`goodgrain instruct answer` and `evaluate preference`: a model's answers, and whose answers a judge prefers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.cli.teacher_options import (
    Attempts,
    BudgetUsd,
    Cache,
    Concurrency,
    DryRun,
    InputUsd,
    KeyVariable,
    Limit,
    MaxCharacters,
    MaxTokens,
    OutputUsd,
    Temperature,
    Timeout,
    cost_line,
    estimate_lines,
    temperature_of,
    variable_of,
)


def answer(
    model: Annotated[
        Path, typer.Argument(help="Folder of a causal language model in safetensors.", show_default=False)
    ],
    instructions: Annotated[
        Path,
        typer.Argument(
            help="Questions as JSON, JSONL or Parquet with `instruction`, such as alpaca_eval's.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("answers"),
    name: Annotated[
        str | None, typer.Option(help="What the model is called. [default: its folder]", show_default=False)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Text with {instruction}, for a model without a chat template, or instead of it.", show_default=False
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Of an answer.")] = 1024,
    batch_size: Annotated[int, typer.Option(help="Questions at a time.")] = 8,
    temperature: Annotated[float, typer.Option(help="Of the sampling; 0 is greedy.")] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
) -> None:
    """Let a model answer evaluation questions, for `evaluate preference` or alpaca_eval."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.generate_answers import generate_answers

    with Terminal() as monitor:
        made = generate_answers(
            model,
            instructions,
            output=output,
            name=name,
            template=template,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            temperature=temperature,
            seed=seed,
            device=device,
            monitor=monitor,
        )
    told = made.metrics
    typer.echo(f"{told['questions']:,} answers, {told['empty']:,} of them empty, {told['cut']:,} cut off")
    typer.echo(f"answers: {made.path}")


def preference(
    ours: Annotated[
        Path, typer.Argument(help="Our model's answers: alpaca_eval JSON, JSONL or Parquet.", show_default=False)
    ],
    theirs: Annotated[Path, typer.Argument(help="The answers to compare with.", show_default=False)],
    teacher: Annotated[
        str, typer.Option(help="The judge: address of an OpenAI-compatible server.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="Its name at the server.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("preference"),
    our_model: Annotated[
        str | None, typer.Option(help="Whose answers, if OURS holds those of several.", show_default=False)
    ] = None,
    their_model: Annotated[str | None, typer.Option(help="Likewise of THEIRS.", show_default=False)] = None,
    criteria: Annotated[
        list[str] | None,
        typer.Option(
            help="What to judge by: helpfulness, factuality, clarity, output diversity, friendliness, or 'name: "
            "meaning'; repeat for more. [default: helpfulness, factuality, clarity]",
            show_default=False,
        ),
    ] = None,
    budget_usd: BudgetUsd = None,
    input_usd: InputUsd = None,
    output_usd: OutputUsd = None,
    dry_run: DryRun = False,
    max_tokens: MaxTokens = 512,
    max_characters: MaxCharacters = 6000,
    temperature: Temperature = 0.0,
    concurrency: Concurrency = 8,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    timeout: Timeout = 120.0,
    attempts: Attempts = 10,
    api_key_env: KeyVariable = "OPENAI_API_KEY",
    cache: Cache = None,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap over questions.")] = 10_000,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
) -> None:
    """Have a judge compare two models' answers in both orders: wins, ties and losses, with intervals."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.evaluate_preference import evaluate_preference
    from goodgrain.teacher.judging import JudgePrompt

    chosen: dict[str, Any] = {"criteria": tuple(criteria)} if criteria else {}
    with Terminal() as monitor:
        found = evaluate_preference(
            ours,
            theirs,
            output=output,
            teacher=teacher,
            model=model,
            our_model=our_model,
            their_model=their_model,
            prompt=JudgePrompt(max_characters=max_characters, **chosen),
            max_tokens=max_tokens,
            temperature=temperature_of(temperature),
            resamples=resamples,
            seed=seed,
            dry_run=dry_run,
            monitor=monitor,
            budget_usd=budget_usd,
            input_usd=input_usd,
            output_usd=output_usd,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            timeout=timeout,
            attempts=attempts,
            api_key_env=variable_of(api_key_env),
            cache=cache,
        )
    for line in estimate_lines(found.metrics, output) if dry_run else preference_lines(found.metrics):
        typer.echo(line)
    if not dry_run:
        typer.echo(f"verdicts: {found.annotations}")
        typer.echo(f"report:   {found.report}")


def preference_lines(metrics: dict[str, Any]) -> list[str]:
    """What a comparison came to, for the terminal."""
    pairs, position, cost = metrics["pairs"], metrics["position"], metrics["cost"]
    told = [f"{metrics['ours']} against {metrics['theirs']}: {metrics['judged']:,} of {metrics['questions']:,} judged"]
    if metrics["judged"]:
        for name in ("win", "tie", "loss", "win_rate"):
            share = metrics[name]
            words = f"{name.replace('_', ' ')}:".ljust(10)
            told.append(f"  {words}{share['share']:6.1%}   ({share['low']:.1%} to {share['high']:.1%})")
    told.append(
        f"{pairs['disagreed']:,} pairs are ties because the two orders disagree; {pairs['malformed']:,} left out as "
        f"unreadable, {pairs['failed']:,} without an answer"
    )
    if position["first_place_share"] is not None:
        told.append(f"first place won {position['first_place_share']:.1%} of the verdicts; without bias it is 50%")
    if cost:
        told.append(cost_line("judge", cost))
    return told
