"""Where a labelling run stands, also while it is being served."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from goodgrain.pipelines.label_pictures import Seen, hint
from goodgrain.pipelines.label_session import view_session


def status(folder: str | Path) -> dict[str, Any]:
    """What is labelled, what each round cost and brought, and whether another one looks worth its price.

    Args:
        folder: of a labelling run.

    Returns:
        Plain values: counts of images ("items", "known", "unseen", "held"), "classes", "spent" in all rounds, "left" in
        the last one, "hint", and "rounds": the fields of `goodgrain.annotate.RoundStatus` with "in_share" (of a class,
        among what was decided) and "accuracy" on the test images after the round; both in [0, 1], or None.

    Raises:
        InputError: no labelling run is there.
    """
    with view_session(folder) as session:
        now, left = session.status(), session.left
        seen = Seen.of(Path(folder), session)
        rounds = [
            {**asdict(one), "in_share": one.purity, "accuracy": seen.accuracy_after(one.number)} for one in now.rounds
        ]
        counts = {"items": now.items, "known": now.known, "unseen": now.unseen, "held": now.held}
        return {
            **counts,
            "classes": list(session.classes),
            "spent": now.spent,
            "left": left,
            "rounds": rounds,
            "hint": hint(seen),
        }
