import json
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.learn.toys import PerExample, blobs
from torch import nn

from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn import Standard, fit
from goodgrain.learn.learners.dividemix import DivideMix
from goodgrain.learn.model_file import read_model, save_model
from goodgrain.learn.trained import load


def trained(network="small", **recipe):
    pool, learner = blobs(size=12), Standard(network, flip=False, **recipe)
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    return pool, learner


def pixels_of(pool):
    return to_pixels(pool.images(np.arange(len(pool))))


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def rewritten(path, *, without="?", **changes):
    """The file with other metadata, and without the tensors whose name holds a word."""
    tensors, metadata = contents(path)
    about = {**json.loads(metadata["goodgrain"]), **changes}
    kept = {name: tensor for name, tensor in tensors.items() if without not in name}
    save_file(kept, path, {"goodgrain": json.dumps({name: fact for name, fact in about.items() if fact is not None})})


def test_a_loaded_model_answers_as_its_learner_to_the_bit(tmp_path):
    pool, learner = trained()
    save_model(tmp_path / "one.safetensors", learner, pool)
    model = load(tmp_path / "one.safetensors", device="cpu")
    for ours, theirs in zip(model.infer(pixels_of(pool)), learner.infer(pixels_of(pool)), strict=True):
        assert torch.equal(ours, theirs)
    assert (model.classes, model.image_shape, model.flip) == (pool.classes, (12, 12, 1), False)


def test_two_networks_answer_with_their_mean(tmp_path):
    pool, learner = blobs(size=12), DivideMix(flip=False)
    fit(learner, pool, epochs=2, seed=0, device="cpu")
    save_model(tmp_path / "two.safetensors", learner, pool)
    logs, features = load(tmp_path / "two.safetensors", device="cpu").infer(pixels_of(pool))
    each = [backbone.infer(pixels_of(pool)) for backbone in learner.backbones.values()]
    assert not torch.allclose(each[0][0], each[1][0])
    torch.testing.assert_close(logs.exp(), (each[0][0].exp() + each[1][0].exp()) / 2)
    assert torch.equal(features, torch.cat([one for _, one in each], dim=1))
    assert torch.equal(logs, learner.infer(pixels_of(pool))[0])


def test_the_same_learner_gives_the_same_bytes(tmp_path):
    pool, learner = trained()
    for name in ("one", "two"):
        save_model(tmp_path / name, learner, pool)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    # several keys would be written in an order that changes from process to process
    assert list(contents(tmp_path / "one")[1]) == ["goodgrain"]


def test_tied_weights_are_saved(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
            self.two.weight = self.one.weight
            self.head = nn.Linear(64, 3)

        def forward(self, images):
            return self.head(self.two(self.one(images.flatten(1)).relu()))

    pool, learner = blobs(), Standard(Tied())
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    save_model(tmp_path / "tied.safetensors", learner, pool)
    model = load(tmp_path / "tied.safetensors", network=Tied(), device="cpu")
    assert torch.equal(model.infer(pixels_of(pool))[0], learner.infer(pixels_of(pool))[0])


def test_a_file_of_the_first_format_still_loads(tmp_path):
    pool, learner = trained()
    save_model(tmp_path / "new.safetensors", learner, pool)
    tensors, _ = contents(tmp_path / "new.safetensors")
    facts = {"config": learner.config(), "classes": list(pool.classes), "image_shape": [12, 12, 1]}
    metadata = {name: json.dumps(fact) for name, fact in facts.items()}
    save_file(tensors, tmp_path / "old.safetensors", {"format": "goodgrain-model-1", **metadata})
    model = load(tmp_path / "old.safetensors", device="cpu")
    assert torch.equal(model.infer(pixels_of(pool))[0], learner.infer(pixels_of(pool))[0])
    del metadata["image_shape"]
    save_file(tensors, tmp_path / "old.safetensors", {"format": "goodgrain-model-1", **metadata})
    with pytest.raises(InputError, match="its metadata lacks 'image_shape'"):
        load(tmp_path / "old.safetensors")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"format": "goodgrain-model-9"}, "has the format 'goodgrain-model-9', this version reads 'goodgrain-model-2'"),
        ({"classes": None}, "no model of this library: its metadata lacks 'classes'"),
        ({"image_shape": [12, 12]}, "no model of this library: its metadata is damaged"),
        ({"image_shape": [12, 0, 1]}, r"it speaks of 3 classes, 1 networks and images of shape \(12, 0, 1\)"),
        ({"prefixes": []}, "it speaks of 3 classes, 0 networks"),
        ({"prefixes": ["other."]}, "of other.network.*, the file has none, the network"),
        ({"classes": ["a", "b"]}, r"of network.head.weight, the file has \(3, 96\), the network \(2, 96\)"),
        ({"network": "resnet18"}, "not those of the network resnet18: of network.features.0.weight"),
        ({"without": "normalize.mean"}, r"of normalize.mean, the file has none, the network \(1, 1, 1\)"),
        ({"without": "head.bias"}, r"of network.head.bias, the file has none, the network \(3,\)"),
    ],
)
def test_a_file_that_does_not_fit_is_told_where(tmp_path, damage, sentence):
    pool, learner = trained()
    save_model(tmp_path / "one.safetensors", learner, pool)
    rewritten(tmp_path / "one.safetensors", **damage)
    with pytest.raises(InputError, match=sentence):
        load(tmp_path / "one.safetensors", device="cpu")


