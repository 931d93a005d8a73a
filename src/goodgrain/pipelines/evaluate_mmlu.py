"""How much a language model knows: its accuracy on MMLU's questions, through the lm-eval harness."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from goodgrain.checks import check_count, lookup
from goodgrain.errors import InputError
from goodgrain.learn.engine import Engine
from goodgrain.models.chat_model import load_causal, quiet
from goodgrain.models.encoders.encoder import library
from goodgrain.pipelines.embed_model import fingerprint_of
from goodgrain.pipelines.finetune_config import AUTO, PRECISIONS, uses_bf16
from goodgrain.pipelines.mmlu_questions import LETTERS, check_shots, questions_fingerprint, read_mmlu, write_tasks
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.pipelines.pace import Pace
from goodgrain.run import RunFolder

ANSWERS = "answers.parquet"
_METRICS = "metrics.json"
_HUB = "mmlu"  # the harness's own task, whose questions come from the hub
_HUB_SUBJECT = "mmlu_"


@dataclass(frozen=True, eq=False)
class MmluResult:
    """What a model scored.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """Of all questions."""
        return float(self.metrics["accuracy"])

    @property
    def standard_error(self) -> float | None:
        """Of it; None for one question."""
        error: float | None = self.metrics["standard_error"]
        return error


def evaluate_mmlu(
    model: str | Path,
    *,
    output: str | Path,
    questions: str | Path | None = None,
    shots: int = 5,
    limit: int | None = None,
    batch_size: int = 8,
    precision: str = AUTO,
    device: str = "auto",
    monitor: Monitor | None = None,
) -> MmluResult:
    """Accuracy on MMLU (Hendrycks et al. 2021): after some examples, is the right one of " A" to " D" the likeliest?

    The protocol is that of the lm-eval harness: examples are the first of the dev split of the same subject, no chat
    format. Each subject is on the disk before the next begins, so that a run that was stopped goes on when it is called
    again with the same arguments.

    Args:
        model: a folder with a causal language model and its tokenizer, or adapters, as a fine-tuning leaves them; or a
            name on the hub. Weights are read as safetensors only.
        output: the run folder: metrics.json, answers.parquet (each question's four log-likelihoods) and, of local
            questions, tasks/ for the harness.
        questions: a file as `goodgrain.pipelines.mmlu_questions.read_mmlu` takes it; None for those of the hub.
        shots: examples before each question.
        limit: at most so many questions of each subject, the first.
        batch_size: prompts at a time.
        precision: "float32", "bf16", or "auto": bf16 where the device can.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.

    Returns:
        The metrics: accuracy as the mean over questions with its standard error, s / sqrt(n), and as the mean over
        subjects; both of each subject; and how many prompts were longer than the model's room and lost their beginning.

    Raises:
        InputError: a file that holds no questions, too few examples, or a model that cannot be loaded.
        UnknownName: no such precision.
        MissingExtra: lm-eval is not installed.
    """
    watch = monitor or Silent()
    check_count("shots", shots, least=0)
    check_count("batch_size", batch_size)
    if limit is not None:
        check_count("limit", limit)
    lookup("precision", PRECISIONS, precision)
    library("lm_eval", "evaluate")
    subjects = None if questions is None else read_mmlu(questions)
    if subjects is not None:
        check_shots(subjects, shots)
    engine = Engine(device)
    bf16 = uses_bf16(precision, engine)
    table = {
        "job": "evaluate-mmlu",
        "model": str(model),
        "questions": "hub" if questions is None else str(questions),
        "shots": shots,
        "limit": limit,
        "batch_size": batch_size,
        "precision": "bf16" if bf16 else "float32",
        "fingerprint": {
            "model": fingerprint_of(model),
            "questions": None if subjects is None else questions_fingerprint(subjects),
        },
    }
    with RunFolder(output, table) as run:
        if not run.has(_METRICS):
            run.log("started")
            folder = None if subjects is None else (run.folder / "tasks").resolve()
            names = None if subjects is None or folder is None else write_tasks(folder, subjects, shots)
            watch.stage(f"loading {model}")
            network, tokenizer = load_causal(str(model))
            network.to(engine.device, torch.bfloat16 if bf16 else torch.float32)
            with _quiet():
                asked = _language_model(network, tokenizer, batch_size)
            rows = _ask_all(run, asked, folder, names, shots, limit, watch)
            run.write_table(ANSWERS, {name: [row[name] for row in rows] for name in rows[0]})
            run.write_json(_METRICS, mmlu_metrics(rows))
            shutil.rmtree(run.folder / "subjects")
            if folder is not None:
                shutil.rmtree(folder / "cache", ignore_errors=True)
            run.log("finished")
        return MmluResult(Path(output), run.read_json(_METRICS))


