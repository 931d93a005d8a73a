"""Fine-tune a language model on instructions: read, tokenize, train, save."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodgrain.data.instructions import Instructions, read_instructions
from goodgrain.errors import InputError
from goodgrain.learn.chat_tokens import CUT, REWRITTEN, TOO_LONG, WHOLE, ChatTokens, chat_tokens, with_format
from goodgrain.learn.engine import Engine
from goodgrain.learn.finetuning import Trained, check_devices, merge_adapters, train_tokens, write_tokens
from goodgrain.models.chat_model import load_causal
from goodgrain.models.encoders.encoder import library
from goodgrain.pipelines.embed_model import fingerprint_of
from goodgrain.pipelines.finetune_config import FinetuneConfig, check_finetune
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import FollowedRun, RunFolder

MODEL, ADAPTER = "model", "adapter"
_METRICS = "metrics.json"
_CHECKPOINTS = "checkpoints"
_TOKENS = f"{_CHECKPOINTS}/tokens.arrow"
_COUNTS = f"{_CHECKPOINTS}/tokens.json"
_BLOCK = 256  # rows that are tokenized at a time


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What a fine-tuning made.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def model(self) -> Path:
        """The folder of the model in safetensors with its tokenizer, or of adapters that were not merged."""
        return self.folder / MODEL


def finetune(
    data: str | Path | Instructions,
    *,
    model: str | Path,
    output: str | Path,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> FinetuneResult:
    """Fine-tune a causal language model to give the responses of instructions (section 6.4.1).

    The loss is about the last response of each row alone, in the chat format of the model's tokenizer; a base model
    without one gets `goodgrain.learn.chat_tokens.PLAIN_FORMAT`, which is saved with it. The training loop is TRL's
    SFTTrainer, adapters are PEFT's. A run that was stopped in any way continues from its last checkpoint when it is
    called again with the same arguments, and ends with the same weights on a CPU. Under `accelerate launch` or
    torchrun the processes share each batch, and the main one writes.

    Args:
        data: the instructions or where they are, such as what a selection kept.
        model: a folder with a causal language model and its tokenizer, or its name on the hub. Weights are read as
            safetensors only, and no code of a model's author is run.
        output: the run folder: model/ (weights, or adapters where they are not merged), metrics.json, log.jsonl.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.
        **config: everything in `goodgrain.pipelines.finetune_config.FinetuneConfig`.

    Returns:
        Where the model is, and the metrics: loss of each epoch in nats per response token (mean over its steps), tokens
        of an epoch, and rows that were cut at max_length or left out.

    Raises:
        InputError: data, a model or a value that cannot work, or a loss that is no longer a number.
        UnknownName: an argument that there is not.
        MissingExtra: transformers, trl, peft or datasets is not installed.
    """
    asked, watch = check_finetune(config), monitor or Silent()
    for package in ("trl", "datasets", *(["peft"] if asked.lora else [])):
        library(package, "finetune")
    engine = Engine(device)
    check_devices(engine)
    asked.recipe(engine)  # refuses a batch that cannot be divided, before anything is read
    watch.stage("reading the instructions")
    instructions = data if isinstance(data, Instructions) else read_instructions(data)
    table = {
        "job": "finetune",
        "data": str(instructions.path),
        "model": str(model),
        "finetune": asked.table(engine),
        "fingerprint": {"data": instructions.fingerprint(), "model": fingerprint_of(model)},
    }
    with (RunFolder if engine.main else FollowedRun)(output, table) as run:  # under a launcher, one process writes
        if not engine.told(run.has(_METRICS)):
            run.log("started", rows=len(instructions))
            place = Path(model)  # adapters keep where their base is, for whoever loads them from another folder
            name = str(place.resolve()) if place.is_dir() else str(model)
            _finetune(run, instructions, name, asked, engine, watch)
            run.log("finished")
        engine.wait()
        return FinetuneResult(Path(output), run.read_json(_METRICS))


def _finetune(
    run: RunFolder, instructions: Instructions, name: str, asked: FinetuneConfig, engine: Engine, watch: Monitor
) -> None:
    watch.stage(f"loading {name}")
    network, tokenizer = load_causal(name)
    with_format(tokenizer, name)
    places = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    longest = min(asked.max_length, places or asked.max_length)
    if engine.main and not run.has(_TOKENS):
        watch.stage(f"tokenizing {len(instructions):,} rows")
        counts: dict[str, int] = {}
        run.write(
            f"{_TOKENS}.new", lambda part: counts.update(write_tokens(part, _blocks(instructions, tokenizer, longest)))
        )
        run.write_json(_COUNTS, counts)
        (run.folder / f"{_TOKENS}.new").replace(run.folder / _TOKENS)
    engine.wait()
    counts = {WHOLE: 0, CUT: 0, TOO_LONG: 0, REWRITTEN: 0} | run.read_json(_COUNTS)
    rows = counts[WHOLE] + counts[CUT]
    if not rows:
        raise InputError(
            f"none of the {len(instructions)} rows can be learned: of {counts[TOO_LONG]} the response would begin "
            f"after {longest} tokens, and {counts[REWRITTEN]} do not fit the chat format of {name}."
        )
    watch.stage(f"fine-tuning on {rows:,} rows, {counts['tokens']:,} tokens an epoch")
    part = run.path(f".{MODEL}.part")
    trained = train_tokens(
        network, tokenizer, run.folder / _TOKENS, run.folder / _CHECKPOINTS, asked.recipe(engine), engine,
        save=part, on_step=_teller(run, watch, asked.epochs),
    )  # fmt: skip
    if engine.main:
        _place(run, part, name, asked)
        run.write_json(_METRICS, _metrics(counts, trained, longest))
        shutil.rmtree(run.folder / _CHECKPOINTS)


def _blocks(instructions: Instructions, tokenizer: Any, longest: int) -> Iterator[list[ChatTokens]]:
    for start in range(0, len(instructions), _BLOCK):
        positions = range(start, min(start + _BLOCK, len(instructions)))
        yield chat_tokens([instructions.messages(position) for position in positions], tokenizer, longest)


def _teller(run: RunFolder, watch: Monitor, epochs: int) -> Callable[[int, int, float, float], None]:
    after = watch.training("fine-tuning", epochs)

    def tell(done: int, steps: int, loss: float, lr: float) -> None:
        run.log("step", step=done, loss=loss, lr=lr)
        after((done - 1) // steps, (done - 1) % steps, steps, {"loss": loss})

    return tell


def _place(run: RunFolder, part: Path, name: str, asked: FinetuneConfig) -> None:
    """Give what was trained its name, at once; adapters that are merged come to lie beside the model."""
    shutil.rmtree(run.folder / MODEL, ignore_errors=True)  # of a process that was killed right after
    if asked.merge:
        merged = run.path(f".merged-{MODEL}.part")
        shutil.rmtree(merged, ignore_errors=True)
        merge_adapters(name, part, merged)
        shutil.rmtree(run.folder / ADAPTER, ignore_errors=True)
        part.replace(run.folder / ADAPTER)
        part = merged
    part.replace(run.folder / MODEL)


def _metrics(counts: dict[str, int], trained: Trained, longest: int) -> dict[str, Any]:
    return {
        "rows": counts[WHOLE] + counts[CUT],
        "rows_cut": counts[CUT],
        "rows_left_out": {"response_begins_too_late": counts[TOO_LONG], "not_in_the_chat_format": counts[REWRITTEN]},
        "max_length": longest,
        "tokens_per_epoch": counts["tokens"],
        "response_tokens_per_epoch": counts["response_tokens"],
        "steps": len(trained.losses),
        "loss_by_epoch": trained.loss_by_epoch,
        "weights": trained.weights,
        "weights_trained": trained.trained,
    }
