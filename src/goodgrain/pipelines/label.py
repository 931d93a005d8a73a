"""Label: ask for the few images that are both pure and informative, learn from the answers, ask again (Algorithm 2)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from goodgrain.annotate import SKIP, UNRESOLVED, UNSURE, Round, Session, drive
from goodgrain.annotate.store import FILE
from goodgrain.checks import Positions, check_count
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError
from goodgrain.learn.streams import stream_seed
from goodgrain.meta import COMBINATIONS, MetaQueryNet
from goodgrain.pipelines.label_config import LEARNED, SPACE_PURITIES, LabelConfig, check_config
from goodgrain.pipelines.label_files import asked_file, config_of, facts_file, meta_file, model_file
from goodgrain.pipelines.label_inputs import (
    MAX_BAD,
    READING,
    Images,
    Known,
    items_of,
    known_of,
    place_of,
    read_images,
)
from goodgrain.pipelines.label_pictures import Seen, pictures
from goodgrain.pipelines.label_report import write_report
from goodgrain.pipelines.label_round import ALONE, FIRST_RULE, Asked, Meta, QuerySet, learned, rank
from goodgrain.pipelines.label_session import open_session, trainable
from goodgrain.pipelines.label_space import Space, encoded, read_embeddings
from goodgrain.pipelines.label_targets import HeadTarget, NetworkTarget, Target
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import RunFolder


class Labeling:
    """A pool that is being labelled: its images, its session, and the models of its rounds, in one folder.

    `create` begins one, `open` goes on. `session` asks and is told; `advance` closes a round, trains on all answers so
    far, learns what to ask for, and opens the next. What is done is on disk: after a kill, the same call goes on, and
    asks for the same.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import SimulatedOracle
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.from_arrays(rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 3)
        >>> truth = {str(i): "01x"[i % 3] for i in range(40)}
        >>> options = {"classes": ["0", "1"], "strategy": "conf", "steps": 2, "budget": 6, "device": "cpu"}
        >>> with Labeling.create(pool, output=tempfile.mkdtemp(), **options) as run:
        ...     for _ in range(2):
        ...         number = run.advance().number
        ...         told = drive(run.session, SimulatedOracle(truth, ood={"x"}))
        ...     number, run.session.status().unseen
        (1, 28)
    """

    def __init__(
        self,
        run: RunFolder,
        images: Images,
        asked: LabelConfig,
        session: Session,
        spaces: dict[str, Space] | None,
        device: str,
    ) -> None:
        self._run, self._images, self._asked, self._device = run, images, asked, device
        self.session, self._spaces = session, spaces
        self._place = {name: row for row, name in enumerate(images.pool.ids.tolist())}

    @classmethod
    def create(
        cls,
        data: str | Path | Pool,
        *,
        output: str | Path,
        classes: Sequence[str] | None = None,
        known: Known = None,
        test: str | Path | Pool | None = None,
        embeddings: Any = None,
        test_embeddings: Any = None,
        image_size: int | None = None,
        label_column: str | None = None,
        image_column: str | None = None,
        id_column: str | None = None,
        max_bad: float = MAX_BAD,
        device: str = "auto",
        monitor: Monitor | None = None,
        **config: Any,
    ) -> Self:
        """Begin a labelling run, or go on with one that was begun with the same arguments.

        Args:
            data: a folder, Parquet or NPZ (see `goodgrain.data.read`), or a pool; labels in it are not looked at.
            output: the run folder.
            classes: what images may be; those of the known labels by default.
            known: labels that exist already: id -> class or `goodgrain.annotate.OOD`, a CSV, Parquet or JSONL file of
                them, or "data" for those that the data itself has (classes that are not asked for are OOD then).
            test: a labelled test set; its images of other classes are left out.
            embeddings: (n, d) of any encoder, an .npy file of them, or observations with features, such as
                `goodgrain embed` makes; they take the encoder's place.
            test_embeddings: of the test images, where the target is a head.
            image_size: pixels of a square; the most common size by default, at most 64 pixels long.
            label_column: where the readers cannot tell.
            image_column: likewise.
            id_column: likewise.
            max_bad: the largest share of unreadable images that is put up with.
            device: "auto", "cpu" or "cuda".
            monitor: told what happens; silent by default.
            **config: everything in `goodgrain.pipelines.label_config.LabelConfig`.

        Raises:
            InputError: anything about data or arguments that cannot work.
            UnknownName: a name that is in no table.
        """
        asked = check_config(config)
        reading = {
            "image_size": image_size,
            "label_column": label_column,
            "image_column": image_column,
            "id_column": id_column,
            "max_bad": max_bad,
        }
        images = read_images(data, test, known, classes, reading, monitor or Silent())
        images.check(asked, embeddings, test_embeddings)
        start, spaces = known_of(images, known), _spaces(images, embeddings, test_embeddings)
        table = {"job": "label", **images.table(embeddings, test_embeddings), **reading, "label": asked.table()}
        run = RunFolder(output, table)
        with run:
            if not run.has(FILE):
                Session.create(
                    run.folder,
                    items_of(images.pool, data),
                    images.classes,
                    budget=asked.budget,
                    costs=asked.costs,
                    seed=stream_seed(asked.seed, "session"),
                    known=start,
                    lease=asked.lease,
                ).close()
        return cls(run, images, asked, Session.open(run.folder), spaces, device)

    @classmethod
    def open(
        cls,
        output: str | Path,
        *,
        data: Pool | None = None,
        test: Pool | None = None,
        embeddings: Any = None,
        test_embeddings: Any = None,
        device: str = "auto",
        monitor: Monitor | None = None,
    ) -> Self:
        """Go on with a labelling run.

        Args:
            output: its folder.
            data: its pool, where that was given in memory; likewise the others.
            test: as `data`.
            embeddings: as `data`.
            test_embeddings: as `data`.
            device: "auto", "cpu" or "cuda".
            monitor: told what happens; silent by default.

        Raises:
            InputError: no labelling run, data that is not where it was or changed, or a session that is open already.
        """
        table = config_of(output)
        asked = check_config(table["label"])
        reading = {name: table.get(name) for name in READING}
        names: dict[str, Any] = {
            "data": data,
            "test": test,
            "embeddings": embeddings,
            "test_embeddings": test_embeddings,
        }
        for name, given in names.items():
            names[name] = place_of(name, given, table.get(name))
        images = read_images(names["data"], names["test"], None, table["classes"], reading, monitor or Silent())
        images.check_same(table["fingerprint"])
        spaces = _spaces(images, names["embeddings"], names["test_embeddings"])
        return cls(RunFolder(output, table), images, asked, open_session(output), spaces, device)

    def close(self) -> None:
        """Leave it; every answer is on disk already."""
        self.session.close()

    def __enter__(self) -> Self:
        """The run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._run.folder

    def advance(self, monitor: Monitor | None = None) -> Round:
        """Close the round, train on all answers so far, learn what to ask for, and open the next round.

        Before two classes have an answer there is nothing to train, and the next round is drawn at random.

        Raises:
            InputError: nothing was answered in the open round, or nothing is left to ask for.
        """
        watch = monitor or Silent()
        last = self.session.round
        if last is not None and last.state == "open" and not self._told_in(last.number):
            raise InputError(f"nothing was answered in round {last.number} yet, so there is nothing to learn from.")
        if not len(self._left()):
            raise InputError("every image is answered: there is nothing left to ask for. Finish (train --final).")
        if last is not None and last.state == "open":
            self.session.close_round()
        number = 0 if last is None else last.number + 1
        with self._run as run:
            labels = self.session.labels()[1]
            left_out, rows = self._judged(), self._left()
            seed = stream_seed(self._asked.seed, "query", number) % 2**32
            if trainable(labels):
                target = self._trained(run, labels, number, watch)
                watch.stage("choosing what to ask for")
                asked = self._ranked(run, target, labels, left_out, number, seed)
                strategy, parameters = self._asked.strategy, self._parameters(number, asked)
                model_hash = hashlib.sha256(run.path(model_file(number)).read_bytes()).hexdigest()
            else:
                drawn = np.random.default_rng(seed).permutation(rows)
                asked = Asked(rows, drawn, -np.arange(len(drawn), dtype=np.float64), np.zeros((len(drawn), 0)))
                strategy, parameters, model_hash = "random", {}, ""
            asked.save(run.path(asked_file(number)))
            ids = self._images.pool.ids[asked.picked].tolist()
            opened = self.session.propose(
                ids, asked.scores, strategy=strategy, parameters=parameters, model_hash=model_hash, random_state=seed
            )
            run.log("asked", round=number, strategy=strategy, images=len(ids))
        return opened

    def finish(self, monitor: Monitor | None = None) -> dict[str, Any]:
        """Train on all answers so far, measure, and write models, metrics.json and report.html; no round is opened.

        Returns:
            What metrics.json holds.

        Raises:
            InputError: fewer than two classes have an answer.
        """
        watch = monitor or Silent()
        last = self.session.round
        number = 0 if last is None else last.number + 1
        labels = self.session.labels()[1]
        if not trainable(labels):
            raise InputError("training needs answers of at least two classes. Answer some more.")
        with self._run as run:
            self._trained(run, labels, number, watch)
            watch.stage("writing the report")
            return write_report(run, self.seen(), self._images, self._asked)

    def seen(self) -> Seen:
        """All that the pictures show, read from the folder."""
        return Seen.of(self.folder, self.session)

    def pictures(self) -> Mapping[str, Any]:
        """What the page shows between rounds."""
        return pictures(self.seen())

    def image(self, id: str) -> bytes:  # noqa: A002  (the field's own word)
        """An image of the pool as PNG, at its own size up to 1,024 pixels."""
        return self._images.png(self._place[id])

    def guess(self, id: str) -> str | None:  # noqa: A002
        """The class that the last model predicts; None before there is one."""
        last = self.session.round
        path = None if last is None else self.folder / asked_file(last.number)
        if path is None or not path.exists():
            return None
        predicted = Asked.load(path).predicted
        return None if predicted is None else self._images.classes[int(predicted[self._place[id]])]

    @property
    def exhausted(self) -> bool:
        """Whether no other round can follow: nothing is left to ask for, or nobody answered in the open round."""
        last = self.session.round
        waits = last is not None and last.state == "open" and not self._told_in(last.number)
        return waits or not len(self._left())

    def _told_in(self, number: int) -> list[str]:
        """Ids of images that somebody answered, SKIP included, when this round asked for them."""
        return [one.id for one in self.session.history() if one.round == number and not one.undone]

    def _left(self) -> Positions:
        """Positions that may still be asked for."""
        return np.setdiff1d(np.flatnonzero(self.session.labels()[1] == UNLABELED), self._judged())

    def _judged(self) -> Positions:
        """Positions of images that were answered and yet have no label: nobody is asked about them again."""
        answers = self.session.answers()
        return np.array(sorted(self._place[n] for n, a in answers.items() if a in (UNSURE, UNRESOLVED)), dtype=np.int64)

    def _trained(self, run: RunFolder, labels: Positions, number: int, watch: Monitor) -> Target:
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

    def _ranked(
        self, run: RunFolder, target: Target, labels: Positions, left_out: Positions, number: int, seed: int
    ) -> Asked:
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
        answered = [self._answered(one, labels) for one in range(number)]
        meta = self._meta(run, answered, number)
        least = min(asked.costs.each[kind] for kind in ("class", "ood")) or asked.costs.most / 4
        skipped = sum(answer == SKIP for answer in self.session.answers().values())  # not for those who skipped them
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

    def _answered(self, number: int, labels: Positions) -> QuerySet | None:
        """What this round asked for; what it only ranked may be of a later round's query set."""
        path = self.folder / asked_file(number)
        rows = [self._place[name] for name in self._told_in(number)]
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

    def _parameters(self, number: int, chosen: Asked) -> dict[str, Any]:
        asked = self._asked
        if not asked.combines:
            return {}
        told: dict[str, Any] = {"purity": asked.purity, "informativeness": asked.informativeness}
        if asked.strategy == "mqnet":
            rule = asked.meta if chosen.purity is not None else ALONE
            if rule in LEARNED and not (self.folder / meta_file(number)).exists():
                rule = FIRST_RULE
            told["meta"] = rule
        return told

    def _seen_spaces(self, run: RunFolder, watch: Monitor) -> dict[str, Space]:
        if self._spaces is None and self._asked.sees_space and self._asked.encoder != "none":
            head = self._asked.target == "head" and self._images.test is not None
            others = {"test": self._images.test} if head and self._images.test is not None else {}
            self._spaces = encoded(run, self._images.pool, others, self._asked, self._device, watch)
        return self._spaces or {}


