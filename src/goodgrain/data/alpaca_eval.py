"""Answers of models to evaluation questions, and who preferred which, in the JSON of alpaca_eval."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goodgrain.errors import InputError, UnknownName
from goodgrain.files import whole_file

_GENERATOR = ("generator", "model")  # columns that say who answered


@dataclass(frozen=True)
class ModelOutput:
    """What one model answered to one question.

    Args:
        instruction: the question.
        output: the answer; "" where the model said nothing.
        generator: the model's name.
        dataset: the part of the evaluation set that the question comes from; "" where it is not known.
    """

    instruction: str
    output: str
    generator: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class Annotation:
    """Which of two answers a judge prefers, as alpaca_eval keeps it: output_1 is the reference.

    Args:
        instruction: the question.
        output_1: the answer of the model that is compared with.
        generator_1: its name.
        output_2: the answer of the model that is evaluated.
        generator_2: its name.
        annotator: who judged.
        preference: 1, 2, or 1.5 for a tie; None where there is no verdict. The mean of preference - 1 is the win rate
            of generator_2.
        dataset: the part of the evaluation set.
        raw_completions: what the judge said, in its order of asking.
    """

    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    annotator: str
    preference: float | None
    dataset: str = ""
    raw_completions: tuple[str, ...] = ()


@dataclass(frozen=True)
class MatchedOutputs:
    """Two models' answers, question by question.

    Args:
        pairs: (ours, theirs) of each question that both answered, in the order of ours.
        only_ours: questions that only ours answered.
        only_theirs: questions that only theirs answered.
    """

    pairs: tuple[tuple[ModelOutput, ModelOutput], ...]
    only_ours: tuple[str, ...] = ()
    only_theirs: tuple[str, ...] = ()


def read_outputs(path: str | Path, *, model: str | None = None) -> tuple[ModelOutput, ...]:
    """Read the answers of one model.

    Args:
        path: JSON as alpaca_eval takes it, a list of objects with instruction and output, and perhaps input (which is
            added to the instruction), generator and dataset; JSONL of such objects; or Parquet of such columns. A
            column `model` is the generator, too.
        model: whose answers, where the file holds those of several.

    Returns:
        One ModelOutput for each question, in the order of the file.

    Raises:
        InputError: the file cannot be read, a row lacks a text, or several models come and none was chosen.
        UnknownName: the file has no answers of this model.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "outputs.json")
        >>> write_outputs(path, [ModelOutput("2 + 2?", "4", "tiny")])
        >>> read_outputs(path)
        (ModelOutput(instruction='2 + 2?', output='4', generator='tiny', dataset=''),)
    """
    path = Path(path)
    rows = [_output(path, number, row) for number, row in enumerate(_rows(path))]
    names = list(dict.fromkeys(row.generator for row in rows))
    if model is not None:
        if model not in names:
            raise UnknownName(f"model in {path}", model, names)
        rows = [row for row in rows if row.generator == model]
    elif len(names) > 1:
        raise InputError(f"{path} holds answers of {len(names)} models. Name one of them: {', '.join(sorted(names))}.")
    return tuple(rows)


def read_questions(path: str | Path) -> tuple[ModelOutput, ...]:
    r"""Read the questions of a file of answers, or of a file that has instructions only.

    Args:
        path: as for `read_outputs`, of any number of models; no row needs an output.

    Returns:
        Each question once, in the order of the file, without answer and generator.

    Raises:
        InputError: the file cannot be read, or a row has no instruction.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "questions.json")
        >>> _ = path.write_text('[{"instruction": "Add them.", "input": "2, 2"}, {"instruction": "Hello"}]')
        >>> [question.instruction for question in read_questions(path)]
        ['Add them.\n\n2, 2', 'Hello']
    """
    path = Path(path)
    found: dict[str, str] = {}
    for number, row in enumerate(_rows(path)):
        question = _output(path, number, row, answered=False)
        found.setdefault(question.instruction, question.dataset)
    return tuple(ModelOutput(text, "", "", dataset) for text, dataset in found.items())


def match_outputs(ours: Sequence[ModelOutput], theirs: Sequence[ModelOutput]) -> MatchedOutputs:
    """Put the two answers to each question side by side.

    Args:
        ours: answers of one model, each question once.
        theirs: of the other.

    Returns:
        MatchedOutputs.

    Raises:
        InputError: one of them answers a question twice, or they have no question in common.

    Example:
        >>> found = match_outputs([ModelOutput("a", "1"), ModelOutput("b", "2")], [ModelOutput("b", "3")])
        >>> len(found.pairs), found.only_ours
        (1, ('a',))
    """
    own, other = _by_question("ours", ours), _by_question("theirs", theirs)
    pairs = tuple((row, other[row.instruction]) for row in ours if row.instruction in other)
    if not pairs:
        raise InputError(
            f"the two models answered no question in common: {len(own)} questions here, {len(other)} there. Give the "
            "answers of both to the same set; instructions have to be equal letter by letter."
        )
    return MatchedOutputs(
        pairs,
        tuple(row.instruction for row in ours if row.instruction not in other),
        tuple(row.instruction for row in theirs if row.instruction not in own),
    )


def write_outputs(target: str | Path, outputs: Iterable[ModelOutput]) -> None:
    """Write answers as the JSON that alpaca_eval takes; the file appears whole or not at all.

    Args:
        target: the file.
        outputs: the answers.
    """
    _write(target, outputs)


def write_annotations(target: str | Path, annotations: Iterable[Annotation]) -> None:
    """Write verdicts as alpaca_eval's annotations.json; the file appears whole or not at all.

    Args:
        target: the file.
        annotations: one for each question.
    """
    _write(target, annotations)


def outputs_fingerprint(outputs: Iterable[ModelOutput]) -> str:
    """16 hexadecimal characters that change with any answer, and with their order.

    Example:
        >>> outputs_fingerprint([ModelOutput("2 + 2?", "4")]) == outputs_fingerprint([ModelOutput("2 + 2?", "5")])
        False
    """
    texts = json.dumps([list(asdict(output).values()) for output in outputs])
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


def _write(target: str | Path, rows: Iterable[ModelOutput | Annotation]) -> None:
    with whole_file(Path(target)) as part:  # ASCII: half a surrogate pair in an answer has no UTF-8
        part.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="ascii")


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.is_file():
        raise InputError(f"there is no file {path}. Give JSON, JSONL or Parquet with instructions.")
    try:
        if path.suffix.lower() == ".parquet":
            rows: Any = pq.read_table(path).to_pylist()
        elif path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        else:
            rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, pa.ArrowException) as reason:
        raise InputError(f"{path} cannot be read: {str(reason).rstrip('.')}.") from reason
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} should hold a list of at least one object with an instruction; it does not.")
    return rows


def _output(path: Path, number: int, row: Any, *, answered: bool = True) -> ModelOutput:
    if not isinstance(row, Mapping):
        raise InputError(f"row {number} of {path} should be an object with instruction and output; {row!r:.60} came.")
    for name in ("instruction", "output")[: 1 + answered]:
        if not isinstance(row.get(name), str):
            raise InputError(
                f'row {number} of {path} should have a text {name!r}; {row.get(name)!r:.60} came. Write "" where a '
                "model said nothing."
            )
    question, more = row["instruction"], row.get("input")
    if isinstance(more, str) and more.strip():
        question = f"{question}\n\n{more}"
    if not question.strip():
        raise InputError(f"row {number} of {path} has an empty instruction. Leave it out.")
    generator = next((row[name] for name in _GENERATOR if row.get(name) is not None), "")
    return ModelOutput(question, row["output"] if answered else "", str(generator), str(row.get("dataset") or ""))


def _by_question(whose: str, outputs: Sequence[ModelOutput]) -> dict[str, ModelOutput]:
    found: dict[str, ModelOutput] = {}
    for row in outputs:
        if row.instruction in found:
            raise InputError(f"{whose} answers a question twice: {row.instruction[:60]!r}. Leave one answer.")
        found[row.instruction] = row
    return found
