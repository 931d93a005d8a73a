"""Scores of single instructions: by a local language model, by their length, or by a teacher who sees one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.instructions import Instructions
from goodgrain.errors import TeacherUnavailable
from goodgrain.learn.engine import Engine
from goodgrain.models.chat_model import load_causal
from goodgrain.models.language import response_losses
from goodgrain.pipelines.instruct_config import InstructConfig
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.pace import Pace
from goodgrain.run import RunFolder
from goodgrain.scores.text import ifd, length, perplexity
from goodgrain.teacher import ChatRequest, Teacher
from goodgrain.teacher.messages import OnAnswer
from goodgrain.teacher.scoring import ScorePrompt, score_rows, scoring_requests

Scores = NDArray[np.float64]

_LOSSES = "losses"
_PART = 512  # rows whose losses are kept together: what a kill may cost
_CHUNK = 5000  # rows whose prompts are in memory at a time


def offline_scores(
    name: str, run: RunFolder, instructions: Instructions, model: str | None, device: str, watch: Monitor
) -> tuple[Scores, str]:
    """(n,) scores that ask nobody, and what they are in words.

    Args:
        name: "length", "ifd" or "perplexity".
        run: keeps losses part by part.
        instructions: n rows.
        model: a language model, for the last two.
        device: where it goes.
        watch: is told.
    """
    if name == "length":
        parts = [length([response for _, response in rows]) for _, rows in instructions.blocks()]
        return np.concatenate(parts), "characters"
    assert model is not None
    conditional, alone = _losses(run, instructions, model, device, watch)
    if name == "ifd":
        return ifd(conditional, alone), "instruction-following difficulty"
    return perplexity(conditional), "minus perplexity"


def _losses(
    run: RunFolder, instructions: Instructions, model: str, device: str, watch: Monitor
) -> tuple[Scores, Scores]:
    found, loaded = [], None
    pace = Pace("rows read by the language model", len(instructions), watch)
    for there, rows in instructions.blocks(_PART):
        name = f"{_LOSSES}/{there.start:09}.npy"
        new = not run.has(name)
        if new:
            loaded = loaded or load_causal(model, Engine(device).device)
            losses = response_losses(loaded, rows)
            run.write_array(name, np.stack([losses.conditional, losses.alone, losses.cut]))
        found.append(np.load(run.folder / name))
        pace.add(len(rows), new=new)
    conditional, alone, cut = np.concatenate(found, axis=1)
    if cut.any():
        watch.stage(f"{int(cut.sum()):,} rows are longer than the model can read, and are judged by their beginning")
    return conditional, alone


def sample_wise(
    instructions: Instructions, rows: Positions, teacher: Teacher, asked: InstructConfig, on_answer: OnAnswer
) -> tuple[Scores, dict[int, str]]:
    """(n,) scores from 0 to 5, NaN where none could be read, and what the teacher said of each row.

    Raises:
        TeacherUnavailable: some rows have no answer after all attempts; what was answered is kept.
        CostCapReached, DiskFull: from the teacher.
    """
    scores, words = np.full(len(instructions), np.nan), dict[int, str]()
    failed = 0
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        result = score_rows(
            instructions.rows(part),
            teacher,
            _prompt(asked),
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            seed=asked.seed,
            on_answer=on_answer,
        )
        scores[part] = result.scores
        words |= dict(zip(part.tolist(), result.words, strict=True))
        failed += result.failed
    if failed:
        raise TeacherUnavailable(f"{failed} of {len(rows)} rows have no answer. Repeat the command: it asks for these.")
    return scores, words


def sample_wise_requests(instructions: Instructions, rows: Positions, asked: InstructConfig) -> Iterator[ChatRequest]:
    """What a teacher will be asked at first."""
    for start in range(0, len(rows), _CHUNK):
        yield from scoring_requests(
            instructions.rows(rows[start : start + _CHUNK]),
            _prompt(asked),
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            seed=asked.seed,
        )


def _prompt(asked: InstructConfig) -> ScorePrompt:
    return ScorePrompt(asked.criteria, max_characters=asked.max_characters)
