"""`goodgrain instruct evaluate`: what a language model knows, and whose answers are preferred."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodgrain.cli.instruct_preference import preference

evaluate_app = typer.Typer(
    help="Evaluate a language model: mmlu (knowledge) or preference (against another's answers).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
evaluate_app.command("preference")(preference)


@evaluate_app.command("mmlu")
def mmlu(
    model: Annotated[str, typer.Option(help="A folder with a language model and its tokenizer, or a name on the hub.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("mmlu"),
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Parquet, CSV or JSONL with split, subject, question, A, B, C, D, answer. [default: from the hub]",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[int, typer.Option(help="Examples before each question.")] = 5,
    limit: Annotated[int | None, typer.Option(help="Questions of each subject at most.", show_default=False)] = None,
    batch_size: Annotated[int, typer.Option(help="Questions at a time.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Accuracy on MMLU, over all questions and by subject, through the lm-eval harness."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.evaluate_mmlu import evaluate_mmlu

    with Terminal() as monitor:
        result = evaluate_mmlu(
            model,
            output=output,
            questions=questions,
            shots=shots,
            limit=limit,
            batch_size=batch_size,
            device=device,
            monitor=monitor,
        )
    metrics = result.metrics
    typer.echo(
        f"MMLU: {result.accuracy:.1%} ± {result.standard_error:.1%} of {metrics['questions']:,} questions, "
        f"{len(metrics['subjects'])} subjects; guessing gives 25%"
    )
    typer.echo(f"by subject: {output / 'metrics.json'}")
