"""Fine-tuning of causal language models: the house's recipe and files around TRL's training loop."""

from __future__ import annotations

import math
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from goodgrain.errors import InputError
from goodgrain.learn.chat_tokens import IGNORED, ChatTokens
from goodgrain.learn.engine import Engine
from goodgrain.models.chat_model import load_causal, quiet
from goodgrain.models.encoders.encoder import library

_COMPLETE = "complete"  # lies in a checkpoint that was written to its end
_SCHEMA = pa.schema({"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())})
_LORA_ALPHA = 2  # times the rank


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How weights are trained.

    Args:
        epochs: how often training goes through the rows.
        device_batch: rows that a device works on at a time.
        accumulate: how many such parts a device adds up to a step.
        lr: the first learning rate; it falls to 0 along half a cosine.
        weight_decay: of AdamW, for all weights but biases and those of norms.
        betas: of AdamW.
        max_grad_norm: a longer gradient is shortened to it.
        lora: rank of low-rank adapters on all linear layers; None to train all weights.
        bf16: whether matrices are multiplied in bfloat16; weights that are trained stay in float32.
        checkpointing: whether activations are computed again in the backward pass, to save memory.
        save_every: steps between checkpoints.
        seed: of the order of rows, and of the adapters.
    """

    epochs: int
    device_batch: int
    accumulate: int
    lr: float
    weight_decay: float
    betas: tuple[float, float]
    max_grad_norm: float
    lora: int | None
    bf16: bool
    checkpointing: bool
    save_every: int
    seed: int


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Args:
        losses: (steps,) mean loss over the response tokens of each step, in nats.
        steps_per_epoch: of these.
        weights: how many the model has, adapters included.
        trained: how many of them were trained.
    """

    losses: list[float]
    steps_per_epoch: int
    weights: int
    trained: int

    @property
    def loss_by_epoch(self) -> list[float]:
        """Means over the steps of each epoch."""
        size = self.steps_per_epoch
        return [
            sum(part) / len(part) for part in (self.losses[at : at + size] for at in range(0, len(self.losses), size))
        ]


def check_devices(engine: Engine) -> None:
    """Refuse several GPUs in one process, where the trainer would copy the model to each at every step."""
    count = torch.cuda.device_count()
    if engine.device.type == "cuda" and engine.processes == 1 and count > 1:
        raise InputError(
            f"one process sees {count} GPUs. Put torchrun --nproc-per-node {count} -m before goodgrain to use all of "
            "them, or set CUDA_VISIBLE_DEVICES=0 to use one."
        )


def write_tokens(path: Path, blocks: Iterable[list[ChatTokens]]) -> dict[str, int]:
    """Write what can be learned as Arrow, to be read from disk while training, and count.

    Returns:
        Each outcome's count, and "tokens" and "response_tokens" of an epoch.
    """
    counts: Counter[str] = Counter(tokens=0, response_tokens=0)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as stream:
        for block in blocks:
            counts.update(one.outcome for one in block)
            usable = [one for one in block if one.input_ids]
            for one in usable:
                counts["tokens"] += len(one.input_ids)
                counts["response_tokens"] += sum(label != IGNORED for label in one.labels)
            columns = {"input_ids": [one.input_ids for one in usable], "labels": [one.labels for one in usable]}
            stream.write_batch(pa.RecordBatch.from_pydict(columns, schema=_SCHEMA))
    return dict(counts)


def train_tokens(
    network: Any,
    tokenizer: Any,
    tokens: Path,
    folder: Path,
    recipe: Recipe,
    engine: Engine,
    *,
    save: Path,
    on_step: Callable[[int, int, float, float], None],
) -> Trained:
    """Train a language model on tokens, from the last complete checkpoint if there is one, and save it.

    Args:
        network: a causal language model; it is changed.
        tokenizer: saved beside it.
        tokens: what `write_tokens` wrote.
        folder: of the checkpoints; what a killed process left half written there is deleted.
        recipe: how.
        engine: where; every process of a launcher calls this with the same arguments.
        save: a folder for the model, or for its adapters; the main process writes it.
        on_step: gets the number of steps done, those of an epoch, the step's loss, and its learning rate.

    Raises:
        InputError: the loss is no longer a number.
    """
    datasets, trl = library("datasets", "finetune"), library("trl", "finetune")
    network.to(torch.bfloat16 if recipe.lora and recipe.bf16 else torch.float32)
    rows = datasets.Dataset.from_file(str(tokens))
    with engine.repeatable(), _own_generators(), _quiet():
        trainer = trl.SFTTrainer(
            model=network,
            args=_settings(recipe, engine, folder),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=_adapters(recipe),
            callbacks=[_watcher(engine, on_step)],
        )
        trainer.remove_callback(library("transformers", "finetune").PrinterCallback)
        if engine.main:
            _drop_incomplete(folder)
        engine.wait()
        trainer.train(resume_from_checkpoint=_last(folder))
        trainer.save_model(str(save))  # every process takes part where weights are divided among them
    if engine.main:
        (save / "training_args.bin").unlink(missing_ok=True)  # a pickle, of what config.toml says
    engine.wait()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    sizes = [(one.numel(), one.requires_grad) for one in trainer.model.parameters()]
    return Trained(
        losses=losses,
        steps_per_epoch=trainer.state.max_steps // recipe.epochs,
        weights=sum(size for size, _ in sizes),
        trained=sum(size for size, learns in sizes if learns),
    )


def merge_adapters(name: str, adapters: Path, target: Path) -> None:
    """Add adapters to the weights of their base model, in float32, and save a model without them.

    Args:
        name: of the base model.
        adapters: the folder of the adapters and the tokenizer.
        target: a folder for the model and the tokenizer.
    """
    peft, transformers = library("peft", "finetune"), library("transformers", "finetune")
    with _quiet():
        base, _ = load_causal(name)
        whole = peft.PeftModel.from_pretrained(base.to(torch.float32), str(adapters)).merge_and_unload()
        whole.save_pretrained(target)
        transformers.AutoTokenizer.from_pretrained(adapters).save_pretrained(target)


def _settings(recipe: Recipe, engine: Engine, folder: Path) -> Any:
    trl = library("trl", "finetune")
    cuda = engine.device.type == "cuda"
    return trl.SFTConfig(
        output_dir=str(folder),
        use_cpu=engine.device.type == "cpu",
        bf16=recipe.bf16,
        fp16=False,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.device_batch,
        gradient_accumulation_steps=recipe.accumulate,
        optim="adamw_torch",
        learning_rate=recipe.lr,
        lr_scheduler_type="cosine",
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        max_grad_norm=recipe.max_grad_norm,
        gradient_checkpointing=recipe.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=recipe.seed,
        dataset_kwargs={"skip_prepare_dataset": True},  # tokens and labels are made already
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=2,  # the last one that is complete, and one that is being written
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
        report_to="none",
    )


def _adapters(recipe: Recipe) -> Any:
    if recipe.lora is None:
        return None
    return library("peft", "finetune").LoraConfig(
        r=recipe.lora, lora_alpha=_LORA_ALPHA * recipe.lora, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _watcher(engine: Engine, on_step: Callable[[int, int, float, float], None]) -> Any:
    """Tells each step, and marks each checkpoint that is complete."""

    class Watcher(library("transformers", "finetune").TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:  # noqa: ARG002
            if "loss" not in logs:
                return
            if not math.isfinite(logs["loss"]):
                raise InputError(f"the loss is {logs['loss']} after step {state.global_step}. Give a smaller lr.")
            steps = int(state.max_steps // args.num_train_epochs)
            on_step(state.global_step, steps, logs["loss"], logs["learning_rate"])

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            engine.wait()
            if engine.main:
                Path(args.output_dir, f"checkpoint-{state.global_step}", _COMPLETE).touch()

    return Watcher()


def _drop_incomplete(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / _COMPLETE).is_file():
            shutil.rmtree(checkpoint)


def _last(folder: Path) -> str | None:
    steps = {int(checkpoint.name.rpartition("-")[2]): checkpoint for checkpoint in folder.glob("checkpoint-*")}
    return str(steps[max(steps)]) if steps else None


@contextmanager
def _own_generators() -> Iterator[None]:
    """The trainer seeds the generators of Python and NumPy, which are the caller's."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice on settings, and without the message on each training that trl sends to its makers."""
    constants = library("huggingface_hub", "finetune").constants
    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with quiet(), warnings.catch_warnings():
            # transformers 5.2x renames these settings to activation_checkpointing; trl, peft and older ones know these
            warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing\w*` is deprecated", FutureWarning)
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before