def test_a_foreign_file_is_told(tmp_path):
    (tmp_path / "text.safetensors").write_text("not a model at all")
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="text.safetensors cannot be read as a model: .* Give a .safetensors file"):
        read_model(tmp_path / "text.safetensors")
    with pytest.raises(InputError, match="foreign.safetensors is no model of this library: its metadata lacks"):
        read_model(tmp_path / "foreign.safetensors")


def test_a_file_runs_no_code_unless_it_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "evil_networks.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "def flat(channels, size, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pool, learner = trained("evil_networks:flat")
    path = tmp_path / "one.safetensors"
    save_model(path, learner, pool)
    (tmp_path / "ran").unlink()
    monkeypatch.delitem(sys.modules, "evil_networks")
    with pytest.raises(
        InputError, match="made by evil_networks:flat. If you trust the file, load it with trust_code=True"
    ):
        load(path, device="cpu")
    assert not (tmp_path / "ran").exists()
    wanted = learner.infer(pixels_of(pool))[0]
    assert torch.equal(load(path, trust_code=True, device="cpu").infer(pixels_of(pool))[0], wanted)
    assert torch.equal(load(path, network="evil_networks:flat", device="cpu").infer(pixels_of(pool))[0], wanted)


@pytest.mark.parametrize(
    ("network", "allowed"), [("timm:hf-hub:someone/theirs", False), ("timm:resnet18?pretrained", True)]
)
def test_a_hub_is_only_asked_for_a_trusted_file(tmp_path, monkeypatch, network, allowed):
    pool, learner = trained()
    save_model(tmp_path / "one.safetensors", learner, pool)
    rewritten(tmp_path / "one.safetensors", network=network)
    monkeypatch.setitem(sys.modules, "timm", None)
    # published weights are not fetched: the file has its own
    sentence = "timm is not installed" if allowed else "asks to run code that is not in it"
    with pytest.raises((InputError, ImportError), match=sentence):
        load(tmp_path / "one.safetensors", device="cpu")


def test_a_module_of_ones_own_is_given_again(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    pool, learner = trained(network)
    path = tmp_path / "one.safetensors"
    save_model(path, learner, pool)
    with pytest.raises(InputError, match=r"was a module of your own \(Sequential\), .* load\(..., network=...\)"):
        load(path, device="cpu")
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    before = fresh[1].weight.clone()
    model = load(path, network=fresh, device="cpu")
    assert torch.equal(model.infer(pixels_of(pool))[0], learner.infer(pixels_of(pool))[0])
    assert torch.equal(fresh[1].weight, before)  # what was given is copied
    with pytest.raises(InputError, match="not those of the network Sequential: of network.features.1.weight"):
        load(path, network=nn.Sequential(nn.Flatten(), nn.Linear(144, 7), nn.Linear(7, 3)), device="cpu")


def test_a_learner_without_a_network_is_not_saved(tmp_path):
    pool, learner = blobs(), PerExample()
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    with pytest.raises(InputError, match="PerExample has no Split among its saved parts"):
        save_model(tmp_path / "none.safetensors", learner, pool)
    assert not (tmp_path / "none.safetensors").exists()
