import json
import sys

import numpy as np
import pytest
import torch
from tests.learn.toys import blobs
from torch import nn

from goodgrain.errors import InputError, MissingExtra
from goodgrain.learn import Standard, fit
from goodgrain.learn.learners.dividemix import DivideMix
from goodgrain.learn.model_file import save_model
from goodgrain.learn.trained import load
from goodgrain.models import load_network
from goodgrain.models.onnx_file import export_onnx

needs_onnx = "needs the extra onnx, and onnxruntime: pip install 'goodgrain[onnx]' onnxruntime"


class Answering(nn.Module):
    """A network of the library with log-probabilities."""

    def __init__(self, name, size):
        super().__init__()
        self.network = load_network(name, classes=4, channels=3, seed=0, size=size)

    def forward(self, pixels):
        logits, features = self.network(pixels)
        return logits.log_softmax(dim=1), features


def differences(path, model, pixels):
    """Largest difference of probabilities and of features between the file and the model."""
    onnxruntime = pytest.importorskip("onnxruntime", reason=needs_onnx)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    theirs = session.run(["probabilities", "features"], {"pixels": pixels.numpy()})
    with torch.no_grad():
        log_probabilities, features = model(pixels)
    ours = (log_probabilities.exp().numpy(), features.numpy())
    return [float(np.abs(one - other).max()) for one, other in zip(ours, theirs, strict=True)]


@pytest.fixture
def exporter():
    pytest.importorskip("onnx", reason=needs_onnx)
    pytest.importorskip("onnxscript", reason=needs_onnx)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "size"), [("preact_resnet18", (12, 20)), ("resnet50", (64, 64))])
def test_the_file_answers_as_the_network(exporter, tmp_path, name, size):
    model = Answering(name, size).eval()
    path = export_onnx(tmp_path / "one.onnx", model, image_shape=(*size, 3), classes=["a", "b", "c", "d"])
    pixels = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))
    assert max(differences(path, model, pixels)) < 1e-4
    assert [file.name for file in tmp_path.iterdir()] == ["one.onnx"]  # the weights are inside


@pytest.mark.parametrize("kind", [Standard, pytest.param(DivideMix, marks=pytest.mark.soak)])
def test_a_loaded_model_keeps_its_statistics_and_its_names(exporter, tmp_path, kind):
    pool, learner = blobs(size=12), kind(flip=False)
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    save_model(tmp_path / "one.safetensors", learner, pool)
    model = load(tmp_path / "one.safetensors", device="cpu")
    path = model.to_onnx(tmp_path / "one.onnx")
    for count in (1, 2, 7):  # any batch
        pixels = torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(count))
        assert max(differences(path, model.infer, pixels)) < 1e-4
    session = pytest.importorskip("onnxruntime", reason=needs_onnx).InferenceSession(path)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["0", "1", "2"]


def test_what_cannot_be_written_leaves_what_was_there(exporter, tmp_path):
    class Foreign(nn.Linear):
        def forward(self, pixels):
            logits = super().forward(pixels.flatten(1))
            return (logits if pixels.sum() > 0 else -logits), logits  # what is computed depends on what comes

    path = tmp_path / "one.onnx"
    path.write_text("before")
    with pytest.raises(InputError, match="the model has a step that ONNX cannot express"):
        export_onnx(path, Foreign(4, 1), image_shape=(2, 2, 1), classes=["a"])
    assert path.read_text() == "before"
    with pytest.raises(InputError, match="there is no folder .*nowhere for one.onnx"):
        export_onnx(tmp_path / "nowhere" / "one.onnx", Foreign(4, 1), image_shape=(2, 2, 1), classes=["a"])
    assert [file.name for file in tmp_path.iterdir()] == ["one.onnx"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_onnx_the_line_that_installs_it_is_told(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'goodgrain\[onnx\]'"):
        export_onnx(tmp_path / "one.onnx", nn.Identity(), image_shape=(2, 2, 1), classes=["a"])
