"""`goodgrain instruct answer` and `evaluate preference`: a model's answers, and whose answers a judge prefers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


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
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the judge may cost, earlier tries included.", show_default=False),
    ] = None,
    input_usd: Annotated[
        float | None, typer.Option(help="Price per million tokens of prompts.", show_default=False)
    ] = None,
    output_usd: Annotated[
        float | None, typer.Option(help="Price per million tokens of answers.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask nothing: tell prompts, tokens and price.")] = False,
    max_tokens: Annotated[int, typer.Option(help="Of a verdict, reasoning included.")] = 512,
    max_characters: Annotated[int, typer.Option(help="Of each text that the judge sees.")] = 6000,
    temperature: Annotated[float, typer.Option(help="Of the judge's sampling; -1 leaves it to the server.")] = 0.0,
    concurrency: Annotated[int, typer.Option(help="Calls at a time.")] = 8,
    requests_per_minute: Annotated[int | None, typer.Option(help="Limit.", show_default=False)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Limit.", show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a call may take.")] = 120.0,
    attempts: Annotated[int, typer.Option(help="How often a call is tried.")] = 10,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the key; none for a server without one.")
    ] = "OPENAI_API_KEY",
    cache: Annotated[
        Path | None,
        typer.Option(help="File of paid answers, to share between runs. [default: in the run]", show_default=False),
    ] = None,
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
            temperature=None if temperature == -1 else temperature,
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
            api_key_env=None if api_key_env.lower() == "none" else api_key_env,
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
        money = "" if cost["spent_usd"] is None else f", ${cost['spent_usd']:.4f}"
        told.append(
            f"the judge: {cost['paid_calls']:,} calls, {cost['input_tokens']:,} tokens in, "
            f"{cost['output_tokens']:,} out{money}"
        )
    return told


def estimate_lines(estimate: dict[str, Any], output: Path) -> list[str]:
    """What the judge would take, for the terminal."""
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
