"""What a judge's answer means: `[1]`, `[2]` or tie, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from goodgrain.teacher.ranking import parse_ranking

Outcome = Literal["win", "tie", "loss"]

_OPPOSITE: dict[Outcome, Outcome] = {"win": "loss", "tie": "tie", "loss": "win"}
_REASONING_END = re.compile(
    r".*</(?:think|thinking|thought|reasoning|analysis|reflection|scratchpad)\b[^<>]*>", re.IGNORECASE
)
_BEFORE = r"[\s\"'*_`.:,;#()\[\]{}$\\|<>-]*"
_AFTER = r"[\s\"'*_`.!)\]}$\\|]*"
_LABEL = r"(?:final|verdict|answer|output|result|response|winner|better|best|choice|decision|boxed|the|my|is|it|a|so)"
_CHAIN = r"\[\s*(?P<best>[12])\s*\](?:\s*[>=]\s*\[\s*(?!(?P=best))[12]\s*\])?"
_VERDICT = re.compile(
    rf"{_BEFORE}(?:{_LABEL}\b{_BEFORE})*(?:(?P<tie>(?:tie|tied|draw)\b)|(?P<chain>{_CHAIN}))"
    rf"{_AFTER}(?:</[A-Za-z]+>{_AFTER})?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """What one answer of a judge says.

    Args:
        first: the outcome of the response shown as [1]; None where the answer cannot be read.
        problem: why it cannot be read.

    Example:
        >>> Verdict("win").swapped
        Verdict(first='loss', problem='')
    """

    first: Outcome | None
    problem: str = ""

    @property
    def swapped(self) -> Verdict:
        """The same verdict as seen from the response shown as [2]."""
        return self if self.first is None else replace(self, first=_OPPOSITE[self.first])


def parse_verdict(text: str, *, truncated: bool = False) -> Verdict:
    r"""Read a judge's answer: `[1]`, `[2]` or the word tie, alone in its last line.

    A few words such as "Final verdict:" may stand before it, and marks of emphasis around it; `[2] > [1]` and
    `[1] = [2]` are taken too. Everything else in the last line, a reasoning block without an end, an answer that was
    cut, and a list of both numbers one to a line are malformed: a wrong reading would count, an unreadable answer is
    asked for again.

    Args:
        text: the answer, any text.
        truncated: the server said that it cut the answer.

    Returns:
        Verdict.

    Example:
        >>> parse_verdict("Both are right, the second is clearer.\nVerdict: **[2]**")
        Verdict(first='loss', problem='')
    """
    before, _, last = text.rstrip().rpartition("\n")
    if end := _REASONING_END.match(last):
        before, last = f"{before}\n{end[0]}", last[end.end() :]
    found = _VERDICT.fullmatch(last)
    if truncated or found is None:
        return Verdict(None, "the answer was cut off." if truncated else "the last line is no verdict.")
    chain = "[1] = [2]" if found["tie"] else found["chain"]
    ranking = parse_ranking(f"{before}\n{chain}", 2)  # knows reasoning blocks and lists
    if ranking.problems or not ranking.order:
        return Verdict(None, "the last line belongs to a list or to reasoning without an end.")
    if ranking.ties:
        return Verdict("tie")
    best = ranking.order[0] + 1
    if found["best"] != str(best):
        return Verdict(None, f"the last line goes on from a line that prefers [{best}].")
    return Verdict("win" if best == 1 else "loss")
