"""`goodgrain instruct finetune`: train a language model on what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def finetune(
    data: Annotated[
        Path,
        typer.Argument(help="Instructions in any layout, such as what a selection kept.", show_default=False),
    ],
    model: Annotated[
        str,
        typer.Option(help="A folder with a causal language model and its tokenizer, or a name on the hub."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("finetuned"),
    lora: Annotated[
        int | None,
        typer.Option(help="Train low-rank adapters of this rank. [default: all weights]", show_default=False),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="With --lora, save a model that has its adapters in it.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="How often training goes through the rows.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows a step, over all devices.")] = 64,
    device_batch: Annotated[int, typer.Option(help="Rows that a device works on at a time.")] = 4,
    lr: Annotated[
        float | None,
        typer.Option(help="First learning rate of a cosine. [default: 1e-5; with --lora 1e-4]", show_default=False),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.1,
    max_length: Annotated[int, typer.Option(help="Most tokens of a row; the end of a longer one is cut off.")] = 2048,
    precision: Annotated[str, typer.Option(help="float32, bf16, or auto: bf16 where the device can.")] = "auto",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Compute activations twice instead of keeping them, to save memory.")
    ] = False,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the order of rows, and of the adapters.")] = 0,
) -> None:
    """Fine-tune a language model on instructions.

    On many GPUs, put torchrun --nproc-per-node N -m, or accelerate launch -m, before goodgrain.
    """
    from goodgrain.cli.terminal import Terminal, say
    from goodgrain.pipelines.finetune import finetune as pipeline

    with Terminal() as monitor:
        result = pipeline(
            data,
            model=model,
            output=output,
            device=device,
            monitor=monitor,
            lora=lora,
            merge=merge,
            epochs=epochs,
            batch_size=batch_size,
            device_batch=device_batch,
            lr=lr,
            weight_decay=weight_decay,
            max_length=max_length,
            precision=precision,
            checkpointing=checkpointing,
            save_every=save_every,
            seed=seed,
        )
    for line in finetune_lines(result.metrics):
        say(line)
    say(f"model:    {result.model}")
    say(f"next:     goodgrain instruct evaluate mmlu --model {result.model}")


def finetune_lines(metrics: dict[str, Any]) -> list[str]:
    """What a fine-tuning came to, for the terminal.

    Example:
        >>> for line in finetune_lines({"rows": 52000, "rows_cut": 3, "max_length": 2048, "tokens_per_epoch": 6200000,
        ...                             "loss_by_epoch": [1.21, 1.04], "weights": 10, "weights_trained": 10,
        ...                             "rows_left_out": {"response_begins_too_late": 1, "not_in_the_chat_format": 0}}):
        ...     print(line)
        52,000 rows, 6,200,000 tokens an epoch; 3 cut at 2,048 tokens, 1 left out
        loss by epoch: 1.210, 1.040; 100 % of the weights were trained
    """
    left_out = sum(metrics["rows_left_out"].values())
    losses = ", ".join(f"{loss:.3f}" for loss in metrics["loss_by_epoch"])
    share = 100 * metrics["weights_trained"] / metrics["weights"]
    return [
        f"{metrics['rows']:,} rows, {metrics['tokens_per_epoch']:,} tokens an epoch; {metrics['rows_cut']:,} cut at "
        f"{metrics['max_length']:,} tokens, {left_out:,} left out",
        f"loss by epoch: {losses}; {share:.3g} % of the weights were trained",
    ]
