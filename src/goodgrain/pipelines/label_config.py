"""All that a labelling run can be asked, checked before anything heavy starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from goodgrain.annotate.answers import Costs
from goodgrain.annotate.rounds import check_budget
from goodgrain.checks import check_count, check_within, lookup
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn.detect import DETECTORS
from goodgrain.learn.engine import PRECISIONS
from goodgrain.meta import COMBINATIONS
from goodgrain.select.standing import INFORMATIVENESS
from goodgrain.select.strategies import STRATEGIES

TARGETS = ("network", "head")
OOD_ANSWERS = ("none", "class", "taufe")
ENCODERS = ("csi", "none")
LEARNED = ("learned", "plain")
SPACE_PURITIES = ("nearest_both", "nearest_in", "nearest_ood", "csi", "probe")
"""Purities by what an encoder sees; the others ask the model that the answers trained."""

_HEAD_PURITIES = ("msp", "energy")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """What is asked for next, by which model, and what the answers are used for.

    Args:
        strategy: a key of `goodgrain.select.STRATEGIES`.
        purity: of mqnet and purity_first: "nearest_in" (likeness to what is labelled), "nearest_ood" (distance from
            answers "none of these"), "nearest_both" (likeness to the one less likeness to the other), "probe" (a
            regression on answers of both kinds) or "csi", by what the encoder sees, or without one the model; or a key
            of `goodgrain.learn.detect.DETECTORS`, by the model.
        informativeness: of mqnet and purity_first: a key of `goodgrain.select.standing.INFORMATIVENESS`.
        meta: how mqnet weighs the two: "learned" (MQNet), "plain" (a network without the skyline constraint), or a key
            of `goodgrain.meta.COMBINATIONS`, such as "sum" or "product".
        learn_from: answers that MQNet learns from: those of the "last" round, as published, or of "all" rounds, each
            as its own model saw them.
        warm_start: whether MQNet goes on from the last round's weights.
        balanced: whether the classes that the model predicts take turns, for strategies that go by a score; None for
            those that go by purity: what is pure is often of one easily told class.
        query_precision: share of in-distribution answers that purity_first aims at.
        target: what the answers train: "network" (from scratch in every round) or "head" (a logistic regression on
            embeddings, or on what the encoder sees).
        ood_answers: what answers "none of these" are used for: "none", "class" (one more class in training) or "taufe"
            (features that they show are switched off).
        encoder: "csi", trained once on all images without any label, or "none". Embeddings that are given take its
            place.
        encoder_epochs: of its training; each image comes eight times in each.
        model: network of target and encoder, as `goodgrain.models.load_network` takes it.
        steps: of the target's training in each round, whatever the number of answers.
        batch_size: images a step; None for a twentieth of the labelled ones, between 16 and 128.
        lr: the highest learning rate; None for the learner's own.
        precision: "float32" or "bf16".
        flip: whether augmentation may swap left and right; not for digits or text.
        budget: what the answers of a round may cost.
        c_in: cost of an answer that names a class.
        c_ood: cost of "none of these".
        c_unsure: cost of "unsure"; None for c_in.
        lease: seconds until an image may go to somebody else.
        seed: all randomness follows from it.

    Raises:
        InputError: a value outside its range, or a combination that means nothing.
        UnknownName: a name that no table has.
    """

    strategy: str = "mqnet"
    purity: str = "nearest_both"
    informativeness: str = "margin"
    meta: str = "learned"
    learn_from: str = "all"
    warm_start: bool = False
    balanced: bool | None = None
    query_precision: float = 0.9
    target: str = "network"
    ood_answers: str = "none"
    encoder: str = "csi"
    encoder_epochs: int = 20
    model: str = "small"
    steps: int = 2000
    batch_size: int | None = None
    lr: float | None = None
    precision: str = "float32"
    flip: bool = True
    budget: float = 100.0
    c_in: float = 1.0
    c_ood: float = 1.0
    c_unsure: float | None = None
    lease: float = 1800.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all that can be checked without the data."""
        object.__setattr__(self, "strategy", self.strategy.strip().lower().replace("-", "_"))
        lookup("query strategy", STRATEGIES, self.strategy)
        lookup("purity", dict.fromkeys((*SPACE_PURITIES, *DETECTORS)), self.purity)
        lookup("informativeness", INFORMATIVENESS, self.informativeness)
        lookup("meta", dict.fromkeys((*LEARNED, *COMBINATIONS)), self.meta)
        lookup("answers to learn from", dict.fromkeys(("last", "all")), self.learn_from)
        lookup("target", dict.fromkeys(TARGETS), self.target)
        lookup("use of OOD answers", dict.fromkeys(OOD_ANSWERS), self.ood_answers)
        lookup("encoder", dict.fromkeys(ENCODERS), self.encoder)
        lookup("precision", PRECISIONS, self.precision)
        check_within("query_precision", self.query_precision, above=0, most=1)
        for name in ("encoder_epochs", "steps"):
            check_count(name, getattr(self, name))
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, least=2)
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise InputError(f"lr should be above 0 and finite; {self.lr!r} came.")
        check_count("seed", self.seed, least=0, most=2**63 - 1)
        check_within("lease", self.lease, above=0)
        check_budget(self.budget, self.costs)
        self._check_head()

    def _check_head(self) -> None:
        if self.target != "head":
            return
        if self.predicts_losses:
            raise InputError("ll predicts losses from a network's maps, and a head has none. Use target network.")
        if self.ood_answers == "taufe":
            raise InputError("TAUFE acts on features, and under a head they stay as they are. Use ood_answers class.")
        if self.combines and self.purity not in (*SPACE_PURITIES, *_HEAD_PURITIES):
            raise InputError(
                f"purity {self.purity} asks a network for more than a head can tell. Use one of "
                f"{', '.join((*SPACE_PURITIES, *_HEAD_PURITIES))}, or target network."
            )

    @property
    def combines(self) -> bool:
        """Whether the strategy goes by purity and informativeness."""
        return STRATEGIES[self.strategy].combines

    @property
    def takes_turns(self) -> bool:
        """Whether the classes that the model predicts take turns."""
        return self.combines if self.balanced is None else self.balanced

    @property
    def predicts_losses(self) -> bool:
        """Whether the target learns to predict its losses beside."""
        return self.strategy == "ll" or (self.combines and self.informativeness == "ll")

    @property
    def sees_space(self) -> bool:
        """Whether an encoder is of any use."""
        wants = self.strategy == "ccal" or self.target == "head"
        return wants or (self.combines and self.purity in SPACE_PURITIES)

    @property
    def costs(self) -> Costs:
        """What answers cost."""
        return Costs(self.c_in, self.c_ood, self.c_unsure)

    def table(self) -> dict[str, Any]:
        """All of it as plain values, for config.toml."""
        return asdict(self)


def check_config(config: Mapping[str, Any]) -> LabelConfig:
    """The configuration, or an error that offers the nearest argument.

    Example:
        >>> check_config({"strategy": "BADGE"}).strategy
        'badge'
    """
    known = set(LabelConfig.__dataclass_fields__)
    for name in config:
        if name not in known:
            raise UnknownName("argument of label", name, known)
    return LabelConfig(**config)