def mmlu_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy over all answers and by subject.

    Args:
        rows: one table for each question: subject, correct (0 or 1) and cut, whether its prompt was too long.

    Returns:
        accuracy (mean over questions), standard_error, accuracy_over_subjects (mean of the subjects' accuracies),
        questions, prompts_cut, and subjects: the first two and the questions of each.

    Example:
        >>> rows = [{"subject": "a", "correct": right, "cut": False} for right in (1, 1, 0, 1)]
        >>> metrics = mmlu_metrics([*rows, {"subject": "b", "correct": 0, "cut": True}])
        >>> metrics["accuracy"], metrics["accuracy_over_subjects"], round(metrics["standard_error"], 4)
        (0.6, 0.375, 0.2449)
    """
    by_subject: dict[str, list[int]] = {}
    for row in rows:
        by_subject.setdefault(row["subject"], []).append(row["correct"])
    subjects = {name: _accuracy(correct) for name, correct in sorted(by_subject.items())}
    return {
        **_accuracy([row["correct"] for row in rows]),
        "accuracy_over_subjects": math.fsum(one["accuracy"] for one in subjects.values()) / len(subjects),
        "prompts_cut": sum(bool(row["cut"]) for row in rows),
        "subjects": subjects,
    }


def _accuracy(correct: Sequence[int]) -> dict[str, Any]:
    """Of 0s and 1s, the sample variance is m (1 - m) n / (n - 1)."""
    n, mean = len(correct), sum(correct) / len(correct)
    error = math.sqrt(mean * (1 - mean) / (n - 1)) if n > 1 else None
    return {"accuracy": mean, "standard_error": error, "questions": n}


def _ask_all(
    run: RunFolder,
    asked: Any,
    folder: Path | None,
    names: Mapping[str, str] | None,
    shots: int,
    limit: int | None,
    watch: Monitor,
) -> list[dict[str, Any]]:
    """All answers, subject by subject; those of subjects that are done are read back."""
    manager = library("lm_eval.tasks", "evaluate").TaskManager
    with _quiet():
        known = manager() if folder is None else manager(include_path=str(folder), include_defaults=False)
        whole = _from_hub(known) if names is None else None
    subjects = names or {name: name.removeprefix(_HUB_SUBJECT) for name in whole or ()}
    watch.stage(f"asking the questions of {len(subjects)} subjects")
    pace = Pace("subjects asked", len(subjects), watch)
    rows: list[dict[str, Any]] = []
    for name, subject in subjects.items():
        part = f"subjects/{name}.parquet"
        new = not run.has(part)
        if new:
            with _quiet():
                task = known.load([name])["tasks"][name] if whole is None else whole[name]
                answers = _ask(asked, name, task, subject, shots, limit)
            run.write_table(part, {column: [row[column] for row in answers] for column in answers[0]})
        rows += pq.read_table(run.folder / part).to_pylist()
        pace.add(1, new=new)
    return rows


def _from_hub(known: Any) -> dict[str, Any]:
    try:
        tasks: dict[str, Any] = known.load([_HUB])["tasks"]
    except (OSError, ValueError, KeyError) as reason:
        first = str(reason).strip().splitlines() or [type(reason).__name__]
        raise InputError(
            f"MMLU cannot be had from the hub: {first[0].rstrip('.')}. Give questions, a local file with them."
        ) from reason
    return tasks


def _ask(asked: Any, name: str, task: Any, subject: str, shots: int, limit: int | None) -> list[dict[str, Any]]:
    task.set_config(key="num_fewshot", value=shots)
    found = library("lm_eval", "evaluate").evaluate(
        lm=asked, task_dict={"tasks": {name: task}, "groups": {}}, limit=limit, bootstrap_iters=0, log_samples=True
    )
    rows = []
    for sample in sorted(found["samples"][name], key=lambda sample: int(sample["doc_id"])):
        likelihoods = [float(likelihood) for likelihood, _ in sample["filtered_resps"]]
        prompt, choice = sample["arguments"][0]
        rows.append(
            {
                "subject": subject,
                "row": int(sample["doc_id"]),
                "question": str(sample["doc"]["question"]),
                "answer": LETTERS[int(sample["target"])],
                "chosen": LETTERS[max(range(len(LETTERS)), key=likelihoods.__getitem__)],
                "correct": int(sample["acc"]),
                "cut": len(asked.tok_encode(prompt + choice)) > asked.max_length + 1,
                **{f"log_likelihood_{letter}": one for letter, one in zip(LETTERS, likelihoods, strict=True)},
            }
        )
    return rows


def _language_model(network: Any, tokenizer: Any, batch_size: int) -> Any:
    """The harness's view of a model."""
    base: Any = library("lm_eval.models.huggingface", "evaluate").HFLM
    return base(pretrained=network, tokenizer=tokenizer, batch_size=batch_size)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The harness draws progress bars on standard error that it has no switch for, and logs what it is asked."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
