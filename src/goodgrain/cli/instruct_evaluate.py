"""`goodgrain instruct evaluate`: what a language model knows, and whose answers are preferred."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.cli.instruct_preference import preference

evaluate_app = typer.Typer(
    help="Evaluate a language model: mmlu (what it knows) or preference (against another's answers).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
evaluate_app.command("preference")(preference)


@evaluate_app.command("mmlu")
def mmlu(
    model: Annotated[
        str,
        typer.Option(
            help="A folder with a causal language model and its tokenizer, or adapters; or a name on the hub."
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("mmlu"),
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Parquet, CSV or JSONL with split (test, dev), subject, question, A, B, C, D and answer. "
            "[default: from the hub]",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[int, typer.Option(help="Examples of the same subject before each question.")] = 5,
    limit: Annotated[int | None, typer.Option(help="Most questions of a subject.", show_default=False)] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts at a time.")] = 8,
    precision: Annotated[str, typer.Option(help="float32, bf16, or auto: bf16 where the device can.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Accuracy on MMLU's questions, through the lm-eval harness."""
    from goodgrain.cli.terminal import Terminal
    from goodgrain.pipelines.evaluate_mmlu import evaluate_mmlu

    with Terminal() as monitor:
        found = evaluate_mmlu(
            model,
            output=output,
            questions=questions,
            shots=shots,
            limit=limit,
            batch_size=batch_size,
            precision=precision,
            device=device,
            monitor=monitor,
        )
    for line in mmlu_lines(found.metrics):
        typer.echo(line)
    typer.echo(f"answers:  {found.folder / 'answers.parquet'}")


def mmlu_lines(metrics: dict[str, Any]) -> list[str]:
    """What a model scored, for the terminal.

    Example:
        >>> subject = {"accuracy": 0.5, "standard_error": 0.1, "questions": 2}
        >>> print(mmlu_lines({"accuracy": 0.5, "standard_error": 0.1, "accuracy_over_subjects": 0.5, "questions": 2,
        ...                   "prompts_cut": 0, "subjects": {"law": subject}})[0])
        accuracy: 50.0 % ± 10.0 (standard error) over 2 questions of 1 subjects; chance is 25 %
    """
    error = metrics["standard_error"]
    spread = "" if error is None else f" ± {100 * error:.1f} (standard error)"
    told = [
        f"accuracy: {100 * metrics['accuracy']:.1f} %{spread} over {metrics['questions']:,} questions of "
        f"{len(metrics['subjects'])} subjects; chance is 25 %",
        f"          {100 * metrics['accuracy_over_subjects']:.1f} % as the mean over subjects",
    ]
    if metrics["prompts_cut"]:
        told.append(
            f"          {metrics['prompts_cut']:,} prompts were too long for the model, and lost their beginning"
        )
    return told
