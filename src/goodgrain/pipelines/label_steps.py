"""What happens between two rounds of labelling: train on the answers, learn from the query sets, rank what is left."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodgrain.annotate import SKIP, UNRESOLVED, UNSURE, Session
from goodgrain.checks import Positions
from goodgrain.data.pool import OOD, UNLABELED
from goodgrain.learn.streams import stream_seed
from goodgrain.meta import COMBINATIONS, MetaQueryNet
from goodgrain.pipelines.label_config import LEARNED, SPACE_PURITIES, LabelConfig
from goodgrain.pipelines.label_files import asked_file, facts_file, meta_file, model_file
from goodgrain.pipelines.label_inputs import Images
from goodgrain.pipelines.label_round import ALONE, FIRST_RULE, Asked, Meta, QuerySet, learned, rank
from goodgrain.pipelines.label_space import Space, encoded
from goodgrain.pipelines.label_targets import HeadTarget, NetworkTarget, Target
from goodgrain.pipelines.monitor import Monitor
from goodgrain.run import RunFolder


class Between:
    """The work between the rounds of one labelling run.

    Args:
        folder: of the run.
        images: all of its images.
        asked: the configuration.
        session: its answers.
        spaces: where the images lie by embeddings that were given; None for the encoder's, or none.
        device: for trainings.
    """

    def __init__(
        self,
        folder: Path,
        images: Images,
        asked: LabelConfig,
        session: Session,
        spaces: dict[str, Space] | None,
        device: str,
    ) -> None:
        self._folder, self._images, self._asked = folder, images, asked
        self._session, self._spaces, self._device = session, spaces, device
        self.place = {name: row for row, name in enumerate(images.pool.ids.tolist())}
        """Id -> position in the pool."""

    def told_in(self, number: int) -> list[str]:
        """Ids of images that somebody answered, SKIP included, when this round asked for them."""
        return [one.id for one in self._session.history() if one.round == number and not one.undone]

    def left(self) -> Positions:
        """Positions that may still be asked for."""
        return np.setdiff1d(np.flatnonzero(self._session.labels()[1] == UNLABELED), self.judged())

    def judged(self) -> Positions:
        """Positions of images that were answered and yet have no label: nobody is asked about them again."""
        answers = self._session.answers()
        return np.array(sorted(self.place[n] for n, a in answers.items() if a in (UNSURE, UNRESOLVED)), dtype=np.int64)

    def trained(self, run: RunFolder, labels: Positions, number: int, watch: Monitor) -> Target:
        """The target model after these answers; taken up where it was trained already."""
        spaces = self._seen_spaces(run, watch)
        images, asked = self._images, self._asked
        target: Target
        if asked.target == "head":
            test = (spaces["test"], images.test.labels) if images.test is not None and "test" in spaces else None
            target = HeadTarget(spaces["pool"], test, images.classes, asked)
        else:
            target = NetworkTarget(images.pool, images.test, images.classes, asked, self._device, watch)
        mark = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()[:12]
        checkpoint = run.path(f"checkpoints/round-{number:03}-{mark}.pt")
        target.train(labels, number, checkpoint)
        for old in checkpoint.parent.glob("round-*.pt"):
            if old != checkpoint:
                old.unlink()
        run.write(model_file(number), target.save)
        facts = {"labelled": int((labels >= 0).sum()), "ood": int((labels == OOD).sum())}
        accuracy = target.accuracy()
        run.write_json(facts_file(number), facts if accuracy is None else {**facts, "accuracy": accuracy})
        run.log("trained", round=number, **facts, accuracy=accuracy)
        return target

    def ranked(
        self, run: RunFolder, target: Target, labels: Positions, left_out: Positions, number: int, seed: int
    ) -> Asked:
        """What to ask for in this round, by a trained target."""
        asked = self._asked
        columns = target.columns()
        space = None if self._spaces is None else self._spaces["pool"]
        if asked.strategy == "ccal":
            assert space is not None
            columns["contrast"] = space.contrast(labels)
        purity = None
        if asked.combines and asked.purity in SPACE_PURITIES:
            own = space or Space.of(columns["features"])
            purity = own.purity(asked.purity, labels)
        elif asked.combines:
            purity = target.purity(asked.purity)
        answered = [self.answered(one, labels) for one in range(number)]
        meta = self._meta(run, answered, number)
        least = min(asked.costs.each[kind] for kind in ("class", "ood")) or asked.costs.most / 4
        skipped = sum(answer == SKIP for answer in self._session.answers().values())  # not for those who skipped them
        return rank(
            labels,
            columns,
            asked,
            math.ceil(1.2 * asked.budget / least) + 10 + skipped,  # some will be skipped, and some held by others
            meta=meta,
            answered=[one for one in answered if one is not None],
            purity=purity,
            left_out=left_out,
            seed=seed,
        )

    def answered(self, number: int, labels: Positions) -> QuerySet | None:
        """What this round asked for; what it only ranked may be of a later round's query set."""
        path = self._folder / asked_file(number)
        credited = self._session.credited()
        rows = [self.place[name] for name in self.told_in(number) if credited.get(name) == number]
        own = np.full(len(labels), UNLABELED)
        own[rows] = labels[rows]
        return Asked.load(path).of(own) if path.exists() else None

    def _meta(self, run: RunFolder, answered: Sequence[QuerySet | None], number: int) -> Meta:
        """The meta-model for this round; MQNet itself is kept in the run folder."""
        if self._asked.strategy != "mqnet":
            return COMBINATIONS[FIRST_RULE]  # nobody asks it
        before: Meta | None = None
        if self._asked.warm_start and run.has(meta_file(number - 1)):
            before = MetaQueryNet.load(run.path(meta_file(number - 1)))
        seed = stream_seed(self._asked.seed, "meta", number) % 2**32
        meta = learned(answered, self._asked, before=before, seed=seed)
        path = run.path(meta_file(number))
        path.unlink(missing_ok=True)  # of other answers, before a kill
        if isinstance(meta, MetaQueryNet):
            meta.save(path)
        return meta

    def parameters(self, number: int, chosen: Asked) -> dict[str, Any]:
        """What a round's record tells of its strategy."""
        asked = self._asked
        if not asked.combines:
            return {}
        told: dict[str, Any] = {"purity": asked.purity, "informativeness": asked.informativeness}
        if asked.strategy == "mqnet":
            rule = asked.meta if chosen.purity is not None else ALONE
            if rule in LEARNED and not (self._folder / meta_file(number)).exists():
                rule = FIRST_RULE
            told["meta"] = rule
        return told

    def _seen_spaces(self, run: RunFolder, watch: Monitor) -> dict[str, Space]:
        if self._spaces is None and self._asked.sees_space and self._asked.encoder != "none":
            head = self._asked.target == "head" and self._images.test is not None
            others = {"test": self._images.test} if head and self._images.test is not None else {}
            self._spaces = encoded(run, self._images.pool, others, self._asked, self._device, watch)
        return self._spaces or {}
