"""Where the arithmetic of training happens: which device, in which precision, in how many processes.

Built on accelerate: the same code runs on a laptop, on one GPU, and under `accelerate launch` on many.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic
from accelerate import PartialState
from accelerate.utils import broadcast, broadcast_object_list, gather, reduce
from torch import Tensor, nn

from goodgrain.checks import Positions, lookup
from goodgrain.errors import InputError

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bf16": torch.bfloat16}


class Engine:
    """A device, a precision, and the processes that share the work.

    Every process holds the same weights. A step's images are divided, each process computes the gradient of its part,
    and the mean of the gradients is applied everywhere: for losses that are means over images, that of one process
    alone. Batch normalisation, and terms about the batch as a whole such as class balance, look at the part; running
    statistics are those of the main process.

    Args:
        device: "auto" (a GPU where there is one), or a torch device such as "cpu" or "cuda". Under a launcher each
            process gets the device that the launcher gave it, unless "cpu" is asked for.
        precision: "float32", or "bf16" for mixed precision: weights stay in float32.

    Raises:
        InputError: no such device.
        UnknownName: no such precision.

    Example:
        >>> engine = Engine("cpu")
        >>> engine.device, engine.processes, engine.share(np.arange(4))
        (device(type='cpu'), 1, array([0, 1, 2, 3]))
    """

    def __init__(self, device: str = "auto", precision: str = "float32") -> None:
        self._dtype = lookup("precision", PRECISIONS, precision)
        asked = _device(device)
        state: Any = PartialState(cpu=asked.type == "cpu")
        self.processes: int = state.num_processes
        self.rank: int = state.process_index
        self.device: torch.device = asked if self.processes == 1 or asked.type == "cpu" else state.device

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which a forward pass runs in the precision that was asked for."""
        return torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not None)

    def share(self, positions: Positions) -> Positions:
        """This process's share of a step: equal shares, filled up with the first positions again where needed.

        Args:
            positions: (b,) of the whole step, the same in every process.

        Returns:
            (ceil(b / processes),) positions.
        """
        missing = -len(positions) % self.processes
        return np.resize(positions, len(positions) + missing)[self.rank :: self.processes]

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """One step of an optimiser against the gradient of the mean loss over all processes.

        Args:
            loss: () of this process's share.
            optimizer: its parameters are stepped; gradients that they had are dropped.
        """
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.average_gradients(optimizer)
        optimizer.step()

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Replace each parameter's gradient by its mean over the processes."""
        if self.processes == 1:
            return
        with_gradient = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        flat = reduce(torch.cat([p.grad.flatten() for p in with_gradient]), "mean")
        for parameter, mean in zip(with_gradient, flat.split([p.numel() for p in with_gradient]), strict=True):
            parameter.grad.copy_(mean.view_as(parameter))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor of one shape over the processes."""
        return value if self.processes == 1 else reduce(value, "mean")

    def gather(self, value: Tensor) -> Tensor:
        """The rows (b, ...) of all processes, in their order: (processes * b, ...)."""
        return value if self.processes == 1 else gather(value.contiguous())

    def agree(self, module: nn.Module) -> None:
        """Give every process the main process's buffers, such as running statistics."""
        if self.processes == 1:
            return
        for buffer in module.buffers():
            buffer.copy_(broadcast(buffer.clone()))

    def told(self, value: Any) -> Any:
        """What the main process says, in every process: plain values and CPU tensors."""
        if self.processes == 1:
            return value
        return broadcast_object_list([value])[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.processes > 1:
            state: Any = PartialState()
            state.wait_for_everyone()

    @contextmanager
    def repeatable(self) -> Iterator[None]:
        """Deterministic algorithms on a CPU, and the caller's generators and settings back afterwards."""
        memory: Any = torch.utils.deterministic
        strict, fill = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            try:
                if self.device.type == "cpu":
                    torch.use_deterministic_algorithms(True)
                    memory.fill_uninitialized_memory = False  # a debugging aid that costs a tenth
                yield
            finally:
                torch.use_deterministic_algorithms(strict)
                memory.fill_uninitialized_memory = fill


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as reason:
        raise InputError(f"there is no device {name!r}. Give auto, cpu or cuda.") from reason
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device={name!r} was asked for, but torch sees no GPU here. Give auto or cpu.")
    return device
