"""Fine-tune a language model on instructions, with the text's configuration (section 6.4.1)."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from goodgrain.data.instructions import Instructions, read_instructions
from goodgrain.errors import InputError, UnknownName
from goodgrain.models.chat_model import load_causal, quiet
from goodgrain.models.encoders.encoder import library
from goodgrain.pipelines.embed_model import fingerprint_of
from goodgrain.pipelines.finetune_config import FinetuneConfig
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import FollowedRun, RunFolder

MODEL = "model"
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '### ' + message['role'] | capitalize + ':\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\\n\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"
)
"""The chat format of a base model that has none."""

_LORA_ALPHA = 2  # times the rank


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning made.

    Args:
        folder: the run folder.
        model: the folder of the model, for transformers, `goodgrain instruct answer` and `evaluate`.
        metrics: what metrics.json holds.
    """

    folder: Path
    model: Path
    metrics: dict[str, Any]


def finetune(
    data: str | Path | Instructions,
    *,
    model: str,
    output: str | Path,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> FinetuneResult:
    """Fine-tune a causal language model to say the responses of instructions (TRL's SFT, PEFT's LoRA).

    The loss is that of the responses alone. A run that was stopped continues from the last epoch when it is called
    again with the same arguments. Under `accelerate launch` or `torchrun` each process takes its own device.

    Args:
        data: the instructions, such as `kept.json` of a selection.
        model: a folder with a model and its tokenizer, or a name on the hub; weights are read as safetensors only.
        output: the run folder.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.
        **config: everything in `FinetuneConfig`.

    Returns:
        Where the model is, and the loss of each epoch.

    Raises:
        InputError: data, a model or a value that cannot work.
        UnknownName: an argument that there is not.
        MissingExtra: transformers, trl, peft or datasets is not installed.
    """
    unknown = next((name for name in config if name not in FinetuneConfig.__dataclass_fields__), None)
    if unknown is not None:
        raise UnknownName("argument", unknown, FinetuneConfig.__dataclass_fields__)
    asked, watch = FinetuneConfig(**config), monitor or Silent()
    for package in ("trl", "datasets", *(["peft"] if asked.lora else [])):
        library(package, "finetune")
    instructions = data if isinstance(data, Instructions) else read_instructions(data)
    table = {
        "job": "finetune",
        "data": str(instructions.path),
        "model": model,
        "finetune": asdict(asked),
        "fingerprint": {"data": instructions.fingerprint(), "model": fingerprint_of(model)},
    }
    first = os.environ.get("RANK", "0") == "0"
    with (RunFolder if first else FollowedRun)(output, table) as run:
        run.log("started", rows=len(instructions))
        if not run.has("metrics.json"):
            with _quietly():
                metrics = _train(run, instructions, model, asked, device, watch)
            run.write_json("metrics.json", metrics)
            shutil.rmtree(run.path("checkpoints"), ignore_errors=True)
            run.log("finished")
        return FinetuneResult(run.folder, run.folder / MODEL, run.read_json("metrics.json") if first else {})


def _train(
    run: RunFolder, instructions: Instructions, name: str, asked: FinetuneConfig, device: str, watch: Monitor
) -> dict[str, Any]:
    datasets, trl = library("datasets", "finetune"), library("trl", "finetune")
    last_checkpoint = library("transformers.trainer_utils", "finetune").get_last_checkpoint
    watch.stage(f"loading {name}")
    network, tokenizer = load_causal(name)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = []
    for position in range(len(instructions)):
        messages = instructions.messages(position)
        rows.append({"prompt": messages[:-1], "completion": messages[-1:]})
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    at_a_time = min(asked.device_batch, asked.batch_size)
    folder = run.path("checkpoints")
    settings = trl.SFTConfig(
        output_dir=str(folder),
        num_train_epochs=asked.epochs,
        per_device_train_batch_size=at_a_time,
        gradient_accumulation_steps=max(1, round(asked.batch_size / (at_a_time * processes))),
        learning_rate=asked.lr,
        lr_scheduler_type="cosine",
        weight_decay=asked.weight_decay,
        adam_beta1=asked.betas[0],
        adam_beta2=asked.betas[1],
        max_length=asked.max_length,
        completion_only_loss=True,
        gradient_checkpointing=asked.checkpointing,
        bf16=asked.precision == "bf16",
        use_cpu=device == "cpu" or (device == "auto" and not torch.cuda.is_available()),
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=asked.seed,
    )
    trainer = trl.SFTTrainer(
        model=network,
        args=settings,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=_adapters(asked),
        callbacks=[_teller(watch, asked.epochs)],
    )
    trainer.remove_callback(library("transformers", "finetune").PrinterCallback)
    lengths = [len(row) for row in trainer.train_dataset["input_ids"]]
    if not lengths:
        raise InputError(f"no response begins within the first {asked.max_length} tokens. Give a larger max_length.")
    watch.stage(f"fine-tuning on {len(lengths):,} rows, {sum(lengths):,} tokens an epoch")
    trainer.train(resume_from_checkpoint=last_checkpoint(str(folder)) if folder.is_dir() else None)
    weights = [(one.numel(), one.requires_grad) for one in trainer.model.parameters()]
    if trainer.is_world_process_zero():
        _write_model(run, trainer, tokenizer, asked)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "rows": len(lengths),
        "left_out": len(rows) - len(lengths),
        "cut": sum(length >= asked.max_length for length in lengths),
        "tokens_an_epoch": sum(lengths),
        "steps": trainer.state.global_step,
        "loss_by_epoch": losses,
        "weights": sum(count for count, _ in weights),
        "weights_trained": sum(count for count, trained in weights if trained),
    }


def _adapters(asked: FinetuneConfig) -> Any:
    if asked.lora is None:
        return None
    return library("peft", "finetune").LoraConfig(
        r=asked.lora, lora_alpha=_LORA_ALPHA * asked.lora, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _write_model(run: RunFolder, trainer: Any, tokenizer: Any, asked: FinetuneConfig) -> None:
    """The model appears whole; with adapters that are merged, these lie beside it."""
    network = trainer.accelerator.unwrap_model(trainer.model)
    parts = {"adapter": network} if asked.lora and asked.merge else {MODEL: network}
    for name, one in parts.items():
        _write_folder(run, name, one, tokenizer)
    if asked.lora and asked.merge:
        _write_folder(run, MODEL, network.merge_and_unload(), tokenizer)


def _write_folder(run: RunFolder, name: str, network: Any, tokenizer: Any) -> None:
    part = run.path(f".{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    network.save_pretrained(part, safe_serialization=True)
    tokenizer.save_pretrained(part)
    shutil.rmtree(run.folder / name, ignore_errors=True)
    part.rename(run.folder / name)


def _teller(watch: Monitor, epochs: int) -> Any:
    base: Any = library("transformers", "finetune").TrainerCallback

    class Teller(base):  # type: ignore[misc]
        """Passes steps on to the monitor."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self.after = watch.training("fine-tuning", epochs)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            steps = max(1, state.max_steps // epochs)
            step = state.global_step - 1
            loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
            terms = {} if loss is None else {"loss": loss}
            self.after(min(step // steps, epochs - 1), step % steps, steps, terms)

    return Teller()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without progress bars, and without warnings of names that transformers renamed and trl and peft still use."""
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="`(is_)?gradient_checkpointing.*` is deprecated", category=FutureWarning
        )
        bars = library("datasets", "finetune")
        shown = bars.are_progress_bars_enabled() if hasattr(bars, "are_progress_bars_enabled") else False
        bars.disable_progress_bars()
        try:
            yield
        finally:
            if shown:
                bars.enable_progress_bars()
