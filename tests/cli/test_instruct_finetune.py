"""`goodgrain instruct finetune` and `evaluate mmlu`, as they are typed."""

import json

import pytest
import typer
from typer.testing import CliRunner

from goodgrain.cli.instruct_evaluate import evaluate_app
from goodgrain.cli.instruct_finetune import finetune

pytest.importorskip("trl")
pytest.importorskip("lm_eval")

import tiny_llama

app = typer.Typer()
app.command("finetune")(finetune)
app.add_typer(evaluate_app, name="evaluate")


def test_from_a_file_to_a_score(tmp_path):
    base = tiny_llama.build(tmp_path / "tiny")
    rows = [{"instruction": f"Name capital {place}.", "output": "Paris."} for place in range(6)]
    (tmp_path / "kept.json").write_text(json.dumps(rows))
    question = {"split": "test", "subject": "law", "question": "?", **dict.fromkeys("ABCD", "x"), "answer": "A"}
    (tmp_path / "mmlu.jsonl").write_text("\n".join(json.dumps({**question, "split": name}) for name in ("test", "dev")))
    command = [
        "finetune", str(tmp_path / "kept.json"), "--model", str(base), "-o", str(tmp_path / "tuned"), "--lora", "2",
        "--merge", "--epochs", "1", "--batch-size", "4", "--device-batch", "2", "--device", "cpu", "--save-every", "1",
    ]  # fmt: skip
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "6 rows, " in done.stdout
    assert "0 cut at 512 tokens, 0 left out" in done.stdout
    assert f"next:     goodgrain instruct evaluate mmlu --model {tmp_path / 'tuned/model'}" in done.stdout
    command = [
        "evaluate", "mmlu", "--model", str(tmp_path / "tuned/model"), "--questions", str(tmp_path / "mmlu.jsonl"),
        "--shots", "1", "-o", str(tmp_path / "score"), "--device", "cpu",
    ]  # fmt: skip
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert " % over 1 questions of 1 subjects; chance is 25 %" in done.stdout
    assert json.loads((tmp_path / "score/metrics.json").read_text())["questions"] == 1
