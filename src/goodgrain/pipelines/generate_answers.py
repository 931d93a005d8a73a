"""Answer evaluation questions with a language model on this machine, for a judge to compare with another's answers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodgrain.checks import check_count
from goodgrain.data.alpaca_eval import ModelOutput, outputs_fingerprint, read_questions, write_outputs
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.models.chat_model import Said, load_chat_model
from goodgrain.pipelines.embed_model import fingerprint_of
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.pace import Pace
from goodgrain.run import RunFolder

OUTPUTS = "outputs.json"
_DONE = "answers.jsonl"  # one line per finished batch


@dataclass(frozen=True, eq=False)
class GeneratedAnswers:
    """What a model answered.

    Args:
        folder: the run folder.
        outputs: one answer per question, in the order of the questions.
        metrics: what metrics.json holds.
    """

    folder: Path
    outputs: tuple[ModelOutput, ...]
    metrics: dict[str, Any]

    @property
    def path(self) -> Path:
        """The answers as the JSON that alpaca_eval and `evaluate_preference` take."""
        return self.folder / OUTPUTS


def generate_answers(
    model: str | Path,
    instructions: str | Path | Sequence[str],
    *,
    output: str | Path,
    name: str | None = None,
    template: str | None = None,
    max_new_tokens: int = 1024,
    batch_size: int = 8,
    temperature: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    monitor: Monitor | None = None,
) -> GeneratedAnswers:
    """Let a causal language model answer each instruction once.

    Questions of like length are answered together; each finished batch is on the disk before the next begins, so that
    a run that was stopped in any way continues when it is called again with the same arguments, with the same answers.

    Args:
        model: a folder as transformers saves it, such as what a fine-tuning made, or a name on the hub.
        instructions: a file as for `goodgrain.data.alpaca_eval.read_questions`, or texts.
        output: the run folder, for outputs.json and metrics.json.
        name: what the model is called in outputs.json; None for the last part of `model`.
        template: text with the field {instruction}; None for the chat template of the model.
        max_new_tokens: of an answer.
        batch_size: questions at a time; other sizes may round differently, so it is part of what was asked.
        temperature: 0 is greedy.
        seed: of the sampling.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.

    Returns:
        GeneratedAnswers.

    Raises:
        InputError: the model or the file cannot be used, or an argument is out of range.
        MissingExtra: transformers is not installed.
    """
    watch = monitor or Silent()
    check_count("max_new_tokens", max_new_tokens)
    size = check_count("batch_size", batch_size)
    check_count("seed", seed, least=0)
    if not 0 <= temperature <= 2:
        raise InputError(f"temperature should be from 0 to 2; {temperature!r} came.")
    questions = _questions(instructions)
    table = {
        "job": "generate-answers",
        "model": str(model),
        "name": name,
        "template": template,
        "max_new_tokens": max_new_tokens,
        "batch_size": size,
        "temperature": float(temperature),
        "seed": seed,
        "fingerprint": {"model": fingerprint_of(model), "questions": outputs_fingerprint(questions)},
    }
    with RunFolder(output, table) as run:
        path = run.path(_DONE)
        said = _read_done(path)
        run.log("started", questions=len(questions), done=len(said))
        if len(said) < len(questions):
            watch.stage(f"loading {model}")
            answerer = load_chat_model(str(model), template=template, device=Engine(device).device)
            prompts = [answerer.prompt(question.instruction) for question in questions]
            order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), place))
            watch.stage(f"answering {len(questions):,} questions" + (f"; {len(said):,} are done" if said else ""))
            pace = Pace("questions answered", len(questions), watch)
            pace.add(len(said), new=False)
            for number, start in enumerate(range(0, len(order), size)):
                batch = order[start : start + size]
                if batch[0] in said:
                    continue
                made = answerer.answer(
                    [prompts[place] for place in batch],
                    max_new_tokens=max_new_tokens, temperature=temperature, seed=seed + number,
                )  # fmt: skip
                _write_done(path, batch, made)
                said |= zip(batch, made, strict=True)
                pace.add(len(batch))
        generator = name or Path(model).name
        outputs = tuple(
            ModelOutput(question.instruction, said[place].text, generator, question.dataset)
            for place, question in enumerate(questions)
        )
        run.write(OUTPUTS, lambda part: write_outputs(part, outputs))
        metrics = {
            "model": generator,
            "questions": len(outputs),
            "empty": sum(not one.text for one in said.values()),
            "cut": sum(one.cut for one in said.values()),
            "tokens": sum(one.tokens for one in said.values()),
            "mean_characters": sum(len(one.text) for one in said.values()) / len(outputs),
        }
        run.write_json("metrics.json", metrics)
        run.log("finished")
    return GeneratedAnswers(Path(output), outputs, metrics)


def _questions(instructions: str | Path | Sequence[str]) -> tuple[ModelOutput, ...]:
    if isinstance(instructions, str | Path):
        return read_questions(instructions)
    questions = tuple(ModelOutput(text, "") for text in instructions)
    check_count("the number of instructions", len(questions))
    return questions


def _read_done(path: Path) -> dict[int, Said]:
    """The answers of finished batches; the rest of a line that a kill left half written is cut off."""
    if not path.is_file():
        return {}
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    with path.open("r+b") as file:
        file.truncate(len(whole))
    found: dict[int, Said] = {}
    for line in whole.splitlines():
        batch = json.loads(line)
        found |= {place: Said(*one) for place, one in zip(batch["places"], batch["said"], strict=True)}
    return found


def _write_done(path: Path, places: Sequence[int], said: Sequence[Said]) -> None:
    line = json.dumps({"places": list(places), "said": [[one.text, one.tokens, one.cut] for one in said]})
    with path.open("ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
