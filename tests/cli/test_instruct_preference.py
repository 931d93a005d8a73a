"""The commands `answer` and `preference`, as a person types them."""

import json

import pytest
import typer
from typer.testing import CliRunner

import tiny_llama
from goodgrain.cli.instruct_preference import answer, preference
from goodgrain.data.alpaca_eval import ModelOutput, read_outputs, write_outputs
from teacher_server import ROW, serving

app = typer.Typer()
app.command("answer")(answer)
app.command("preference")(preference)


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


def judge(_, body):
    first, second = (len(text) for _, _, text in ROW.findall(body["messages"][-1]["content"]))
    return "[1]" if first > second else "[2]"


@pytest.fixture
def files(tmp_path):
    for name, answer_of in (("mine", "a long answer"), ("base", "short")):
        write_outputs(tmp_path / f"{name}.json", [ModelOutput(f"q{i}", answer_of, name) for i in range(4)])
    return tmp_path / "mine.json", tmp_path / "base.json"


def test_preference_from_dry_run_to_report(tmp_path, files):
    folder = tmp_path / "run"
    with serving(judge) as server:
        words = ["preference", *files, "--teacher", server.url, "--model", "tiny", "--api-key-env", "none"]
        words += ["-o", folder, "--input-usd", "1", "--output-usd", "2", "--criteria", "clarity"]
        dry = run(*words, "--dry-run")
        assert "8 prompts to send" in dry.stdout
        assert "price:      about $0.00" in dry.stdout
        assert f"{folder / 'prompts.jsonl'} holds some of them; nothing was sent" in dry.stdout
        assert server.bodies == []
        done = run(*words, "--budget-usd", "1")
        assert len(server.bodies) == 8
    lines = done.stdout.splitlines()
    assert lines[0] == "mine against base: 4 of 4 judged"
    assert lines[1] == "  win:      100.0%   (100.0% to 100.0%)"
    assert "first place won 50.0% of the verdicts; without bias it is 50%" in lines
    assert "the judge: 8 calls, 320 tokens in, 64 out, $0.0004" in lines
    assert lines[-1] == f"report:   {folder / 'report.html'}"
    assert [row["preference"] for row in json.loads((folder / "annotations.json").read_text())] == [2] * 4


def test_a_dry_run_without_prices_says_what_is_missing(tmp_path, files):
    words = ["--teacher", "http://127.0.0.1:9", "--model", "m", "--api-key-env", "none", "-o", tmp_path / "run"]
    assert (
        "price:      not known; give --input-usd and --output-usd"
        in run("preference", *files, *words, "--dry-run").stdout
    )


def test_answer_writes_what_alpaca_eval_takes(tmp_path, files):
    pytest.importorskip("transformers")
    folder = tiny_llama.build(tmp_path / "tiny")
    words = ["-o", tmp_path / "answers", "--max-new-tokens", "5", "--device", "cpu", "--name", "mine"]
    done = run("answer", folder, files[0], *words)
    assert "4 answers, " in done.stdout
    assert done.stdout.endswith(f"answers: {tmp_path / 'answers' / 'outputs.json'}\n")
    assert [row.generator for row in read_outputs(tmp_path / "answers/outputs.json")] == ["mine"] * 4
