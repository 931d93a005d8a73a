"""What comes into a labelling run: the images, the classes, labels that exist already, and the test images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.annotate import OOD as OOD_ANSWER
from goodgrain.annotate import Item
from goodgrain.annotate.answers import check_classes
from goodgrain.checks import Positions
from goodgrain.data.images import as_mode, blocks
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.data.read import read
from goodgrain.errors import InputError
from goodgrain.models import load_network
from goodgrain.models.load import without_weights
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_known import OWN, Known, read_known
from goodgrain.pipelines.label_space import Space
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.prune_inputs import IN_MEMORY, source_name

READING = ("image_size", "label_column", "image_column", "id_column", "max_bad")
"""What can be said of how images are read."""

MAX_BAD = 0.01
"""The largest share of unreadable images that is put up with, unless another one is given."""

_LONGEST = 1024  # pixels of an image as a person is shown it


@dataclass(frozen=True, eq=False)
class Images:
    """All images of a run.

    Args:
        pool: what may be labelled, under the run's classes, without labels.
        test: images with one of the classes each, or None.
        classes: c names.
        sources: what was given as data, test and known, as the configuration calls it.
        own: id -> the label that the data itself has, where it was asked to tell.
        test_kept: which of the images that were given as test have one of the classes.
    """

    pool: Pool
    test: Pool | None
    classes: tuple[str, ...]
    sources: Mapping[str, str | None]
    own: Mapping[str, str]
    test_kept: NDArray[np.bool_] | None = None

    def check(self, asked: LabelConfig, embeddings: Any, test_embeddings: Any) -> None:
        """Refuse what no round could work with."""
        if len(self.classes) < 2:
            raise InputError("there is only one class. Classification needs at least two.")
        nothing = embeddings is None and asked.encoder == "none"
        if asked.target == "head" and nothing:
            raise InputError("a head is fitted on what an encoder sees. Give embeddings, or encoder csi.")
        flat = nothing or (embeddings is not None and not isinstance(embeddings, Space))
        if asked.strategy == "ccal" and flat:
            raise InputError("ccal compares an image's rotations, which only encoder csi sees. Use that.")
        if asked.combines and asked.purity == "csi" and flat:
            raise InputError("purity csi asks encoder csi about rotations. Use that, or purity nearest_in.")
        if asked.target == "head" and self.test is not None and embeddings is not None and test_embeddings is None:
            raise InputError("the test images need embeddings of the same encoder. Give test_embeddings.")

        if asked.target == "network" or embeddings is None:
            self._check_shapes(asked, turned=asked.sees_space and asked.encoder == "csi" and embeddings is None)

    def _check_shapes(self, asked: LabelConfig, *, turned: bool) -> None:
        """Refuse, before anybody answers, what the first training would stumble over."""
        height, width, channels = shape = self.pool.image_shape
        if self.test is not None and self.test.image_shape != shape:
            raise InputError(
                f"the test images come as {self.test.image_shape} (height, width, channels), the data as {shape}. "
                "Bring both into one form."
            )
        if turned and height != width:
            raise InputError(
                f"encoder csi turns images by quarters, so they should be square; these are {height} x {width}. "
                f"Give image_size={min(height, width)}, or embeddings, or encoder none."
            )
        load_network(
            without_weights(asked.model), classes=len(self.classes), channels=channels, seed=0, size=(height, width)
        )

    def table(self, embeddings: Any, test_embeddings: Any) -> dict[str, Any]:
        """What config.toml tells of them."""
        return {
            **self.sources,
            "classes": list(self.classes),
            "embeddings": _place(embeddings),
            "test_embeddings": _place(test_embeddings),
        }

    def fingerprint(self) -> dict[str, str]:
        """Digests of the images."""
        found = {"data": self.pool.fingerprint()}
        return found if self.test is None else {**found, "test": self.test.fingerprint()}

    def png(self, position: int) -> bytes:
        """One image as a person is shown it."""
        image = as_mode(self.pool.source.open(position), self.pool.image_shape[2])
        image.thumbnail((_LONGEST, _LONGEST))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()


def read_images(
    data: str | Path | Pool,
    test: str | Path | Pool | None,
    known: Known,
    classes: Sequence[str] | None,
    reading: Mapping[str, Any],
    watch: Monitor,
) -> Images:
    """Read pool and test set, and settle what the classes are.

    Raises:
        InputError: no classes are known, or no test image has one of them.
    """
    own = known == OWN
    options: dict[str, Any] = {name: value for name, value in reading.items() if value is not None}
    if not own:
        options.pop("label_column", None)
    pool = data
    if not isinstance(pool, Pool):
        watch.stage("reading the images")
        pool = read(pool, labeled="partly" if own else False, **options)
    names = check_classes(_class_names(pool, known, classes))
    bare = pool.with_labels(np.full(len(pool), UNLABELED), classes=names)
    held_out = test
    if held_out is not None and not isinstance(held_out, Pool):
        watch.stage("reading the test images")
        told_too: dict[str, Any] = {
            name: value for name, value in reading.items() if value is not None and name != "image_size"
        }
        held_out = read(held_out, **told_too, image_size=pool.image_shape[:2])
    sources = {"data": _place(data), "test": _place(test), "known": _known_name(known)}
    told = _told(pool) if own else {}
    if held_out is None:
        return Images(bare, None, names, sources, told)
    kept, labels = _of_classes(held_out, names)
    rows = np.flatnonzero(kept)
    return Images(bare, held_out.subset(rows).with_labels(labels[rows], classes=names), names, sources, told, kept)


def items_of(pool: Pool, data: str | Path | Pool) -> Iterator[Item]:
    """The pool's images as a session keeps them: id, path below the data, hash of the pixels."""
    root = None if isinstance(data, Pool) or not Path(data).is_dir() else Path(data)
    for rows in blocks(len(pool)):
        pixels = pool.images(rows)
        for row, image in zip(rows.tolist(), pixels, strict=True):
            name = str(pool.ids[row])
            path = name if root is not None and (root / name).is_file() else ""
            yield Item(name, path, hashlib.sha256(image.tobytes()).hexdigest())


