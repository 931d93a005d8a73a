"""Questions through a tiny Llama to a file of answers, stopped and continued, and on to a judge."""

import json
import re

import pytest

from goodgrain.data.alpaca_eval import ModelOutput, read_outputs, write_outputs
from goodgrain.errors import InputError
from goodgrain.models.chat_model import ChatModel, load_chat_model
from goodgrain.pipelines.evaluate_preference import evaluate_preference
from goodgrain.pipelines.generate_answers import generate_answers
from goodgrain.teacher import Answer

pytest.importorskip("transformers")

import tiny_llama

QUESTIONS = ["Name the capital of France.", "Rank", "A B C D " * 8, "Who are you?", "B", "Name A and B."]
ASKED = {"max_new_tokens": 10, "batch_size": 2, "device": "cpu"}
FILES = ("outputs.json", "metrics.json", "config.toml", "answers.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llama.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A run that nothing disturbed."""
    return generate_answers(folder, QUESTIONS, output=tmp_path_factory.mktemp("runs") / "whole", **ASKED)


def test_each_question_gets_the_models_own_answer(folder, whole):
    model = load_chat_model(str(folder))
    alone = [model.answer([model.prompt(question)], max_new_tokens=10)[0] for question in QUESTIONS]
    texts = [one.text for one in alone]
    assert [(one.instruction, one.output) for one in whole.outputs] == list(zip(QUESTIONS, texts, strict=True))
    assert {one.generator for one in whole.outputs} == {"tiny"}
    assert read_outputs(whole.path) == whole.outputs
    counts = {name: whole.metrics[name] for name in ("questions", "tokens", "cut", "empty")}
    tokens, cut = sum(one.tokens for one in alone), sum(one.cut for one in alone)
    assert counts == {"questions": 6, "tokens": tokens, "cut": cut, "empty": texts.count("")}
    assert 0 < cut < 6
    assert json.loads((whole.folder / "metrics.json").read_text()) == whole.metrics


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("torn", ["", '{"places": [0, 1], "sa'])
def test_a_run_that_was_stopped_ends_with_the_same_answers(folder, tmp_path, monkeypatch, temperature, torn):
    asked = {**ASKED, "temperature": temperature}
    undisturbed = generate_answers(folder, QUESTIONS, output=tmp_path / "undisturbed", **asked)
    answer, calls = ChatModel.answer, []

    def counted(self, prompts, **arguments):
        calls.append(len(prompts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(self, prompts, **arguments)

    monkeypatch.setattr(ChatModel, "answer", counted)
    with pytest.raises(KeyboardInterrupt):
        generate_answers(folder, QUESTIONS, output=tmp_path / "stopped", **asked)
    assert not (tmp_path / "stopped/outputs.json").exists()
    with (tmp_path / "stopped/answers.jsonl").open("a") as file:
        file.write(torn)  # as a kill in the middle of a line leaves it
    generate_answers(folder, QUESTIONS, output=tmp_path / "stopped", **asked)
    assert calls == [2, 2, 2, 2]  # of three batches only the one under way was done again
    for name in FILES:
        assert (tmp_path / "stopped" / name).read_bytes() == (undisturbed.folder / name).read_bytes()


def test_a_finished_run_needs_no_model(folder, whole, monkeypatch):
    monkeypatch.setattr("goodgrain.pipelines.generate_answers.load_chat_model", None)
    assert generate_answers(folder, QUESTIONS, output=whole.folder, **ASKED).outputs == whole.outputs


def test_questions_from_a_file_keep_their_part(folder, tmp_path):
    rows = [ModelOutput(question, "old answer", "base", "koala") for question in QUESTIONS[:3]]
    write_outputs(tmp_path / "base.json", rows)
    made = generate_answers(folder, tmp_path / "base.json", output=tmp_path / "run", name="mine", **ASKED)
    assert [(one.instruction, one.generator, one.dataset) for one in made.outputs] == [
        (question, "mine", "koala") for question in QUESTIONS[:3]
    ]


def test_answers_go_straight_to_a_judge(whole, tmp_path):
    class First:
        def ask(self, requests, on_answer=None):
            return [Answer("[1]") for _ in requests]

    base = [ModelOutput(question, "I do not know.", "base") for question in QUESTIONS]
    found = evaluate_preference(whole.path, base, output=tmp_path / "preference", teacher=First())
    assert (found.metrics["ours"], found.metrics["judged"], found.rates.tie) == ("tiny", 6, 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"instructions": []}, "the number of instructions should be a whole number, at least 1; 0 came."),
        ({"batch_size": 0}, "batch_size should be a whole number, at least 1; 0 came."),
        ({"max_new_tokens": 0}, "max_new_tokens should be a whole number, at least 1; 0 came."),
        ({"temperature": 3}, "temperature should be from 0 to 2; 3 came."),
        ({"instructions": "none.json"}, "there is no file none.json. Give JSON, JSONL or Parquet"),
    ],
)
def test_what_is_refused(folder, tmp_path, arguments, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        generate_answers(folder, **{"instructions": QUESTIONS, "output": tmp_path / "run", **ASKED, **arguments})


def test_another_model_needs_another_folder(whole, tmp_path):
    other = tiny_llama.build(tmp_path / "tiny", seed=1)
    with pytest.raises(InputError, match="holds another run: its fingerprint.model is"):
        generate_answers(other, QUESTIONS, output=whole.folder, **ASKED)
