"""A simulated annotator, who answers from labels that are known, on the way that people go too."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from goodgrain.annotate.answers import OOD, UNSURE
from goodgrain.annotate.session import Session
from goodgrain.checks import check_count
from goodgrain.errors import InputError


@dataclass(frozen=True)
class SimulatedOracle:
    """An annotator who knows the truth, and may be wrong or unsure; the same id always gets the same answer.

    Args:
        truth: id -> the true class, or OOD.
        ood: which true classes are none of the session's.
        error_rate: share of answers that are wrong: another class or OOD, each equally likely.
        unsure_rate: share of answers that are UNSURE.
        seed: of errors and doubts.

    Raises:
        InputError: rates are no shares, or sum to more than 1.

    Example:
        >>> oracle = SimulatedOracle({"a": "cat", "b": "fork"}, ood={"fork"})
        >>> oracle("a"), oracle("b")
        ('cat', '__ood__')
    """

    truth: Mapping[str, str]
    ood: Collection[str] = ()
    error_rate: float = 0.0
    unsure_rate: float = 0.0
    seed: int = 0
    _choices: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Collect what can be answered."""
        if not (self.error_rate >= 0 and self.unsure_rate >= 0 and self.error_rate + self.unsure_rate <= 1):
            raise InputError(
                "error_rate and unsure_rate should be 0 or more, and at most 1 together; "
                f"{self.error_rate!r} and {self.unsure_rate!r} came."
            )
        classes = sorted({name for name in self.truth.values() if name not in self.ood and name != OOD})
        object.__setattr__(self, "_choices", (*classes, OOD))

    def __call__(self, id: str) -> str:  # noqa: A002  (the field's own word)
        """The answer for an item: a class, OOD or UNSURE.

        Raises:
            InputError: the truth of this id is not known.
        """
        if id not in self.truth:
            raise InputError(f"the oracle does not know the truth of {id!r}. Give one true class per id.")
        right = OOD if self.truth[id] in self.ood else self.truth[id]
        rng = np.random.default_rng([self.seed, zlib.crc32(id.encode())])  # whatever was asked before
        luck = rng.random()
        if luck < self.unsure_rate:
            return UNSURE
        if luck < self.unsure_rate + self.error_rate and len(self._choices) > 1:
            return str(rng.choice([answer for answer in self._choices if answer != right]))
        return right


def drive(session: Session, oracle: Callable[[str], str], *, batch: int = 32, annotator: str = "") -> int:
    """Answer all that a round asks for, until its budget is spent or nothing is left to ask this annotator.

    Args:
        session: with an open round, or none yet.
        oracle: id -> answer.
        batch: how many ids are asked for at a time.
        annotator: in whose name.

    Returns:
        How many answers were told.

    Raises:
        InputError: the last round is closed.

    Example:
        >>> import tempfile
        >>> with Session.create(tempfile.mkdtemp(), ["a", "b", "c"], ["cat"], budget=2) as session:
        ...     drive(session, SimulatedOracle({"a": "cat", "b": "fork", "c": "cat"}, ood={"fork"})), session.left
        (2, 0.0)
    """
    check_count("batch", batch)
    told = 0
    while ids := session.ask(batch, annotator=annotator).ids:
        for item in ids:
            session.tell(item, oracle(item), annotator=annotator)
        told += len(ids)
    return told
