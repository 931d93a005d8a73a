"""Evaluate preference: whose answers does a judge prefer, asked in both orders, and how sure is that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from goodgrain.checks import check_count
from goodgrain.data.alpaca_eval import MatchedOutputs, ModelOutput, match_outputs, outputs_fingerprint, read_outputs
from goodgrain.errors import InputError, UnknownName
from goodgrain.metrics.preference import PreferenceRates
from goodgrain.pipelines.evaluate_preference_results import Comparison, write_comparison
from goodgrain.pipelines.instruct_teacher import Access, check_teacher, cost_of, counter, open_client
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import RunFolder
from goodgrain.teacher import Client, Teacher
from goodgrain.teacher.judging import Judgements, JudgePrompt, Pair, judge_pairs, judging_requests
from goodgrain.teacher.messages import OnAnswer
from goodgrain.teacher.server import check_url

ANSWERS = "answers.sqlite"
_PROMPTS_SHOWN = 4  # of a dry run: two pairs in both orders

Outputs = str | Path | Sequence[ModelOutput]


@dataclass(frozen=True, eq=False)
class PreferenceResult:
    """What a comparison of two models found.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds; after a dry run what the judge would take.
        rates: wins, ties and losses of our model; None where no pair has an outcome, and after a dry run.
        matched: the pairs, and the questions that only one model answered.
        judgements: what became of each pair; None after a dry run.
    """

    folder: Path
    metrics: dict[str, Any]
    rates: PreferenceRates | None
    matched: MatchedOutputs
    judgements: Judgements | None

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"

    @property
    def annotations(self) -> Path:
        """The verdicts in the form of alpaca_eval."""
        return self.folder / "annotations.json"


def evaluate_preference(
    ours: Outputs,
    theirs: Outputs,
    *,
    output: str | Path,
    teacher: str | Teacher,
    model: str | None = None,
    our_model: str | None = None,
    their_model: str | None = None,
    prompt: JudgePrompt | None = None,
    max_tokens: int = 512,
    temperature: float | None = 0.0,
    resamples: int = 10_000,
    seed: int = 0,
    dry_run: bool = False,
    monitor: Monitor | None = None,
    **access: Any,
) -> PreferenceResult:
    """Have a judge compare two models' answers to the same questions (figure 6.4).

    Each pair is judged in both orders; where the two verdicts differ it is a tie, so that a judge who goes by the place
    makes ties and not wins. Every question is accounted for: won, tied, lost, left out because a verdict could not be
    read twice, or unmatched. What was answered is on the disk before the next question and is never paid twice: a run
    that was stopped in any way continues when it is called again with the same arguments.

    Args:
        ours: answers of the model that is evaluated: a file as for `goodgrain.data.alpaca_eval.read_outputs`, or
            ModelOutputs.
        theirs: answers of the model that it is compared with.
        output: the run folder, for annotations.json, metrics.json and report.html.
        teacher: the judge: the address of an OpenAI-compatible server, or anything with the method `ask` of
            `goodgrain.teacher.Teacher`.
        model: the judge's name at the server.
        our_model: whose answers, where the file holds those of several models.
        their_model: likewise.
        prompt: what the judge is asked; None for the default criteria.
        max_tokens: of an answer, reasoning included.
        temperature: of the judge's sampling; None leaves it to the server.
        resamples: of the bootstrap over questions.
        seed: of the bootstrap and of the judge's sampling.
        dry_run: ask nothing: tell the tokens and the price, and write some of the prompts to `prompts.jsonl`.
        monitor: told what happens; silent by default.
        **access: what may be spent and how fast: everything in `goodgrain.pipelines.instruct_teacher.Access`, such as
            budget_usd, input_usd and output_usd.

    Returns:
        PreferenceResult.

    Raises:
        InputError: anything about files or arguments that cannot work, said before anything is asked.
        UnknownName: an argument, a model or a criterion that there is not.
        CostCapReached: the budget is too small; what was answered is kept.
        TeacherUnavailable: the server does not answer; what was answered is kept.

    Example:
        >>> import tempfile
        >>> from goodgrain.teacher import Answer
        >>> class Longest:
        ...     def ask(self, requests, on_answer=None):
        ...         shown = [request.messages[-1].content for request in requests]
        ...         return [Answer("[1]" if text.index("yes") < text.index("no") else "[2]") for text in shown]
        >>> mine, base = [ModelOutput("Is 7 prime?", "yes", "mine")], [ModelOutput("Is 7 prime?", "no", "base")]
        >>> evaluate_preference(mine, base, output=tempfile.mkdtemp(), teacher=Longest()).metrics["win_rate"]["share"]
        1.0
    """
    reached, watch, asked = _access(access), monitor or Silent(), prompt or JudgePrompt()
    if isinstance(teacher, str):
        check_url(teacher)
        check_teacher(teacher, model, reached, needed=True, dry_run=dry_run)
    elif dry_run:
        raise InputError("a dry run tells what a server would take. Give the address of one as teacher.")
    check_count("resamples", resamples)
    watch.stage("reading the answers")
    given = ours, theirs
    ours, theirs = _outputs(ours, our_model), _outputs(theirs, their_model)
    matched = match_outputs(ours, theirs)
    if len(matched.pairs) < max(len(ours), len(theirs)):
        watch.stage(
            f"{len(matched.pairs):,} questions have both answers; {len(matched.only_ours):,} have only ours and "
            f"{len(matched.only_theirs):,} only theirs, and count nowhere"
        )
    pairs: list[Pair] = [(one.instruction, one.output, other.output) for one, other in matched.pairs]
    asking: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    requests = judging_requests(pairs, asked, **asking)
    judge = " at ".join(filter(None, [model, teacher if isinstance(teacher, str) else type(teacher).__name__]))
    table = {
        "job": "evaluate-preference",
        "ours": _source(given[0]),
        "theirs": _source(given[1]),
        "judge": judge,
        "our_model": our_model,
        "their_model": their_model,
        "prompt": asdict(asked),
        **asking,
        "resamples": resamples,
        "fingerprint": {"ours": outputs_fingerprint(ours), "theirs": outputs_fingerprint(theirs)},
    }
    with RunFolder(output, table) as run:
        run.log("started", questions=len(pairs), requests=len(requests), dry_run=dry_run)
        if not isinstance(teacher, str):
            judgements = judge_pairs(pairs, teacher, asked, **asking, on_answer=_told(requests, watch, None, reached))
            cost = None
        else:
            with open_client(teacher, model or "", reached, run.path(ANSWERS)) as client:
                if dry_run:
                    _show_prompts(run, requests)
                    return PreferenceResult(run.folder, asdict(client.estimate(requests)), None, matched, None)
                told = _told(requests, watch, client, reached)
                judgements = judge_pairs(pairs, client, asked, **asking, on_answer=told)
                cost = cost_of(client, reached)
        comparison = Comparison(
            matched=matched,
            judgements=judgements,
            judge=judge,
            annotator=model or judge,
            resamples=resamples,
            seed=seed,
            cost=cost,
        )
        watch.stage("writing the verdicts and the report")
        metrics = write_comparison(run, comparison)
        run.log("finished", judged=metrics["judged"])
    return PreferenceResult(run.folder, metrics, comparison.rates, matched, judgements)


def _access(given: dict[str, Any]) -> Access:
    known = {field.name for field in fields(Access)}
    for name in given:
        if name not in known:
            raise UnknownName("argument", name, known)
    return Access(**given)


def _outputs(given: Outputs, model: str | None) -> Sequence[ModelOutput]:
    if isinstance(given, str | Path):
        return read_outputs(given, model=model)
    if model is not None:
        raise InputError(f"model {model!r} can only be chosen from a file. Give the answers of this model alone.")
    return tuple(given)


def _source(given: Outputs) -> str | None:
    return str(given) if isinstance(given, str | Path) else None


def _told(requests: Sequence[object], watch: Monitor, client: Client | None, access: Access) -> OnAnswer:
    watch.stage(f"asking the judge {len(requests):,} times: each pair in both orders")
    return counter("verdicts", len(requests), watch, client, access)


def _show_prompts(run: RunFolder, requests: Sequence[Any]) -> None:
    lines = [json.dumps({"messages": [asdict(message) for message in request.messages]}) for request in requests]
    run.write_text("prompts.jsonl", "".join(f"{line}\n" for line in lines[:_PROMPTS_SHOWN]))
