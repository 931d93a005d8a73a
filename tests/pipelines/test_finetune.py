"""A tiny Llama learns instructions: against a slow loop, killed and continued, with adapters, in two processes."""

import json
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from goodgrain.data.instructions import read_instructions
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.chat_tokens import IGNORED, chat_tokens
from goodgrain.learn.engine import Engine
from goodgrain.learn.finetuning import check_devices
from goodgrain.models.chat_model import load_causal, load_chat_model
from goodgrain.pipelines.finetune import finetune
from goodgrain.pipelines.finetune_config import FinetuneConfig

pytest.importorskip("trl")
pytest.importorskip("peft")

import oracles_finetune as oracle
import tiny_llama

ASKED = {"device": "cpu", "batch_size": 4, "device_batch": 2, "lr": 5e-3, "epochs": 2, "save_every": 2}
ROWS = [
    {"instruction": f"Name the capital of {place}.", "input": "", "output": f"The capital is {place[::-1]}. " * times}
    for place, times in [("France", 1), ("Peru", 4), ("Chad", 2), ("Oman", 1), ("Fiji", 3), ("Cuba", 1), ("Mali", 2)]
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_llama.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "kept.json"
    path.write_text(json.dumps(ROWS))
    return path


@pytest.fixture(scope="module")
def whole(base, data, tmp_path_factory):
    """A run that nothing disturbed."""
    return finetune(data, model=base, output=tmp_path_factory.mktemp("runs") / "whole", **ASKED)


def weights(folder):
    return load_causal(str(folder))[0].state_dict()


def files(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def test_equals_a_slow_loop(base, data, tmp_path):
    """All rows in one step, so that their order does not matter."""
    recipe = {"epochs": 4, "lr": 5e-3, "weight_decay": 0.1, "betas": (0.9, 0.95), "max_grad_norm": 0.5}
    run = finetune(data, model=base, output=tmp_path / "run", device="cpu", batch_size=8, device_batch=2, **recipe)
    network, tokenizer = load_causal(str(base))
    instructions = read_instructions(data)
    tokens = chat_tokens([instructions.messages(place) for place in range(len(instructions))], tokenizer, 512)
    losses = oracle.finetuned(network, [(one.input_ids, one.labels.count(IGNORED)) for one in tokens], **recipe)
    assert run.metrics["loss_by_epoch"] == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < losses[0] - 0.5
    found = weights(run.model)
    for name, expected in network.state_dict().items():
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-5)


def test_metrics_and_files(base, data, whole):
    told, tokenizer = whole.metrics, load_causal(str(base))[1]
    instructions = read_instructions(data)
    tokens = chat_tokens([instructions.messages(place) for place in range(7)], tokenizer, 512)
    assert told["tokens_per_epoch"] == sum(len(one.input_ids) for one in tokens)
    assert told["response_tokens_per_epoch"] == sum(len(one.labels) - one.labels.count(IGNORED) for one in tokens)
    assert (told["rows"], told["rows_cut"], told["steps"], told["max_length"]) == (7, 0, 4, 512)
    assert told["weights"] == told["weights_trained"] == 37_920
    events = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert [one["event"] for one in events] == ["started", *["step"] * 4, "finished"]
    losses = [one["loss"] for one in events[1:5]]
    assert told["loss_by_epoch"] == [sum(losses[:2]) / 2, sum(losses[2:]) / 2]
    assert [one["lr"] for one in events[1:5]] == pytest.approx([5e-3, 4.268e-3, 2.5e-3, 0.732e-3], rel=1e-3)
    model = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    run = {"config.toml", "metrics.json", "log.jsonl", ".lock", "model/chat_template.jinja"}
    assert files(whole.folder) == run | {f"model/{name}" for name in model}
    assert load_chat_model(str(whole.model)).prompt("Hi.")


def test_a_finished_run_needs_no_model(base, data, whole, monkeypatch):
    monkeypatch.setattr("goodgrain.pipelines.finetune.load_causal", None)
    assert finetune(data, model=base, output=whole.folder, **ASKED).metrics == whole.metrics


def test_activations_computed_twice_give_the_same_weights(base, data, whole, tmp_path):
    run = finetune(data, model=base, output=tmp_path / "run", checkpointing=True, **ASKED)
    assert (run.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


SCRIPT = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import transformers.trainer, trl, peft, datasets  # once: what follows is forked
from goodgrain.pipelines import finetune as pipeline
from goodgrain.run import RunFolder
data, base, folder, kind = sys.argv[1:]
asked = dict(device="cpu", batch_size=4, device_batch=2, lr=5e-3, epochs=2, save_every=2)
if kind == "adapters":
    asked |= dict(lora=2, merge=True)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(owner, name, call):
    "Die once a function was called so often."
    whole, calls = getattr(owner, name), []
    def counted(*arguments, **more):
        calls.append(name)
        if len(calls) == call:
            die()
        return whole(*arguments, **more)
    setattr(owner, name, counted)

trainer = transformers.trainer.Trainer
moments = [
    lambda: after(RunFolder, "write_json", 1),      # while tokens are written
    lambda: after(RunFolder, "log", 2),             # after the first step
    lambda: after(trainer, "_save_rng_state", 1),   # in the middle of the first checkpoint
    lambda: after(RunFolder, "log", 4),             # after the first checkpoint
    lambda: after(trainer, "_save_rng_state", 1),   # in the middle of the last
    lambda: after(pipeline, "_place", 1),           # the model has no name yet
    lambda: after(pipeline, "_metrics", 1),         # it has, and nobody was told
]

def run(name, moment=None):
    child = os.fork()
    if not child:
        if moment is not None:
            moment()
        pipeline.finetune(data, model=base, output=folder + "/" + name, **asked)
        os._exit(0)
    return os.waitpid(child, 0)[1]

assert run("whole") == 0
for moment in moments:
    print(run("killed", moment))
assert run("killed") == 0
"""


def killed_equals_whole(kind, base, data, folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(data), str(base), str(folder), kind],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["9"] * 7
    assert files(folder / "killed") == files(folder / "whole")
    for name in files(folder / "whole") - {"log.jsonl"}:
        assert (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name


def test_killed_seven_times_and_continued_gives_the_same_bits(base, data, whole, tmp_path):
    killed_equals_whole("all", base, data, tmp_path)
    here, there = whole.model / "model.safetensors", tmp_path / "whole/model/model.safetensors"
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.soak
def test_adapters_killed_seven_times_and_continued_give_the_same_bits(base, data, tmp_path):
    killed_equals_whole("adapters", base, data, tmp_path)


def test_adapters_train_alone_and_merge_into_their_base(base, data, tmp_path):
    before = (base / "model.safetensors").read_bytes()
    alone = finetune(data, model=base, output=tmp_path / "alone", lora=2, **ASKED)
    merged = finetune(data, model=base, output=tmp_path / "merged", lora=2, merge=True, **ASKED)
    assert (base / "model.safetensors").read_bytes() == before
    # rank 2 on 2 layers: q, o (32 to 32), k, v (32 to 16), gate, up (32 to 64), down (64 to 32)
    assert alone.metrics["weights_trained"] == 2 * 2 * (2 * 64 + 2 * 48 + 3 * 96)
    assert alone.metrics["weights"] == 37_920 + alone.metrics["weights_trained"]
    assert "model/adapter_model.safetensors" in files(alone.folder)
    assert "model/model.safetensors" not in files(alone.folder)
    assert {"model/model.safetensors", "adapter/adapter_model.safetensors"} <= files(merged.folder)
    text = torch.arange(3, 60)[None]
    with torch.no_grad():
        logits = [load_causal(str(folder))[0](input_ids=text).logits for folder in (base, alone.model, merged.model)]
    torch.testing.assert_close(logits[1], logits[2], rtol=1e-4, atol=1e-5)
    assert (logits[1] - logits[0]).abs().max() > 1e-3
    assert not [name for name in files(tmp_path) if name.endswith((".bin", ".pt", ".pth", ".pkl"))]


def test_adapters_find_their_base_from_any_folder(base, data, tmp_path, monkeypatch):
    monkeypatch.chdir(base.parent)
    run = finetune(data, model=base.name, output=tmp_path / "run", lora=2, **{**ASKED, "epochs": 1})
    monkeypatch.chdir(tmp_path)
    assert load_causal(str(run.model))


def test_half_precision_weights_are_trained_in_whole_precision(base, data, tmp_path):
    network, tokenizer = load_causal(str(base))
    network.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    asked = {**ASKED, "lr": 1e-6, "weight_decay": 0.0}  # a step that bfloat16 would round away
    run = finetune(data, model=tmp_path / "half", output=tmp_path / "run", **asked)
    start, end = weights(tmp_path / "half"), weights(run.model)
    name = "model.layers.0.mlp.up_proj.weight"
    assert end[name].dtype == torch.float32
    assert 0 < (end[name] - start[name].float()).abs().max() < 1e-5


def test_rows_that_are_cut_or_left_out_are_counted(base, tmp_path):
    rows = [{"prompt": "Hi.", "response": text} for text in ("A.", "A B C D. " * 40)]
    rows.append({"prompt": "A B C D. " * 40, "response": "A."})
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run = finetune(tmp_path / "set.jsonl", model=base, output=tmp_path / "run", max_length=60, **ASKED)
    assert (run.metrics["rows"], run.metrics["rows_cut"]) == (2, 1)
    assert run.metrics["rows_left_out"] == {"response_begins_too_late": 1, "not_in_the_chat_format": 0}
    with pytest.raises(InputError, match="none of the 3 rows can be learned: of 3 the response would begin after 4 "):
        finetune(tmp_path / "set.jsonl", model=base, output=tmp_path / "none", max_length=4, **ASKED)


def generators():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


def test_nothing_is_sent_and_the_callers_generators_stay(base, data, tmp_path, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import _telemetry

    def send(*_):
        raise AssertionError("something was sent")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", send)
    monkeypatch.setattr(socket.socket, "connect", send)
    before = generators()
    finetune(data, model=base, output=tmp_path / "run", **{**ASKED, "epochs": 1})
    assert generators() == before
    assert constants.HF_HUB_DISABLE_TELEMETRY is False


TWO = """
import sys
import torch
torch.set_num_threads(1)
from goodgrain.pipelines.finetune import finetune
asked = dict(device="cpu", batch_size=4, device_batch=1, lr=5e-3, epochs=2, save_every=2)
result = finetune(sys.argv[1], model=sys.argv[2], output=sys.argv[3], **asked)
sys.stdout.write(f"rows {result.metrics['rows']}\\n")  # at once: two processes share the pipe
"""


def test_two_processes_make_the_run_of_one(base, tmp_path):
    """As on two GPUs, under torch's launcher: each step's rows are the same, so the weights are but for rounding."""
    data = tmp_path / "even.json"  # rows that do not go up in equal shares would be filled up with the first ones
    data.write_text(json.dumps([*ROWS, {"instruction": "Rank.", "output": "None."}]))
    whole = finetune(data, model=base, output=tmp_path / "one", **ASKED)
    (tmp_path / "two.py").write_text(TWO)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    done = subprocess.run(
        [*launch, str(tmp_path / "two.py"), str(data), str(base), str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["rows", "8"] * 2
    assert files(tmp_path / "run") == files(whole.folder)
    events = [json.loads(line)["event"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert events == ["started", *["step"] * 4, "finished"]
    told = json.loads((tmp_path / "run/metrics.json").read_text())
    assert told["loss_by_epoch"] == pytest.approx(whole.metrics["loss_by_epoch"], rel=1e-5)
    found = weights(tmp_path / "run/model")
    for name, expected in weights(whole.model).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        ({"epochs": 0}, InputError, "epochs should be a whole number, at least 1; 0 came."),
        ({"lr": 0.0}, InputError, "lr should be above 0; 0.0 came."),
        ({"weight_decay": -1}, InputError, "weight_decay should be from 0 to 1; -1 came."),
        ({"betas": (0.9, 1)}, InputError, "betas should be two numbers from 0 to below 1; (0.9, 1) came."),
        ({"lora": 0}, InputError, "lora should be a whole number, at least 1; 0 came."),
        ({"merge": True}, InputError, "merge adds adapters to the weights, but all weights are trained. Give lora"),
        ({"precision": "fp8"}, UnknownName, "no precision 'fp8'."),
        ({"epoch": 1}, UnknownName, "no argument of finetune 'epoch'. Did you mean 'epochs'?"),
        (
            {"batch_size": 6, "device_batch": 4},
            InputError,
            "batch_size=6 cannot be made of parts of 4 rows on 1 device. Give a multiple of 4, or another",
        ),
    ],
)
def test_what_is_refused(base, data, tmp_path, asked, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        finetune(data, model=base, output=tmp_path / "run", device="cpu", **asked)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_the_run(base, data, tmp_path):
    with pytest.raises(InputError, match=r"the loss is nan after step \d. Give a smaller lr."):
        finetune(data, model=base, output=tmp_path / "run", **{**ASKED, "lr": 1e30, "epochs": 4})


def test_several_gpus_need_a_launcher(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    sentence = "one process sees 4 GPUs. Put torchrun --nproc-per-node 4 -m before goodgrain to use all of them, or set"
    with pytest.raises(InputError, match=sentence):
        check_devices(SimpleNamespace(device=torch.device("cuda"), processes=1))
    check_devices(SimpleNamespace(device=torch.device("cuda", 1), processes=4))
    check_devices(Engine("cpu"))


def test_other_weights_need_another_folder(whole, data, tmp_path):
    other = tiny_llama.build(tmp_path / "tiny", seed=1)
    with pytest.raises(InputError, match="holds another run: its fingerprint.model is"):
        finetune(data, model=other, output=whole.folder, **ASKED)


def test_the_texts_configuration_is_the_default():
    recipe = FinetuneConfig().recipe(Engine("cpu"))
    assert (recipe.epochs, recipe.device_batch * recipe.accumulate, recipe.lr) == (3, 64, 1e-5)
    assert (recipe.betas, recipe.weight_decay, FinetuneConfig().max_length) == ((0.9, 0.95), 0.1, 2048)
    assert FinetuneConfig(lora=8).lr == 1e-4
    assert FinetuneConfig(lora=8, lr=2e-5).lr == 2e-5
