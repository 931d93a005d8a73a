"""`goodgrain instruct`: keep the clean, diverse, good instructions, fine-tune on them, and see what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.cli.instruct_evaluate import evaluate_app
from goodgrain.cli.instruct_finetune import finetune
from goodgrain.cli.instruct_preference import answer
from goodgrain.cli.prune import parse_keep
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

app = typer.Typer(
    help="Keep the clean, diverse, good instructions of a set, fine-tune on them, and evaluate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("finetune")(finetune)
app.command("answer")(answer)
app.add_typer(evaluate_app, name="evaluate")


@app.command("select")
def select(
    data: Annotated[
        Path,
        typer.Argument(
            help="Instructions: Alpaca JSON, chat messages or prompt and response, as JSON, JSONL, Parquet or a "
            "Hugging Face dataset on disk.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("run"),
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Address of an OpenAI-compatible server, such as http://localhost:8000; or a baseline that asks "
            "nobody: ifd, perplexity or length.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Its name at the server; for ifd and perplexity a folder.", show_default=False),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(help="Clusters, each of which gives one row at most. [default: rows / 5.2]", show_default=False),
    ] = None,
    max_size: Annotated[int, typer.Option(help="Most rows of a cluster, and so of a prompt.")] = 10,
    budget_usd: BudgetUsd = None,
    input_usd: InputUsd = None,
    output_usd: OutputUsd = None,
    dry_run: DryRun = False,
    method: Annotated[
        str,
        typer.Option(
            help="cluster (FP-Instruction), sample_wise (Alpagasus), list (LIMA), max_cover, min_cover, random, "
            "longest, ifd or perplexity."
        ),
    ] = "cluster",
    keep: Annotated[
        str | None,
        typer.Option(help="Rows to keep, a count (9000) or a share (0.2), for other methods.", show_default=False),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Also show what random,longest,max_cover,min_cover would keep.", show_default=False),
    ] = None,
    criteria: Annotated[
        list[str] | None,
        typer.Option(
            help="What to rank by: factuality, clarity, helpfulness, output diversity, friendliness, or 'name: "
            "meaning'; repeat for more. [default: factuality, clarity]",
            show_default=False,
        ),
    ] = None,
    permutations: Annotated[int, typer.Option(help="How often each cluster is asked about, in other orders.")] = 1,
    malformed: Annotated[
        str, typer.Option(help="What stands for a cluster whose answer cannot be read: medoid or skip.")
    ] = "medoid",
    least_score: Annotated[float, typer.Option(help="What a row has to reach, of 5 (sample_wise).")] = 4.5,
    names: Annotated[
        Path | None, typer.Option(help="File of ids, requests or instructions (list).", show_default=False)
    ] = None,
    embedder: Annotated[
        str,
        typer.Option(help="minilm, a model as `goodgrain embed` takes it, api:URL#MODEL, column:NAME or tfidf."),
    ] = "minilm",
    part: Annotated[str, typer.Option(help="What of a row is embedded: request or both.")] = "request",
    shards: Annotated[
        int | None, typer.Option(help="For millions of rows: cluster about so many parts.", show_default=False)
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Column that tells which responses are hallucinated, for the report.", show_default=False),
    ] = None,
    near: Annotated[float, typer.Option(help="Likeness from which on the report calls rows near copies.")] = 0.95,
    drop_copies: Annotated[bool, typer.Option(help="Never keep an exact copy, nor pay for it.")] = True,
    request: Annotated[str | None, typer.Option(help="Column of requests.", show_default=False)] = None,
    response: Annotated[str | None, typer.Option(help="Column of responses.", show_default=False)] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of your own ids.", show_default=False)] = None,
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
    device: Annotated[str, typer.Option(help="Of local models: auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
) -> None:
    """Cluster instructions, have a teacher rank each cluster in one prompt, and keep the best of each."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.instruct import instruct

    with Terminal() as monitor:
        result = instruct(
            data,
            output=output,
            teacher=teacher,
            model=model,
            names=names,
            truth=truth,
            request=request,
            response=response,
            id_column=id_column,
            dry_run=dry_run,
            device=device,
            monitor=monitor,
            method=method,
            keep=_budget(keep, clusters),
            max_size=max_size,
            embedder=embedder,
            part=part,
            shards=shards,
            criteria=tuple(criteria or ("factuality", "clarity")),
            permutations=permutations,
            malformed=malformed,
            max_tokens=max_tokens,
            max_characters=max_characters,
            temperature=temperature_of(temperature),
            least_score=least_score,
            compare=tuple(name for name in (compare or "").split(",") if name),
            near=near,
            drop_copies=drop_copies,
            seed=seed,
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
    for line in estimate_lines(result.metrics, output) if dry_run else lines(result.metrics):
        typer.echo(line)
    if not dry_run:
        typer.echo(f"kept:   {result.kept}")
        typer.echo(f"report: {result.report}")


def lines(metrics: dict[str, Any]) -> list[str]:
    """What a selection came to, for the terminal."""
    told = [f"kept {metrics['kept']:,} of {metrics['rows']:,} rows with {metrics['method']}"]
    if "clusters" in metrics:
        clusters, answers = metrics["clusters"], metrics["answers"]
        told.append(
            f"{clusters['count']:,} clusters: {clusters['ranked']:,} ranked, {clusters['dropped']:,} dropped whole, "
            f"{answers['malformed']:,} whose answer could not be read"
        )
    cost = metrics["cost"]
    if cost:
        told.append(cost_line("teacher", cost))
    if "hallucinated" in metrics:
        shares = metrics["hallucinated"]
        told.append(f"hallucinated: {_share(shares['before'])} of all rows, {_share(shares['kept'])} of those kept")
    for name, other in metrics["others"].items():
        known = f", {_share(other['hallucinated'])} hallucinated" if "hallucinated" in other else ""
        told.append(f"  {name} would share {other['shared']:,} of them{known}")
    return told


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _budget(keep: str | None, clusters: int | None) -> int | float | None:
    """A count or a share; clusters are the count of the method that makes them."""
    from goodgrain.errors import InputError

    if clusters is not None and keep is not None:
        raise InputError("--clusters and --keep say the same. Give one of them.")
    if keep is None:
        return clusters
    return parse_keep(keep)[0]
