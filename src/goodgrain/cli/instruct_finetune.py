"""`goodgrain instruct finetune`: train a language model on what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def finetune(
    data: Annotated[Path, typer.Argument(help="Instructions, such as kept.json of a selection.", show_default=False)],
    model: Annotated[str, typer.Option(help="A folder with a language model and its tokenizer, or a name on the hub.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("finetuned"),
    epochs: Annotated[int, typer.Option(help="How often training goes through the rows.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows a step, over all devices.")] = 64,
    device_batch: Annotated[int, typer.Option(help="Rows that a device works on at a time.")] = 4,
    lr: Annotated[float, typer.Option(help="The highest learning rate; it falls along a cosine.")] = 1e-5,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.1,
    max_length: Annotated[int, typer.Option(help="Tokens of a row; what is longer is cut.")] = 2048,
    lora: Annotated[
        int | None,
        typer.Option(help="Train low-rank adapters of this rank. [default: all weights]", show_default=False),
    ] = None,
    merge: Annotated[bool, typer.Option(help="With --lora, also write the model with its adapters merged in.")] = False,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    checkpointing: Annotated[bool, typer.Option(help="Save memory, for time: compute activations again.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of order and adapters.")] = 0,
) -> None:
    """Fine-tune a language model on instructions; for many GPUs, put `accelerate launch -m` before `goodgrain`."""
    from goodgrain.cli.terminal import Terminal, say
    from goodgrain.pipelines.finetune import finetune as pipeline

    with Terminal() as monitor:
        result = pipeline(
            data,
            model=model,
            output=output,
            device=device,
            monitor=monitor,
            epochs=epochs,
            batch_size=batch_size,
            device_batch=device_batch,
            lr=lr,
            weight_decay=weight_decay,
            max_length=max_length,
            lora=lora,
            merge=merge,
            precision=precision,
            checkpointing=checkpointing,
            seed=seed,
        )
    if not result.metrics:
        return  # another process of the launcher tells
    metrics = result.metrics
    losses = ", ".join(f"{loss:.3f}" for loss in metrics["loss_by_epoch"])
    say(f"{metrics['rows']:,} rows, {metrics['cut']:,} of them cut; loss by epoch: {losses}")
    say(f"model: {result.model}")
    say(f"next:  goodgrain instruct evaluate mmlu --model {result.model}")
