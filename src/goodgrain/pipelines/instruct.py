"""Instruct: read, embed, cluster, have each cluster ranked, keep the best of each, report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_embeddings
from goodgrain.data.instructions import Instructions, find_copies, read_instructions
from goodgrain.errors import InputError, UnknownName
from goodgrain.pipelines.instruct_choose import ANSWERS, ASKED, Task, beside, choose, rehearse
from goodgrain.pipelines.instruct_config import METHODS, OFFLINE, InstructConfig
from goodgrain.pipelines.instruct_embedders import find_embedder
from goodgrain.pipelines.instruct_report import write_report
from goodgrain.pipelines.instruct_results import (
    Outcome,
    measure,
    of_clusters,
    of_picks,
    truth_of,
    with_copies,
    write_selection,
)
from goodgrain.pipelines.instruct_space import embed_instructions
from goodgrain.pipelines.instruct_teacher import Access, check_teacher
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import RunFolder
from goodgrain.teacher import CostCap, Teacher


@dataclass(frozen=True, eq=False)
class InstructResult:
    """What a selection of instructions made.

    Args:
        folder: the run folder.
        ids: (k,) ids of the kept rows, in the order picked; none after a dry run.
        positions: (k,) the same as positions into the data.
        metrics: what metrics.json holds; after a dry run what the teacher would take.
        kept: the file of the kept rows, in the layout that came in; None after a dry run.
    """

    folder: Path
    ids: NDArray[np.str_]
    positions: Positions
    metrics: dict[str, Any]
    kept: Path | None = None

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"


def instruct(
    data: str | Path | Instructions,
    *,
    output: str | Path,
    teacher: str | Teacher | None = None,
    model: str | None = None,
    embeddings: ArrayLike | None = None,
    names: str | Path | None = None,
    truth: str | None = None,
    request: str | None = None,
    response: str | None = None,
    id_column: str | None = None,
    dry_run: bool = False,
    device: str = "auto",
    monitor: Monitor | None = None,
    **config: Any,
) -> InstructResult:
    """Keep the clean, diverse, good instructions of a set (FP-Instruction, chapter 6, Algorithm 5).

    Rows that are alike are put into small clusters; a teacher ranks each cluster in one prompt, and may leave rows
    out; the best of each cluster is kept. What the teacher answered is on the disk before the next question, and is
    never paid twice: a run that was stopped in any way continues when it is called again with the same arguments.

    Args:
        data: JSON, JSONL, Parquet or a Hugging Face dataset on disk; see `goodgrain.data.instructions`.
        output: the run folder.
        teacher: the address of an OpenAI-compatible server; "ifd", "perplexity" or "length" for a baseline that asks
            nobody; or anything with the method `ask` of `goodgrain.teacher.Teacher`.
        model: its name at the server; for "ifd" and "perplexity" a language model that transformers can load.
        embeddings: (n, d) of your own, instead of `embedder`.
        names: for method "list": a text file of ids or requests, or a file of instructions.
        truth: a column that tells which responses are hallucinated, for the report only.
        request: the column of requests, where its name is not a usual one.
        response: likewise of responses.
        id_column: a column of your own ids.
        dry_run: ask nothing: tell the tokens and the price, and write some of the prompts to `prompts.jsonl`.
        device: of local models, "auto", "cpu" or "cuda".
        monitor: told what happens; silent by default.
        **config: everything in `goodgrain.pipelines.instruct_config.InstructConfig` and, for what may be spent and how
            fast, in `goodgrain.pipelines.instruct_teacher.Access`.

    Returns:
        The kept rows, the metrics and where the report is.

    Raises:
        InputError: anything about data or arguments that cannot work, said before anything is asked.
        UnknownName: an argument or a name that there is not.
        CostCapReached: the budget is too small; what was answered is kept.
        TeacherUnavailable: the server does not answer; what was answered is kept.

    Example:
        >>> import json, tempfile
        >>> rows = [{"instruction": f"Say {i}.", "output": "x" * i} for i in range(1, 13)]
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "rows.json").write_text(json.dumps(rows))
        >>> result = instruct(folder / "rows.json", output=folder / "run", teacher="length", keep=4,
        ...                   embeddings=[[i // 3, 1.0] for i in range(12)])
        >>> result.positions.tolist()
        [2, 5, 8, 11]
    """
    asked, access = split_config(config)
    watch = monitor or Silent()
    check_teacher(teacher, model, access, needed="teacher" in METHODS[asked.method], dry_run=dry_run)
    _check_needs(asked, teacher, model, names, dry_run=dry_run)
    instructions = _read(data, watch, request=request, response=response, id_column=id_column)
    n = len(instructions)
    known = truth_of(instructions, truth)
    x = None if embeddings is None else check_embeddings(embeddings, n=n)
    cap = None if access.budget_usd is None else CostCap(access.budget_usd)
    embedder = None
    if asked.needs_embeddings and x is None:
        answers = Path(output) / ANSWERS
        embedder = find_embedder(asked.embedder, device=device, access=access, answers=answers, cap=cap)
    table = {
        "job": "instruct",
        "data": str(instructions.path),
        "teacher": _name_of(teacher),
        "model": model,
        "names": names,
        "truth": truth,
        "request": request,
        "response": response,
        "id_column": id_column,
        "instruct": asked.table(),
        "fingerprint": {
            "data": instructions.fingerprint(),
            "embeddings": None if x is None else hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:16],
            "embedder": None if embedder is None else embedder.identity,
        },
    }
    with RunFolder(output, table, open_until=ANSWERS, may_change=ASKED) as run:
        run.log("started", rows=n, problems=len(instructions.problems), dry_run=dry_run)
        if asked.needs_embeddings and x is None:
            x = embed_instructions(
                run, instructions, embedder, spec=asked.embedder, part=asked.part, vectors=access.vectors, watch=watch
            )
        copies = find_copies(instructions, x, threshold=asked.near)
        task = Task(
            run=run,
            instructions=instructions,
            embeddings=x,
            dropped=copies.positions[copies.exact] if asked.drop_copies else np.zeros(0, dtype=np.int64),
            asked=asked,
            teacher=teacher,
            model=model,
            names=None if names is None else Path(names),
            access=access,
            cap=cap,
            device=device,
            watch=watch,
        )
        if dry_run:
            return InstructResult(run.folder, instructions.ids[:0], task.dropped[:0], rehearse(task))
        choice = choose(task)
        if choice.clusters is not None and choice.rankings is not None:
            verdict = of_clusters(n, choice.clusters, choice.rankings)
        else:
            assert choice.picks is not None
            verdict = of_picks(n, choice.picks)
        outcome = Outcome(
            asked=asked,
            instructions=instructions,
            verdict=with_copies(verdict, copies, instructions.ids),
            copies=copies,
            truth=known,
            embeddings=x,
            clusters=choice.clusters,
            rankings=choice.rankings,
            picks=choice.picks,
            others=beside(task, max(1, int(verdict.kept.sum()))),
            cost=choice.cost,
            teacher=_words(teacher, model),
        )
        watch.stage("writing the selection and the report")
        kept = write_selection(run, outcome)
        metrics = measure(outcome)
        run.write_json("metrics.json", metrics)
        write_report(run, outcome, metrics)
        run.log("finished", kept=metrics["kept"])
    positions = verdict.positions
    return InstructResult(Path(output), instructions.ids[positions], positions, metrics, kept)


def split_config(config: Mapping[str, Any]) -> tuple[InstructConfig, Access]:
    """What was asked, and how the teacher is reached.

    Raises:
        UnknownName: an argument that neither has.
    """
    ours = {field.name for field in fields(InstructConfig)}
    theirs = {field.name for field in fields(Access)}
    for name in config:
        if name not in ours | theirs:
            raise UnknownName("argument", name, ours | theirs)
    asked = InstructConfig(**{name: value for name, value in config.items() if name in ours})
    return asked, Access(**{name: value for name, value in config.items() if name in theirs})


def _check_needs(asked: InstructConfig, teacher: Any, model: str | None, names: Any, *, dry_run: bool) -> None:
    scored = "language model" in METHODS[asked.method] or teacher in ("ifd", "perplexity")
    if scored and not model:
        raise InputError("a language model has to score the rows: give model, such as the folder of one.")
    if "list" in METHODS[asked.method] and names is None:
        raise InputError("method list needs a list: give names, a file of ids or requests.")
    if asked.method == "sample_wise" and teacher in OFFLINE:
        raise InputError(f"sample_wise asks a server; for the baseline {teacher} give method {teacher}.")
    if dry_run and not (isinstance(teacher, str) and teacher not in OFFLINE):
        raise InputError("a dry run tells what a server would take. Give the address of one as teacher.")


def _read(data: str | Path | Instructions, watch: Monitor, **columns: str | None) -> Instructions:
    if isinstance(data, Instructions):
        return data
    watch.stage("reading the instructions")
    found = read_instructions(data, **columns)
    if found.problems:
        first = found.problems[0]
        watch.stage(
            f"{len(found.problems):,} rows cannot be used and are left out; the first is row {first.row:,}: "
            f"{first.reason}"
        )
    return found


def _name_of(teacher: str | Teacher | None) -> str | None:
    return teacher if isinstance(teacher, str) or teacher is None else type(teacher).__name__


def _words(teacher: str | Teacher | None, model: str | None) -> str:
    if teacher is None:
        return ""
    if teacher in OFFLINE:
        return f"{teacher}, an offline baseline" + (f", by {model}" if model and teacher != "length" else "")
    return " at ".join(filter(None, [model, _name_of(teacher)]))
