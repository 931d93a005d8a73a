"""A teacher that knows which responses are hallucinated, but not surely: for rehearsals, and to measure methods."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from goodgrain.checks import check_within
from goodgrain.errors import InputError
from goodgrain.teacher.messages import Answer, ChatRequest, Failure, OnAnswer
from goodgrain.teacher.prompts import neutral
from goodgrain.teacher.scoring import SCORE_SYSTEM

_BLOCK = re.compile(
    r"^\[(?P<number>\d+)\] USER (?P<mark><\w+>)\n(?P<request>.*?)\n\[(?P=number)\] ASSISTANT (?P=mark)\n"
    r"(?P<response>.*?)\n\[(?P=number)\] (?:CUT|END) ",
    re.MULTILINE | re.DOTALL,
)
_STEP = 0.5  # of a score
_SCORES = SCORE_SYSTEM.partition(":")[0]


class SimulatedTeacher:
    """Reads the prompts of `RankingPrompt` and `ScorePrompt`, and answers by a noisy look at the truth.

    Each row gives it an impression: 1 unit of noise, on which hallucinated responses lie lower by as much as makes the
    stated accuracy of telling one from a true one when seen alone. The impression of a row is the same in
    every prompt. Rows that seem hallucinated are left out of rankings; scores from 0 to 5 are the impression in steps
    of 0.5. What comes out measures a method with such a teacher, not a model.

    Args:
        truth: response -> whether it is hallucinated.
        accuracy: from 0.5 (chance) to below 1, of telling whether a row is hallucinated.
        seed: of the noise.

    Raises:
        InputError: an accuracy outside its range.

    Example:
        >>> from goodgrain.teacher import rank_clusters
        >>> teacher = SimulatedTeacher({"4": False, "5": True}, accuracy=0.999)
        >>> rank_clusters([[("2 + 2?", "5"), ("2 + 2?", "4")]], teacher).clusters[0].winner
        1
    """

    def __init__(self, truth: Mapping[str, bool], *, accuracy: float = 0.8, seed: int = 0) -> None:
        if not 0.5 <= check_within("accuracy", accuracy, above=0.0, most=1.0) < 1:
            raise InputError(f"accuracy should be from 0.5 to below 1; {accuracy!r} came.")
        self._truth = {neutral(response): bad for response, bad in truth.items()}
        self._half = NormalDist().inv_cdf(accuracy)  # half of the way between the two kinds
        self._seed = seed

    def impression(self, request: str, response: str) -> float:
        """How true a row seems; below 0 it seems hallucinated."""
        text = f"{self._seed}/{request}/{response}".encode("utf-8", "replace")
        draw = (int.from_bytes(hashlib.sha256(text).digest()[:8], "big") + 0.5) / 2**64
        bad = self._truth.get(response)
        if bad is None:
            raise InputError(f"the truth about the response {response[:60]!r} is not known.")
        return NormalDist().inv_cdf(draw) + (-self._half if bad else self._half)

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer | None = None) -> list[Answer | Failure]:
        """One answer per request."""
        answers: list[Answer | Failure] = []
        for place, request in enumerate(requests):
            answer = Answer(self._answer(request))
            answers.append(answer)
            if on_answer is not None:
                on_answer(place, answer)
        return answers

    def _answer(self, request: ChatRequest) -> str:
        rows = [
            (int(block["number"]), self.impression(block["request"], block["response"]))
            for block in _BLOCK.finditer(request.messages[-1].content)
        ]
        if request.messages[0].content.startswith(_SCORES):
            return f"Score: {min(5.0, max(0.0, round((2.5 + rows[0][1]) / _STEP) * _STEP)):.1f}"
        kept = [number for number, seems in sorted(rows, key=lambda row: -row[1]) if seems >= 0]
        return " > ".join(f"[{number}]" for number in kept) or "none"
