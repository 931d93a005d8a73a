"""`goodgrain instruct`: keep the clean, diverse, good instructions, fine-tune on them, and see what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.cli.instruct_evaluate import evaluate_app
from goodgrain.cli.instruct_finetune import finetune
from goodgrain.cli.instruct_preference import answer
from goodgrain.cli.prune import parse_keep

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
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the teacher may cost, earlier tries included.", show_default=False),
    ] = None,
    input_usd: Annotated[
        float | None, typer.Option(help="Price per million tokens of prompts.", show_default=False)
    ] = None,
    output_usd: Annotated[
        float | None, typer.Option(help="Price per million tokens of answers.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask nothing: tell prompts, tokens and price.")] = False,
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
    max_tokens: Annotated[int, typer.Option(help="Of an answer, reasoning included.")] = 512,
    max_characters: Annotated[int, typer.Option(help="Of each text that the teacher sees.")] = 6000,
    temperature: Annotated[float, typer.Option(help="Of the teacher's sampling; -1 leaves it to the server.")] = 0.0,
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
            temperature=None if temperature == -1 else temperature,
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
            api_key_env=None if api_key_env.lower() == "none" else api_key_env,
            cache=cache,
        )
    for line in dry_lines(result.metrics, output) if dry_run else lines(result.metrics):
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
        money = "" if cost["spent_usd"] is None else f", ${cost['spent_usd']:.4f}"
        told.append(
            f"the teacher: {cost['paid_calls']:,} calls, {cost['input_tokens']:,} tokens in, "
            f"{cost['output_tokens']:,} out{money}"
        )
    if "hallucinated" in metrics:
        shares = metrics["hallucinated"]
        told.append(f"hallucinated: {_share(shares['before'])} of all rows, {_share(shares['kept'])} of those kept")
    for name, other in metrics["others"].items():
        known = f", {_share(other['hallucinated'])} hallucinated" if "hallucinated" in other else ""
        told.append(f"  {name} would share {other['shared']:,} of them{known}")
    return told


def dry_lines(estimate: dict[str, Any], output: Path) -> list[str]:
    """What the teacher would take, for the terminal."""
    new = estimate["requests"] - estimate["cached"]
    told = [f"{new:,} prompts to send" + (f"; {estimate['cached']:,} are answered already" * bool(estimate["cached"]))]
    told.append(
        f"tokens in:  about {estimate['input_tokens']:,}, at most {estimate['most_input_tokens']:,}\n"
        f"tokens out: about {estimate['output_tokens']:,}, at most {estimate['most_output_tokens']:,}"
    )
    if estimate["likely_usd"] is None:
        told.append("price:      not known; give --input-usd and --output-usd, per million tokens")
    else:
        told.append(f"price:      about ${estimate['likely_usd']:.4f}, at most ${estimate['most_usd']:.4f}")
    told.append(f"prompts:    {output / 'prompts.jsonl'} holds some of them; nothing was sent")
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