def _spaces(images: Images, embeddings: Any, test_embeddings: Any) -> dict[str, Space] | None:
    """Where the images lie by the embeddings that were given; None without any."""
    if embeddings is None:
        return None
    found = {"pool": read_embeddings(embeddings, images.pool)}
    if test_embeddings is not None and images.test is not None:
        found["test"] = read_embeddings(test_embeddings, images.test, "test_embeddings", kept=images.test_kept)
    return found


@dataclass(frozen=True, eq=False)
class LabelResult:
    """What a labelling run made.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"


def label(
    data: str | Path | Pool,
    answer: Callable[[str], str],
    *,
    output: str | Path,
    rounds: int,
    monitor: Monitor | None = None,
    **config: Any,
) -> LabelResult:
    """Run the whole loop with somebody who answers at once: a simulated annotator, or a function that asks a person.

    A run that was stopped in any way continues when it is called again, and ends with the same result.

    Args:
        data: as in `Labeling.create`.
        answer: id -> a class name, or one of `goodgrain.annotate`'s OOD, UNSURE and SKIP.
        output: the run folder.
        rounds: how many times a budget is spent, fewer where nothing is left to ask for; the first round is drawn at
            random unless labels are known.
        monitor: told what happens; silent by default.
        **config: everything else in `Labeling.create` and `goodgrain.pipelines.label_config.LabelConfig`.

    Returns:
        The metrics and where the report is; models are for `goodgrain.load(output)`.

    Raises:
        InputError: anything about data or arguments that cannot work.
        UnknownName: a name that is in no table.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import SimulatedOracle
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.from_arrays(rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 3)
        >>> oracle = SimulatedOracle({str(i): "01x"[i % 3] for i in range(40)}, ood={"x"})
        >>> result = label(pool, oracle, output=tempfile.mkdtemp(), rounds=2, classes=["0", "1"], strategy="entropy",
        ...                steps=2, budget=6, device="cpu")
        >>> [entry["answered"] for entry in result.metrics["rounds"]]
        [6, 6]
    """
    check_count("rounds", rounds)
    with Labeling.create(data, output=output, monitor=monitor, **config) as run:
        session = run.session
        while True:
            now = session.round
            if now is not None and now.state == "open":
                drive(session, answer)
            if now is not None and (now.number + 1 >= rounds or run.exhausted):
                break
            run.advance(monitor)
        return LabelResult(run.folder, run.finish(monitor))
