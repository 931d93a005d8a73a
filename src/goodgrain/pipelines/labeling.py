"""A pool that is being labelled: what one process holds of it, from one round to the next (Algorithm 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from goodgrain.annotate import Round, Session
from goodgrain.annotate.store import FILE
from goodgrain.checks import Positions
from goodgrain.data.pool import Pool, Rejected
from goodgrain.errors import InputError
from goodgrain.learn.streams import stream_seed
from goodgrain.pipelines.label_config import LabelConfig, check_config
from goodgrain.pipelines.label_files import asked_file, config_of, model_file
from goodgrain.pipelines.label_inputs import (
    MAX_BAD,
    READING,
    Images,
    check_same,
    items_of,
    place_of,
    read_images,
)
from goodgrain.pipelines.label_known import OWN, Known, check_known, known_of
from goodgrain.pipelines.label_pictures import Seen, pictures
from goodgrain.pipelines.label_report import write_report
from goodgrain.pipelines.label_round import Asked
from goodgrain.pipelines.label_session import open_session, trainable, view_session
from goodgrain.pipelines.label_space import Space, read_embeddings
from goodgrain.pipelines.label_steps import Between
from goodgrain.pipelines.monitor import Monitor, Silent
from goodgrain.run import RunFolder, check_outside


class Labeling:
    """A pool that is being labelled: its images, its session, and the models of its rounds, in one folder.

    `create` begins one, `open` goes on. `session` asks and is told; `advance` closes a round, trains on all answers so
    far, learns what to ask for, and opens the next. What is done is on disk: after a kill, the same call goes on, and
    asks for the same.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import SimulatedOracle, drive
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
        self._run, self._images, self._asked, self.session = run, images, asked, session
        self._rounds = Between(run.folder, images, asked, session, spaces, device)
        self._guessed: tuple[int, Positions | None] = (-1, None)  # round, and what its model predicts

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
        start = known_of(known, ids=images.pool.ids.tolist(), classes=images.classes, own=images.own)
        spaces = _spaces(images, embeddings, test_embeddings)
        table = {
            "job": "label",
            **images.table(embeddings, test_embeddings),
            **reading,
            "label": asked.table(),
            "fingerprint": _fingerprint(images, spaces),
        }
        check_outside(output, data, test)
        run = RunFolder(output, table)
        with run:
            if run.has(FILE):
                with view_session(run.folder) as begun:
                    check_known(begun, start)
            else:
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
        known = OWN if table.get("known") == OWN else None  # then only images with a label of their own were read
        images = read_images(names["data"], names["test"], known, table["classes"], reading, monitor or Silent())
        spaces = _spaces(images, names["embeddings"], names["test_embeddings"])
        check_same(table["fingerprint"], _fingerprint(images, spaces))
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
    def rejected(self) -> tuple[Rejected, ...]:
        """Files that cannot be used, and why; nobody is asked about them."""
        return self._images.pool.rejected

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
        if last is not None and last.state == "open" and not self._rounds.told_in(last.number):
            raise InputError(
                f"nothing was answered in round {last.number} yet, so there is nothing new to learn from. Answer at "
                "least one of its images; answers that came to earlier rounds since are then learned from as well."
            )
        if not len(self._rounds.left()):
            raise InputError("every image is answered: there is nothing left to ask for. Finish (train --final).")
        if last is not None and last.state == "open":
            self.session.close_round()
        number = 0 if last is None else last.number + 1
        with self._run as run:
            labels = self.session.labels()[1]
            left_out, rows = self._rounds.judged(), self._rounds.left()
            seed = stream_seed(self._asked.seed, "query", number) % 2**32
            if trainable(labels):
                target = self._rounds.trained(run, labels, number, watch)
                watch.stage("choosing what to ask for")
                asked = self._rounds.ranked(run, target, labels, left_out, number, seed)
                strategy, parameters = self._asked.strategy, self._rounds.parameters(number, asked)
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
            self._rounds.trained(run, labels, number, watch)
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
        return self._images.png(self._rounds.place[id])

    def guess(self, id: str) -> str | None:  # noqa: A002
        """The class that the last model predicts; None before there is one."""
        last = self.session.round
        if last is not None and last.number != self._guessed[0]:
            path = self.folder / asked_file(last.number)
            self._guessed = last.number, Asked.load(path).predicted if path.exists() else None
        predicted = self._guessed[1]
        return None if predicted is None else self._images.classes[int(predicted[self._rounds.place[id]])]

    @property
    def exhausted(self) -> bool:
        """Whether no other round can follow: nothing is left to ask for, or nobody answered in the open round."""
        last = self.session.round
        waits = last is not None and last.state == "open" and not self._rounds.told_in(last.number)
        return waits or not len(self._rounds.left())


def _spaces(images: Images, embeddings: Any, test_embeddings: Any) -> dict[str, Space] | None:
    """Where the images lie by the embeddings that were given; None without any."""
    if embeddings is None:
        return None
    found = {"pool": read_embeddings(embeddings, images.pool)}
    if test_embeddings is not None and images.test is not None:
        found["test"] = read_embeddings(test_embeddings, images.test, "test_embeddings", kept=images.test_kept)
    return found


def _fingerprint(images: Images, spaces: dict[str, Space] | None) -> dict[str, str]:
    """Digests of images and embeddings."""
    places = {"pool": "embeddings", "test": "test_embeddings"}
    return images.fingerprint() | {places[name]: space.fingerprint() for name, space in (spaces or {}).items()}
