"""Models as ONNX files, for runtimes that know no torch."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from goodgrain.errors import InputError, MissingExtra
from goodgrain.files import whole_file


def export_onnx(
    path: str | Path, model: nn.Module, *, image_shape: tuple[int, int, int], classes: Sequence[str]
) -> Path:
    """Write a model as one ONNX file.

    Its input `pixels` is float32 (batch, c, h, w) in [0, 1], for any batch; its outputs are `probabilities`
    (batch, classes) and `features` (batch, d). The class names are in its metadata under `classes`, as JSON.

    Args:
        path: the file; one that is there is replaced.
        model: pixels -> log-probabilities, features, in evaluation mode, with the normalisation inside.
        image_shape: (h, w, c) of the images.
        classes: names, in the order of the logits.

    Returns:
        The path.

    Raises:
        MissingExtra: onnx is not installed.
        InputError: there is no such folder, or the model has a step that ONNX cannot express.
    """
    try:
        for package in ("onnx", "onnxscript"):
            importlib.import_module(package)
    except ImportError as reason:
        raise MissingExtra("onnx", "onnx") from reason
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent} for {target.name}. Make it first.")
    height, width, channels = image_shape
    device = next(model.parameters()).device
    example = torch.zeros(2, channels, height, width, device=device)  # torch takes a batch of 1 for a constant
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                _Probabilities(model).eval(),
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["pixels"],
                output_names=["probabilities", "features"],
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            )
    except torch.onnx.errors.OnnxExporterError as reason:
        raise InputError(f"the model has a step that ONNX cannot express: {reason}.") from reason
    assert program is not None
    program.model.metadata_props["classes"] = json.dumps(list(classes), ensure_ascii=False)
    with whole_file(target) as part:
        program.save(part, external_data=False)
    return target


class _Probabilities(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities, features = self.model(pixels)
        return log_probabilities.exp(), features


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks that the exporter has about its own parts."""
    remarks = logging.getLogger("torch.onnx")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        remarks.setLevel(level)
