"""What a labelling run has come to, as pictures show it: the curve, the plane of figure 4.5, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from goodgrain.annotate import SKIP, UNRESOLVED, UNSURE, RoundStatus, SessionView
from goodgrain.checks import Positions
from goodgrain.meta import COMBINATIONS, MetaQueryNet, meta_input
from goodgrain.pipelines.label_files import asked_file, facts_file, meta_file
from goodgrain.pipelines.label_round import Asked, Meta

STABLE = 0.99
"""Kappa of two models' predictions from which on nothing changes (Bloodgood & Vijay-Shanker 2009)."""

_SHOWN = 1500  # points of the plane beside those that were asked for
_GRID = 32


@dataclass(frozen=True, eq=False)
class Seen:
    """A labelling run, read from its folder.

    Args:
        classes: c names.
        rounds: what each brought.
        facts: number -> what the model that asked in that round was trained on and came to; one may follow the rounds.
        agreement: number -> kappa between the predictions of that round's model and of the one before.
        asked: of the last round that went by purity and informativeness; None before there is one.
        meta: what weighed in it.
        answers: (n,) a class, OOD or "" (nothing that decides), of every image.
        labels: (n,) class, OOD or UNLABELED, those known from the start included.
    """

    classes: tuple[str, ...]
    rounds: tuple[RoundStatus, ...]
    facts: Mapping[int, Mapping[str, Any]]
    agreement: Mapping[int, float]
    asked: Asked | None
    meta: Meta | None
    answers: NDArray[np.str_]
    labels: Positions

    @classmethod
    def of(cls, folder: Path, session: SessionView) -> Seen:
        """Read it."""
        rounds = session.status().rounds
        facts = {}
        for number in range(len(rounds) + 1):
            path = folder / facts_file(number)
            if path.exists():
                facts[number] = json.loads(path.read_text(encoding="utf-8"))
        asked, meta, before, agreement = None, None, None, {}
        for one in rounds:
            path = folder / asked_file(one.number)
            if not path.exists():
                continue
            round_asked = Asked.load(path)
            now = round_asked.predicted
            if now is not None and before is not None:
                agreement[one.number] = kappa(before, now)
            before = now if now is not None else before
            if round_asked.purity is not None and round_asked.informativeness is not None:
                asked, meta = round_asked, _meta_of(folder, session, one)
        told = {name: answer for name, answer in session.answers().items() if answer not in (UNSURE, SKIP, UNRESOLVED)}
        ids, labels = session.labels()
        answers = np.array([told.get(name, "") for name in ids.tolist()])
        return cls(session.classes, rounds, facts, agreement, asked, meta, answers, labels)

    def accuracy_after(self, number: int) -> float | None:
        """Of the model that learned from this round's answers too; None where nobody answered in it."""
        asked = next((one for one in self.rounds if one.number == number), None)
        if asked is None or not asked.in_distribution + asked.ood + asked.unsure + asked.unresolved:
            return None
        found: float | None = self.facts.get(number + 1, {}).get("accuracy")
        return found


def _meta_of(folder: Path, session: SessionView, one: RoundStatus) -> Meta | None:
    path = folder / meta_file(one.number)
    if path.exists():
        return MetaQueryNet.load(path)
    last = session.round
    rule = last.parameters.get("meta") if last is not None and last.number == one.number else None
    return COMBINATIONS.get(rule) if isinstance(rule, str) else None


def kappa(first: Positions, second: Positions) -> float:
    """How far two models agree beyond chance; 1 where both say one and the same of everything.

    Example:
        >>> kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
        0.5
    """
    if np.array_equal(first, second):
        return 1.0
    return float(cohen_kappa_score(first, second))


def pictures(seen: Seen) -> dict[str, Any]:
    """What the page draws between rounds, as plain values."""
    return {
        "rounds": [
            {
                "round": one.number,
                "strategy": one.strategy,
                "accuracy": seen.accuracy_after(one.number),
                "in_share": one.purity,
                "answered": one.in_distribution + one.ood + one.unsure + one.unresolved,
                "spent": one.spent,
            }
            for one in seen.rounds
        ],
        "plane": plane(seen),
        "hint": hint(seen),
    }


def plane(seen: Seen) -> dict[str, Any] | None:
    """Purity and informativeness of the last round's images, their answers, and the meta-score behind (figure 4.5)."""
    asked = seen.asked
    if asked is None or asked.purity is None or asked.informativeness is None:
        return None
    answered = np.flatnonzero(seen.answers[asked.rows] != "")
    spread = np.linspace(0, len(asked.rows) - 1, min(_SHOWN, len(asked.rows))).astype(np.int64)
    rows = np.union1d(answered, spread)
    pure, informative = asked.purity, asked.informativeness
    across, up = (np.linspace(values.min(), values.max(), _GRID) for values in (pure, informative))
    shown: dict[str, Any] = {
        "purity": pure[rows].tolist(),
        "informativeness": informative[rows].tolist(),
        "answer": seen.answers[asked.rows[rows]].tolist(),
        "grid_purity": across.tolist(),
        "grid_informativeness": up.tolist(),
        "score": [],
    }
    if seen.meta is not None:
        grid = meta_input(np.tile(across, _GRID), np.repeat(up, _GRID), reference=(pure, informative))
        score = seen.meta.score(grid)
        shown["score"] = score.reshape(_GRID, _GRID).tolist()  # one row per informativeness
    return shown


def hint(seen: Seen) -> str:
    """Whether another round looks worth its price; "" where too little is known.

    With a test set: what the last two rounds brought. Without: whether the model's predictions still change.
    """
    brought = _gains([seen.accuracy_after(one.number) for one in seen.rounds])
    if len(brought) >= 2 and max(brought[-2:]) <= 0.005:
        gained = " and ".join(f"{100 * gain:+.1f}" for gain in brought[-2:])
        return (
            f"The last two rounds changed the test accuracy by {gained} points: another one is unlikely to be worth "
            "its price."
        )
    last = [seen.agreement[number] for number in sorted(seen.agreement)][-2:]
    if not brought and len(last) == 2 and min(last) >= STABLE:
        return (
            f"The last two rounds hardly changed what the model predicts (agreement {min(last):.1%}): another one is "
            "unlikely to be worth its price."
        )
    if brought:
        return f"The last round changed the test accuracy by {100 * brought[-1]:+.1f} points."
    if last:
        return f"The last round changed the model's predictions (agreement {last[-1]:.1%})."
    return ""


def _gains(accuracies: Sequence[float | None]) -> list[float]:
    known = [value for value in accuracies if value is not None]
    return [after - before for before, after in pairwise(known)]
