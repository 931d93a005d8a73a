"""All that a fine-tuning can be asked, checked before anything heavy starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from goodgrain.checks import check_count, check_within, lookup
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.engine import Engine
from goodgrain.learn.finetuning import Recipe

AUTO = "auto"
PRECISIONS = {AUTO: None, "float32": False, "bf16": True}

_LR, _LORA_LR = 1e-5, 1e-4  # adapters start at zero and are few: the usual rate is ten times that of all weights


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a model is fine-tuned; the defaults are those of the text (section 6.4.1).

    Args:
        epochs: how often training goes through the rows.
        batch_size: rows a step, over all devices.
        device_batch: rows that a device works on at a time; gradients of several are added up to a step.
        lr: the first learning rate, which falls to 0 along half a cosine; None for 1e-5, or 1e-4 with `lora`.
        weight_decay: of AdamW.
        betas: of AdamW.
        max_grad_norm: a longer gradient is shortened to it.
        max_length: most tokens of a row; the end of a longer one is cut off.
        lora: rank of low-rank adapters (PEFT) on all linear layers; None to train all weights.
        merge: with `lora`, whether the model is saved with its adapters added in, and these beside it.
        precision: "float32", "bf16" (mixed), or "auto": bf16 where the device can.
        checkpointing: whether activations are computed again in the backward pass, to save memory.
        save_every: steps between the checkpoints that a stopped run continues from.
        seed: of the order of rows, and of the adapters.

    Raises:
        InputError: a value outside its range, or merge without adapters.
        UnknownName: no such precision.
    """

    epochs: int = 3
    batch_size: int = 64
    device_batch: int = 4
    lr: float | None = None
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    max_length: int = 2048
    lora: int | None = None
    merge: bool = False
    precision: str = AUTO
    checkpointing: bool = False
    save_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all that can be checked without data and model."""
        for name in ("epochs", "batch_size", "device_batch", "save_every"):
            check_count(name, getattr(self, name))
        check_count("max_length", self.max_length, least=2)
        check_count("seed", self.seed, least=0)
        if self.lr is None:
            object.__setattr__(self, "lr", _LR if self.lora is None else _LORA_LR)
        check_within("lr", float(self.lr or 0), above=0)
        check_within("max_grad_norm", self.max_grad_norm, above=0)
        if not 0 <= self.weight_decay <= 1:
            raise InputError(f"weight_decay should be from 0 to 1; {self.weight_decay!r} came.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas should be two numbers from 0 to below 1; {self.betas!r} came.")
        lookup("precision", PRECISIONS, self.precision)
        if self.lora is not None:
            check_count("lora", self.lora)
        elif self.merge:
            raise InputError("merge adds adapters to the weights, but all weights are trained. Give lora, their rank.")

    def bf16(self, engine: Engine) -> bool:
        """Whether matrices are multiplied in bfloat16 there."""
        return uses_bf16(self.precision, engine)

    def table(self, engine: Engine) -> dict[str, Any]:
        """All of it as plain values for config.toml, with the precision that the device gives."""
        return asdict(self) | {"precision": "bf16" if self.bf16(engine) else "float32"}

    def recipe(self, engine: Engine) -> Recipe:
        """What the training is told, on so many devices.

        Raises:
            InputError: the batch cannot be divided equally.
        """
        part = min(self.device_batch, self.batch_size)
        if self.batch_size % (part * engine.processes):
            raise InputError(
                f"batch_size={self.batch_size} cannot be made of parts of {part} rows on {engine.processes} "
                f"device{'s' * (engine.processes > 1)}. Give a multiple of {part * engine.processes}, or another "
                "device_batch."
            )
        names = (
            "epochs",
            "lr",
            "weight_decay",
            "betas",
            "max_grad_norm",
            "lora",
            "checkpointing",
            "save_every",
            "seed",
        )
        return Recipe(
            device_batch=part,
            accumulate=self.batch_size // (part * engine.processes),
            bf16=self.bf16(engine),
            **{name: getattr(self, name) for name in names},
        )


def uses_bf16(precision: str, engine: Engine) -> bool:
    """Whether "auto", "float32" or "bf16" means bfloat16 on a device.

    Example:
        >>> uses_bf16("auto", Engine("cpu"))
        False
    """
    chosen = PRECISIONS[precision]
    return engine.device.type == "cuda" and torch.cuda.is_bf16_supported() if chosen is None else chosen


def check_finetune(config: dict[str, Any]) -> FinetuneConfig:
    """The configuration, or an error that offers the nearest name."""
    known = FinetuneConfig.__dataclass_fields__
    for name in config:
        if name not in known:
            raise UnknownName("argument of finetune", name, known)
    return FinetuneConfig(**config)
