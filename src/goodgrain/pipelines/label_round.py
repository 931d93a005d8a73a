"""One round of labelling: what is asked for next, and what the answers to it teach the meta-model (Algorithm 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.pool import OOD
from goodgrain.files import whole_file
from goodgrain.meta import COMBINATIONS, Combination, MetaQueryNet, meta_input
from goodgrain.pipelines.label_config import LEARNED, LabelConfig
from goodgrain.select.standing import Scores, Standing, informativeness_scores, purity_scores
from goodgrain.select.strategies import QueryOptions, query

Meta = MetaQueryNet | Combination
FIRST_RULE = "sum"
"""Of the first round in which there is something to weigh: P + I (Algorithm 2, line 10)."""
ALONE = "informativeness"
"""Of a round in which nobody knows any purity yet."""

_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, eq=False)
class Asked:
    """What a round asked for, and what was known of it then; kept, for the answers come later.

    Args:
        rows: (m,) positions that could be asked for.
        picked: (k,) positions in the order to ask.
        scores: (k,) what the strategy made of them, never rising.
        losses: (k, c) cross-entropy of each class under the model that asked; (k, 0) without a model.
        purity: (m,) of the rows, or None where nobody knew any.
        informativeness: (m,) likewise.
        predicted: (n,) class of every image under the model that asked; None without a model.
    """

    rows: Positions
    picked: Positions
    scores: Scores
    losses: Scores
    purity: Scores | None = None
    informativeness: Scores | None = None
    predicted: Positions | None = None

    def save(self, path: Path) -> None:
        """Write it whole, or not at all."""
        columns = {name: values for name, values in vars(self).items() if values is not None}
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, **columns)

    @classmethod
    def load(cls, path: Path) -> Asked:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in file.files})

    def of(self, labels: Positions) -> QuerySet | None:
        """The query set once it is answered; None where there is nothing to learn from.

        Args:
            labels: (n,) of the whole pool: classes, OOD or UNLABELED.
        """
        told = np.flatnonzero((labels[self.picked] >= 0) | (labels[self.picked] == OOD))
        if self.purity is None or self.informativeness is None or not len(told) or not self.losses.shape[1]:
            return None
        picked = self.picked[told]
        ood = labels[picked] == OOD
        where = np.searchsorted(self.rows, picked)
        inputs = meta_input(
            self.purity[where], self.informativeness[where], reference=(self.purity, self.informativeness)
        )
        own = self.losses[told, np.where(ood, 0, labels[picked])]
        return QuerySet(inputs, np.where(ood, 0.0, own), ood, self.purity[where])


@dataclass(frozen=True, eq=False)
class QuerySet:
    """An answered query set: the meta-model's self-validation set (section 4.3.1).

    Args:
        inputs: (m, 2) meta-input, scaled by the pool of its round.
        losses: (m,) masked (Eq. 4.2).
        ood: bool (m,).
        purity: (m,) as it was when they were asked for.
    """

    inputs: Scores
    losses: Scores
    ood: NDArray[np.bool_]
    purity: Scores


def rank(
    labels: Positions,
    columns: Mapping[str, NDArray[Any]],
    asked: LabelConfig,
    count: int,
    *,
    meta: Meta,
    answered: Sequence[QuerySet] = (),
    purity: Scores | None = None,
    left_out: Positions | Sequence[int] = (),
    seed: int = 0,
) -> Asked:
    """Choose what to ask for.

    Args:
        labels: (n,) answers so far: classes, OOD or UNLABELED.
        columns: what a `Standing` holds of the n images, such as probabilities and features.
        asked: the configuration.
        count: how many at most.
        meta: what weighs purity against informativeness.
        answered: the query sets so far, where purity_first finds its threshold.
        purity: (n,) higher = more in-distribution; None where nobody knows any.
        left_out: positions that are not to be asked for.
        seed: for strategies that draw at random.
    """
    alone = asked.combines and purity is None  # nothing is known that purity could go by: informativeness alone
    standing = Standing(
        n=len(labels),
        labeled=np.flatnonzero(labels >= 0),
        ood=np.flatnonzero(labels == OOD),
        left_out=left_out,
        purity=np.zeros(len(labels)) if alone else purity,
        **columns,
    )
    options = QueryOptions(
        seed=seed,
        purity="given",
        informativeness=asked.informativeness,
        meta=COMBINATIONS[ALONE] if alone else meta,
        balanced=asked.takes_turns,
        precision=asked.query_precision,
        answered=(
            np.concatenate([[], *(one.purity for one in answered)]),
            np.concatenate([np.zeros(0, bool), *(one.ood for one in answered)]),
        ),
    )
    picked = query("mqnet" if alone else asked.strategy, standing, min(count, len(standing.rows)), options)
    gains = picked.gains if (np.diff(picked.gains) <= 0).all() else -np.arange(len(picked.gains), dtype=np.float64)
    probabilities = columns.get("probabilities")
    losses, predicted = np.zeros((len(picked.positions), 0)), None
    if probabilities is not None:
        predicted = probabilities.argmax(axis=1)
        losses = -np.log(np.maximum(probabilities[picked.positions].astype(np.float64), _LEAST_PROBABILITY))
    pure = None if purity is None else purity_scores("given", standing)
    return Asked(standing.rows, picked.positions, gains, losses, pure, _informative(asked, standing), predicted)


def _informative(asked: LabelConfig, standing: Standing) -> Scores | None:
    """Also for strategies that do not go by it: the plane of figure 4.5 shows it."""
    name = asked.informativeness if asked.combines else "conf"
    return informativeness_scores(name, standing) if standing.probabilities is not None else None


def learned(
    answered: Sequence[QuerySet | None], asked: LabelConfig, *, before: Meta | None = None, seed: int = 0
) -> Meta:
    """What the answers teach about weighing purity against informativeness.

    Args:
        answered: the query sets of all rounds, in order; None for a round that had nothing to learn from.
        asked: the configuration: "learned" is MQNet, "plain" the same without its constraint.
        before: the meta-model of the last round, for a warm start.
        seed: of the meta-model.

    Returns:
        A fitted `MetaQueryNet`, or a fixed rule where that is asked for or nothing could be learned yet.
    """
    if asked.meta not in LEARNED:
        return COMBINATIONS[asked.meta]
    usable = [one for one in (answered if asked.learn_from == "all" else answered[-1:]) if one is not None]
    if not usable:
        return COMBINATIONS[FIRST_RULE]
    warm = asked.warm_start and isinstance(before, MetaQueryNet)
    net = (
        copy(before) if warm else MetaQueryNet(seed=seed, skyline=asked.meta == "learned", warm_start=asked.warm_start)
    )
    assert isinstance(net, MetaQueryNet)
    return net.fit(
        np.concatenate([one.inputs for one in usable]),
        np.concatenate([one.losses for one in usable]),
        np.concatenate([one.ood for one in usable]),
    )