def _class_names(pool: Pool, known: Known, classes: Sequence[str] | None) -> Sequence[str]:
    if classes is not None:
        return classes
    if known == OWN:
        return pool.classes
    if known is not None:
        told = known if isinstance(known, Mapping) else read_known(known)
        return sorted(set(told.values()) - {OOD_ANSWER})
    raise InputError("nobody said what the images may be. Give classes (--classes cat,dog), or known labels.")


def _told(pool: Pool) -> dict[str, str]:
    return {
        str(name): OOD_ANSWER if label == OOD else pool.classes[label]
        for name, label in zip(pool.ids.tolist(), pool.labels.tolist(), strict=True)
        if label != UNLABELED
    }


def _of_classes(test: Pool, classes: tuple[str, ...]) -> tuple[NDArray[np.bool_], Positions]:
    """Which test images have one of these classes, and the number of that class, each (n,)."""
    number = np.array([classes.index(name) if name in classes else OOD for name in test.classes], dtype=np.int64)
    labels: NDArray[np.int64] = np.where(test.labels >= 0, number[test.labels], OOD)
    if not (labels >= 0).any():
        raise InputError(
            f"no test image has one of the classes {', '.join(classes[:20])}; the test set has "
            f"{', '.join(test.classes[:20])}. Both should name classes alike."
        )
    return labels >= 0, labels


def _known_name(known: Known) -> str | None:
    if isinstance(known, Mapping):
        return f"{len(known)} labels{IN_MEMORY}"
    return OWN if known == OWN else _place(known)


def check_same(told: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse data that changed since a run was begun.

    Args:
        told: digests by name, as the run has them.
        now: those of what is there.

    Raises:
        InputError: one of them is another.
    """
    for name, digest in told.items():
        if now.get(name) != digest:
            what = name.replace("_", " ") if "embeddings" in name else f"images of {name}"
            raise InputError(
                f"the {what} are not those that this run was begun with. Bring them back, or begin a new run with "
                "their labels as known labels."
            )


def _place(source: object) -> str | None:
    """How the configuration calls what was given; a path works from any folder."""
    return source_name(Path(source).absolute() if isinstance(source, str | Path) else source)


def place_of(name: str, given: Any, told: str | None) -> Any:
    """What is read again when a run goes on: the place in its configuration, or what is given now.

    Raises:
        InputError: the run was begun with something in memory, and it was not given again.
    """
    if given is not None or told is None:
        return given
    if told.endswith(IN_MEMORY):
        raise InputError(f"this run was begun with {name} in memory ({told}). Give the same again as {name}=.")
    return told
