"""All that a fine-tuning can be asked, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from goodgrain.checks import check_count, check_within, lookup
from goodgrain.errors import InputError
from goodgrain.learn.engine import PRECISIONS


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a model is fine-tuned; the defaults are the text's.

    Args:
        epochs: how often training goes through the rows.
        batch_size: rows a step, over all devices.
        device_batch: rows that a device works on at a time; the rest of the batch is accumulated.
        lr: the highest learning rate; it falls along a cosine.
        weight_decay: of AdamW.
        betas: of AdamW.
        max_length: tokens of a row; what is longer is cut at its end.
        lora: rank of low-rank adapters (PEFT) on all linear layers; None to train all weights.
        merge: with `lora`, also write the model with its adapters merged in.
        precision: "float32" or "bf16".
        checkpointing: compute activations again in the backward pass, to save memory.
        seed: of order and adapters.

    Raises:
        InputError: a value outside its range.
    """

    epochs: int = 3
    batch_size: int = 64
    device_batch: int = 4
    lr: float = 1e-5
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_length: int = 2048
    lora: int | None = None
    merge: bool = False
    precision: str = "float32"
    checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("epochs", "batch_size", "device_batch", "max_length"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)
        check_within("lr", self.lr, above=0)
        if self.weight_decay < 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError("weight_decay should be 0 or more, and betas from 0 to below 1.")
        if self.lora is not None:
            check_count("lora", self.lora)
        elif self.merge:
            raise InputError("merge is for adapters: give lora, the rank, as well.")
        lookup("precision", PRECISIONS, self.precision)
