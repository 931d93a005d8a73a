"""MMLU's questions from a local file, and as tasks of the lm-eval harness."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goodgrain.errors import InputError

LETTERS = "ABCD"
COLUMNS = ("split", "subject", "question", *LETTERS, "answer")

_ASKED, _SHOWN = "test", "dev"  # splits that are asked, and that examples come from
_KINDS = ".parquet, .csv or .jsonl"


@dataclass(frozen=True)
class Subject:
    """The questions of one subject, each a table of question, A, B, C, D and answer (0 to 3).

    Args:
        name: such as "abstract_algebra".
        asked: the test split, in the file's order.
        shown: the dev split, from which the examples before a question come.
    """

    name: str
    asked: Sequence[Mapping[str, Any]]
    shown: Sequence[Mapping[str, Any]]


def read_mmlu(path: str | Path) -> tuple[Subject, ...]:
    r"""Read questions of several subjects, in the order of the subjects' names.

    Args:
        path: a Parquet, CSV or JSONL file with the columns split (test or dev; others are left out), subject, question,
            A, B, C, D and answer (a letter, or 0 to 3).

    Raises:
        InputError: no such file, another kind, a column that is missing, or a row that is no question.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "questions.csv")
        >>> _ = path.write_text("split,subject,question,A,B,C,D,answer\ntest,sums,1 + 1?,1,2,3,4,B\n")
        >>> read_mmlu(path)[0].asked
        [{'question': '1 + 1?', 'A': '1', 'B': '2', 'C': '3', 'D': '4', 'answer': 1}]
    """
    place = Path(path)
    rows = _rows(place)
    missing = [name for name in COLUMNS if name not in (rows[0] if rows else ())]
    if missing:
        came = ", ".join(rows[0]) if rows else "none"
        raise InputError(f"{place} lacks the columns {', '.join(missing)}. Its columns: {came}.")
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for number, row in enumerate(rows, start=1):
        if row["split"] in (_ASKED, _SHOWN):
            subject = found.setdefault(_text(place, number, row, "subject"), {_ASKED: [], _SHOWN: []})
            subject[row["split"]].append(_question(place, number, row))
    subjects = tuple(Subject(name, both[_ASKED], both[_SHOWN]) for name, both in sorted(found.items()) if both[_ASKED])
    if not subjects:
        raise InputError(f"{place} has no row whose split is {_ASKED!r}.")
    return subjects


def check_shots(subjects: Sequence[Subject], shots: int) -> None:
    """Refuse more examples than a subject has."""
    for subject in subjects:
        if len(subject.shown) < shots:
            raise InputError(
                f"subject {subject.name!r} has {len(subject.shown)} rows of split {_SHOWN!r}, and shots={shots} are "
                f"shown before each question. Give at most {len(subject.shown)}, or more rows."
            )


def questions_fingerprint(subjects: Sequence[Subject]) -> str:
    """A digest of all that is asked and shown."""
    text = json.dumps([[one.name, list(one.asked), list(one.shown)] for one in subjects], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def write_tasks(folder: Path, subjects: Sequence[Subject], shots: int) -> dict[str, str]:
    """Write one lm-eval task per subject, as the harness's own MMLU puts it, with its questions beside it.

    Questions lie in Parquet, since the reader of JSON would take texts such as "2020-01-01" for dates. Nothing of the
    data is in a template: the harness would execute it.

    Args:
        folder: for the files; `lm_eval --include_path` takes it as well.
        subjects: with enough examples.
        shots: examples before each question, the first of the subject's.

    Returns:
        Subject by name of its task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for place, subject in enumerate(subjects):
        task = f"local_mmlu_{place:03d}_{re.sub('[^a-z0-9]+', '_', subject.name.lower())[:60]}"
        files = {}
        for split, rows in ((_ASKED, subject.asked), (_SHOWN, subject.shown)):
            if rows:
                target = folder / f"{task}_{split}.parquet"
                pq.write_table(pa.Table.from_pylist([{**row, "subject": subject.name} for row in rows]), target)
                files[split] = str(target.resolve())
        config: dict[str, Any] = {
            "task": task,
            "dataset_path": "parquet",
            "dataset_kwargs": {"data_files": files, "cache_dir": str((folder / "cache").resolve())},
            "test_split": _ASKED,
            "num_fewshot": shots,
            "output_type": "multiple_choice",
            "description": "The following are multiple choice questions (with answers) about "
            "{{subject.replace('_', ' ')}}.\n\n",
            "doc_to_text": "{{question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\nAnswer:",
            "doc_to_choice": list(LETTERS),
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1.0},
        }
        if shots:
            config |= {"fewshot_split": _SHOWN, "fewshot_config": {"sampler": "first_n"}}
        (folder / f"{task}.yaml").write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
        names[task] = subject.name
    return names


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            return list(pq.read_table(path).to_pylist())
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
            if not all(isinstance(line, dict) for line in lines):
                raise InputError(f"{path} should hold a JSON object in each line.")
            return lines
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, pa.ArrowException) as reason:
        raise InputError(f"{path} cannot be read: {reason}.") from reason
    raise InputError(f"questions should be a {_KINDS} file; {path} came.")


def _question(path: Path, number: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = str(row["answer"]).strip()
    place = LETTERS.find(answer) if len(answer) == 1 and answer in LETTERS else "0123".find(answer or "-")
    if place < 0 or len(answer) > 1:
        raise InputError(f"{path}, row {number}: answer should be A, B, C or D, or 0 to 3; {row['answer']!r} came.")
    return {name: _text(path, number, row, name) for name in ("question", *LETTERS)} | {"answer": place}


def _text(path: Path, number: int, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{path}, row {number}: {name} should be text; {value!r} came.")
    return str(value)
