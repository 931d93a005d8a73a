"""Where a pool's images lie without any label: in the space of an encoder, or of embeddings that the user has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Positions, check_embeddings, check_rows
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError
from goodgrain.learn import CSI, fit, predict
from goodgrain.learn.contrast import rotations_of
from goodgrain.learn.streams import stream_seed
from goodgrain.neighbors import unit_rows
from goodgrain.observations import Observations
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.monitor import Monitor
from goodgrain.run import RunFolder
from goodgrain.scores import contrast, nearest_both, nearest_in, nearest_ood, probe

_ROWS = 4096  # that are digested at a time

Scores = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Space:
    """What is known of n images before anybody has answered.

    Args:
        features: (n, d) what a head is fitted on.
        turned: (n, k, e) the encoder's projection under each of k rotations; of embeddings, themselves, k = 1.
        turn_logits: (n, k) of an encoder that was trained to tell rotations.
    """

    features: Floats
    turned: Floats
    turn_logits: Floats | None = None

    @classmethod
    def of(cls, embeddings: ArrayLike) -> Space:
        """The space of embeddings (n, d) that the user has."""
        rows = check_embeddings(embeddings)
        return cls(rows, rows[:, None])

    def fingerprint(self) -> str:
        """A digest of what a head and purities go by."""
        digest = hashlib.sha256()
        for array in (self.features, self.turned):
            for start in range(0, len(array), _ROWS):
                digest.update(np.ascontiguousarray(array[start : start + _ROWS]).tobytes())
        return digest.hexdigest()[:16]

    def purity(self, name: str, labels: Positions) -> Scores | None:
        """(n,) purity after these answers; None while the answers that it compares with are missing.

        Args:
            name: one of `SPACE_PURITIES`.
            labels: (n,) classes, OOD or UNLABELED.
        """
        return _PURITIES[name](self, np.flatnonzero(labels >= 0), np.flatnonzero(labels == OOD))

    def contrast(self, labels: Positions) -> Scores:
        """(n,) CCAL's score, for images without an answer; those with one have 0.

        Raises:
            InputError: no rotations to compare, or no image has a class yet.
        """
        known, rest = np.flatnonzero(labels >= 0), np.flatnonzero(labels == UNLABELED)
        found = np.zeros(len(labels))
        found[rest] = contrast.ccal(
            self.turned[rest, 0],
            self.turned[known, 0],
            labels[known],
            shifted=self.turned[rest],
            labeled_shifted=self.turned[known],
        )
        return found


def _nearest_in(space: Space, known: Positions, _: Positions) -> Scores | None:
    if not len(known):
        return None
    views = range(space.turned.shape[1])
    cosines: Scores = np.mean([nearest_in(space.turned[:, k], space.turned[known, k]) for k in views], axis=0)
    return cosines


def _nearest_ood(space: Space, _: Positions, strange: Positions) -> Scores | None:
    """Between directions: the encoder was trained on cosines."""
    if not len(strange):
        return None
    views = [unit_rows(space.turned[:, k]) for k in range(space.turned.shape[1])]
    distances: Scores = np.mean([nearest_ood(view, view[strange]) for view in views], axis=0)
    return distances


def _nearest_both(space: Space, known: Positions, strange: Positions) -> Scores | None:
    """As long as all answers are of one kind, by those alone."""
    if not len(strange) or not len(known):
        unlike = _nearest_in(space, strange, known)
        return _nearest_in(space, known, strange) if unlike is None else -unlike
    views = [space.turned[:, k] for k in range(space.turned.shape[1])]
    likeness: Scores = np.mean([nearest_both(view, view[known], view[strange]) for view in views], axis=0)
    return likeness


def _csi(space: Space, known: Positions, _: Positions) -> Scores | None:
    if not len(known):
        return None
    logits = space.turn_logits
    return contrast.csi(space.turned, space.turned[known], logits, None if logits is None else logits[known])


def _probe(space: Space, known: Positions, strange: Positions) -> Scores | None:
    return probe(space.features, known, strange) if len(known) and len(strange) else None


_PURITIES: dict[str, Callable[[Space, Positions, Positions], Scores | None]] = {
    "nearest_in": _nearest_in,
    "nearest_ood": _nearest_ood,
    "nearest_both": _nearest_both,
    "csi": _csi,
    "probe": _probe,
}


def encoded(
    run: RunFolder, pool: Pool, others: dict[str, Pool], asked: LabelConfig, device: str, watch: Monitor
) -> dict[str, Space]:
    """What a CSI learner, trained once on all images of the pool without their labels, makes of it.

    Args:
        run: where the encoder and what it sees are kept.
        pool: the images to learn from, called "pool".
        others: further images by name, such as test images.
        asked: the configuration.
        device: for the training.
        watch: told of the progress.
    """
    learner: CSI | None = None
    found = {}
    for name, images in {"pool": pool, **others}.items():
        path = f"encoder/{name}.npz"
        if not run.has(path):
            learner = learner or _trained(run, pool, asked, device, watch)
            watch.stage(f"asking the encoder about the images ({name})")
            turned, logits = rotations_of(learner, images)
            columns = {"features": predict(learner, images)[1], "turned": turned, "turn_logits": logits}
            run.write(path, lambda part, columns=columns: _save(part, columns))  # type: ignore[misc]
        with np.load(run.path(path)) as file:
            found[name] = Space(file["features"], file["turned"], file["turn_logits"])
    return found


def _trained(run: RunFolder, pool: Pool, asked: LabelConfig, device: str, watch: Monitor) -> CSI:
    learner = CSI(asked.model, flip=asked.flip)
    fit(
        learner,
        pool,
        epochs=asked.encoder_epochs,
        seed=stream_seed(asked.seed, "encoder"),
        checkpoint=run.path("checkpoints/encoder.pt"),
        progress=watch.training("learning what the images are like, without labels", asked.encoder_epochs),
        device=device,
        precision=asked.precision,
    )
    return learner


def _save(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]


def read_embeddings(
    source: str | Path | ArrayLike | Observations | Space,
    pool: Pool,
    what: str = "embeddings",
    *,
    kept: NDArray[np.bool_] | None = None,
) -> Space:
    """Embeddings of a pool's images that the user has.

    Args:
        source: an array (n, d) in the pool's order, an .npy file of one, observations with features, or a space.
        pool: the images.
        what: how a refusal calls them.
        kept: which rows of an array are of these images, where the data had others too; None for all.

    Raises:
        InputError: another number of rows, images that the observations do not know, or no features.
    """
    if isinstance(source, Space):
        check_rows(what, len(source.features), len(pool))
        return source
    if isinstance(source, str | Path) and Path(source).suffix != ".npy":
        source = Observations.read(source)
    elif isinstance(source, str | Path):
        source = _array(Path(source))
    if not isinstance(source, Observations):
        rows = check_embeddings(source, name=what, n=len(pool) if kept is None else len(kept))
        return Space.of(rows if kept is None else rows[kept])
    if source.features is None:
        raise InputError(
            f"the {what} have no features, only {', '.join(source.columns)}. Give what `goodgrain embed` made."
        )
    place = {str(name): row for row, name in enumerate(source.ids.tolist())}
    lost = [name for name in pool.ids.tolist() if name not in place]
    if lost:
        raise InputError(
            f"the {what} lack {len(lost)} of the {len(pool)} images, the first is {lost[0]!r}. "
            "Make them of the same data, with the same ids."
        )
    return Space.of(source.features[[place[name] for name in pool.ids.tolist()]])


def _array(path: Path) -> NDArray[Any]:
    try:
        rows: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as reason:
        raise InputError(f"{path} cannot be read as embeddings: {reason}. Give an .npy file of numbers.") from reason
    return rows
