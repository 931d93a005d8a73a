"""How much a language model knows: accuracy on MMLU's questions, through the lm-eval harness."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
import torch

from goodgrain.checks import check_count
from goodgrain.errors import InputError
from goodgrain.models.chat_model import load_causal, quiet
from goodgrain.models.encoders.encoder import library
from goodgrain.pipelines.embed_model import fingerprint_of
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import RunFolder

COLUMNS = ("split", "subject", "question", "A", "B", "C", "D", "answer")
_CHOICES = "ABCD"
_TASK = "goodgrain_mmlu_"
_READERS: dict[str, Callable[[Any], Any]] = {".parquet": pq.read_table, ".csv": pc.read_csv, ".jsonl": pj.read_json}


@dataclass(frozen=True)
class MmluResult:
    """What a model scored.

    Args:
        folder: the run folder.
        accuracy: mean over questions.
        standard_error: of it.
        metrics: what metrics.json holds, accuracy by subject included.
    """

    folder: Path
    accuracy: float
    standard_error: float
    metrics: dict[str, Any]


def evaluate_mmlu(
    model: str,
    *,
    output: str | Path,
    questions: str | Path | None = None,
    shots: int = 5,
    limit: int | None = None,
    batch_size: int = 8,
    device: str = "auto",
    monitor: Monitor | None = None,
) -> MmluResult:
    """Accuracy on MMLU (Hendrycks et al. 2021): the likeliest of " A" to " D" after examples of the same subject.

    Args:
        model: a folder with a causal language model and its tokenizer, or its name on the hub.
        output: the run folder.
        questions: a Parquet, CSV or JSONL file with the columns split (test, dev), subject, question, A, B, C, D and
            answer (a letter); None for the harness's own task, which asks the hub.
        shots: examples before each question, the first of the subject's dev split.
        limit: at most so many questions of each subject.
        batch_size: questions at a time.
        device: "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.

    Returns:
        The accuracy over all questions and by subject.

    Raises:
        InputError: a file without these columns, too few examples, or a model that cannot be loaded.
        MissingExtra: lm-eval is not installed.
    """
    check_count("shots", shots, least=0)
    if limit is not None:
        check_count("limit", limit)
    lm_eval = library("lm_eval", "evaluate")
    rows = None if questions is None else _read(Path(questions), shots)
    table = {
        "job": "evaluate mmlu",
        "model": model,
        "questions": questions,
        "shots": shots,
        "limit": limit,
        "fingerprint": {"model": fingerprint_of(model), "questions": None if rows is None else _digest(rows)},
    }
    watch = monitor or Silent()
    with RunFolder(output, table) as run, quiet():
        if not run.has("metrics.json"):
            watch.stage(f"loading {model}")
            network, tokenizer = load_causal(model)
            cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
            asked = library("lm_eval.models.huggingface", "evaluate").HFLM(
                pretrained=network.to("cuda" if cuda else "cpu"), tokenizer=tokenizer, batch_size=batch_size
            )
            names = ["mmlu"] if rows is None else _write_tasks(run, rows)
            watch.stage(f"asking the questions of {len(names) if rows is not None else 57} subjects")
            with _offline(rows is not None):
                manager = library("lm_eval.tasks", "evaluate").TaskManager(
                    include_path=None if rows is None else str(run.path("tasks"))
                )
                found = lm_eval.simple_evaluate(
                    model=asked, tasks=names, num_fewshot=shots, limit=limit, task_manager=manager, bootstrap_iters=0,
                    log_samples=False,
                )  # fmt: skip
            run.write_json("metrics.json", _metrics(found))
        metrics = run.read_json("metrics.json")
    return MmluResult(Path(output), metrics["accuracy"], metrics["standard_error"], metrics)


def _read(path: Path, shots: int) -> list[dict[str, str]]:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise InputError(f"questions should be a {', '.join(_READERS)} file; {path} came.")
    try:
        table = reader(path)
    except (OSError, pa.ArrowException) as reason:
        raise InputError(f"{path} cannot be read: {reason}.") from reason
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        came = ", ".join(table.column_names)
        raise InputError(f"{path} has no column {missing[0]!r}. Expected: {', '.join(COLUMNS)}; came: {came}.")
    rows: list[dict[str, str]] = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in table.select(list(COLUMNS)).to_pylist()
    ]
    strange = next((row["answer"] for row in rows if row["answer"] not in tuple(_CHOICES)), None)
    if strange is not None:
        raise InputError(f"answers should be A, B, C or D; {strange!r} came.")
    for subject in {row["subject"] for row in rows if row["split"] == "test"}:
        there = sum(row["split"] == "dev" and row["subject"] == subject for row in rows)
        if there < shots:
            raise InputError(f"subject {subject!r} has {there} rows of split dev; shots={shots} needs as many.")
    if not any(row["split"] == "test" for row in rows):
        raise InputError(f"{path} has no rows of split test.")
    return rows


def _write_tasks(run: RunFolder, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A task for each subject, as the harness reads it; questions lie beside it as data."""
    names = []
    for place, subject in enumerate(sorted({row["subject"] for row in rows})):
        name = f"{_TASK}{place:02}_{re.sub('[^a-z0-9]+', '_', subject.lower())}"
        files = {}
        for split in ("test", "dev"):
            own = [row for row in rows if (row["split"], row["subject"]) == (split, subject)]
            lines = [json.dumps({**row, "place": _CHOICES.index(row["answer"])}, ensure_ascii=False) for row in own]
            if lines:
                files[split] = str(run.write_text(f"tasks/{name}-{split}.jsonl", "\n".join(lines) + "\n").resolve())
        if "test" not in files:
            continue
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files, "cache_dir": str(run.path("tasks/cache").resolve())},
            "test_split": "test",
            "output_type": "multiple_choice",
            "description": f"The following are multiple choice questions (with answers) about {_spoken(subject)}.\n\n",
            "doc_to_text": "{{question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\nAnswer:",
            "doc_to_choice": list(_CHOICES),
            "doc_to_target": "place",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
        if "dev" in files:
            task |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
        # JSON is YAML: nothing of a subject's name can end a line of it early
        run.write_text(f"tasks/{name}.yaml", json.dumps(task, ensure_ascii=True))
        names.append(name)
    return names


def _spoken(subject: str) -> str:
    """A subject's name as text: braces would be a template."""
    return re.sub(r"[{}%#\n]", " ", subject.replace("_", " "))


def _metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    subjects, right, total = {}, 0.0, 0
    for name, scores in found["results"].items():
        if name not in found.get("n-samples", {}):
            continue  # a group of tasks
        count = int(found["n-samples"][name]["effective"])
        accuracy = float(scores["acc,none"])
        plain = re.sub(rf"^(?:{_TASK}\d\d_|mmlu_)", "", name)
        subjects[plain] = {"accuracy": accuracy, "questions": count}
        right, total = right + accuracy * count, total + count
    mean = right / total
    return {
        "accuracy": mean,
        "standard_error": float(np.sqrt(mean * (1 - mean) / total)),
        "questions": total,
        "subjects": dict(sorted(subjects.items())),
    }


def _digest(rows: Sequence[Mapping[str, str]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Local questions need no hub: without this the harness asks it whether a dataset has changed."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    if wanted:
        os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
