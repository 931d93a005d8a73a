"""Scores from contrastive features: is an example of a known kind (CSI, CCAL), and does it add anything (CCAL)?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, check_embeddings, check_labels, check_numbers, check_rows
from goodgrain.errors import InputError
from goodgrain.neighbors import unit_rows

Scores = NDArray[np.float64]

_BLOCK = 1024  # rows at a time on either side, so that no n x m array is held


def csi(
    features: ArrayLike,
    reference: ArrayLike,
    shift_logits: ArrayLike | None = None,
    reference_shift_logits: ArrayLike | None = None,
) -> Scores:
    """How near an example is to the reference in every rotation, and how surely its rotations are told (CSI).

    With z_k the features under rotation k, r_mk those of reference m, and l_k the shift classifier's logit of k for
    the example under k: the mean over k of max_m <z_k, r_mk / |r_mk|> / mean_m |r_mk| + l_k / mean_m l_mk (Tack et al.
    2020, section 2.3). The example's own length counts: training makes the features of what it knows long. A rotation
    that the classifier does not know on the reference (mean logit of 0 or less) has no second term: to divide by it
    would turn the order around.

    Args:
        features: (n, k, d) of the projection, under each of k rotations.
        reference: (m, k, d) of examples that are in-distribution, by the same model.
        shift_logits: (n, k) logit of each rotation for the example under it; None for the first term alone.
        reference_shift_logits: (m, k) likewise, of the reference.

    Returns:
        (n,) higher = more in-distribution; about 2 (1 without logits) for the reference itself.

    Raises:
        InputError: arrays that are not finite or do not fit each other, or logits of one side only.

    Example:
        >>> csi([[[2.0, 0.0]], [[0.0, 2.0]]], [[[1.0, 0.0]], [[3.0, 0.0]]])
        array([1., 0.])
    """
    x, r = _shifted("features", features, "reference", reference)
    score = np.zeros(len(x))
    for k in range(x.shape[1]):
        length = np.linalg.norm(r[:, k].astype(np.float64), axis=1).mean()
        score += _nearest(x[:, k].astype(np.float64), unit_rows(r[:, k]))[0] * _inverse(length)
    if shift_logits is not None and reference_shift_logits is not None:
        own = _logits("shift_logits", shift_logits, x)
        theirs = _logits("reference_shift_logits", reference_shift_logits, r)
        score += own @ np.array([_inverse(mean) for mean in theirs.mean(axis=0)])
    elif shift_logits is not None or reference_shift_logits is not None:
        raise InputError("logits of the shift classifier came for one side only. Give both, or neither.")
    score /= x.shape[1]
    return score


def ccal_semantic(features: ArrayLike, labeled: ArrayLike) -> Scores:
    """Whether an example is of a known kind: its largest cosine to a labelled one, pushed to -1 or 1 (CCAL).

    The cosines are stretched to s in [0, 1] over the pool, then tanh(50 (s - 0.9)) (Du et al. 2021).

    Args:
        features: (n, d) of the pool, without the labelled examples: they would take the top of the stretch.
        labeled: (m, d) of examples whose class is known.

    Returns:
        (n,) between -1 and 1; -1 for all where all cosines are equal.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> ccal_semantic([[1, 0], [0.9, 0.19**0.5], [0, 1]], [[2, 0]]).round(4) + 0.0
        array([ 0.9999,  0.    , -1.    ])
    """
    return _semantic(*_flat(features, labeled))[0]


def ccal_distinctive(features: ArrayLike, labeled: ArrayLike, labels: ArrayLike) -> Scores:
    """How close an example is to what is labelled of each class already; the lower, the more it adds (CCAL).

    By class and rotation: 2 c1 - c2 + cos(a, b), where a and b are the labelled examples of the class with the largest
    cosines to the example, c1 and c2. The mean over rotations is stretched to [0, 1] over the pool, class by class (Du
    et al. 2021). A class of one labelled example counts it twice.

    Args:
        features: (n, k, d) of the pool under k rotations, by a model that was trained to tell rotations apart.
        labeled: (m, k, d) of examples whose class is known.
        labels: (m,) their classes.

    Returns:
        (n, c) between 0 and 1, one column per class that occurs, ascending; 0 where all are equally close.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> ccal_distinctive([[[1, 0]], [[-1, 0]]], [[[1, 0]], [[1, 1]]], [4, 4])
        array([[1.],
               [0.]])
    """
    x, r = _shifted("features", features, "labeled", labeled)
    return _distinctive(x, r, check_labels(labels, n=len(r)))


def ccal(
    features: ArrayLike, labeled: ArrayLike, labels: ArrayLike, *, shifted: ArrayLike, labeled_shifted: ArrayLike
) -> Scores:
    """Semantic + 1 - distinctive: of a known kind, and not yet close to its own class (CCAL; Du et al. 2021).

    An example's own class is that of the labelled example with the largest semantic cosine.

    Args:
        features: (n, d) of the pool without the labelled examples, for the semantic score.
        labeled: (m, d) of examples whose class is known, likewise.
        labels: (m,) their classes.
        shifted: (n, k, e) of the pool under k rotations, for the distinctive score.
        labeled_shifted: (m, k, e) of the labelled examples, likewise.

    Returns:
        (n,) between -1 and 2.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> known = [[1.0, 0.0], [0.0, 1.0]]
        >>> pool = [[1.0, 0.1], [0.2, 1.0], [-1.0, -1.0]]
        >>> views, known_views = [[row] for row in pool], [[row] for row in known]  # one rotation
        >>> ccal(pool, known, [0, 1], shifted=views, labeled_shifted=known_views).round(2)
        array([1., 1., 0.])
    """
    x, r = _flat(features, labeled)
    more, known = _shifted("shifted", shifted, "labeled_shifted", labeled_shifted)
    check_rows("shifted", len(more), len(x))
    check_rows("labeled_shifted", len(known), len(r))
    y = check_labels(labels, n=len(r))
    semantic, nearest = _semantic(x, r)
    own = np.searchsorted(np.unique(y), y[nearest])
    score: Scores = semantic + 1 - _distinctive(more, known, y)[np.arange(len(x)), own]
    return score


def _semantic(x: Floats, r: Floats) -> tuple[Scores, Positions]:
    """The score, and which row of r is nearest, each (n,)."""
    cosines, nearest = _nearest(unit_rows(x), unit_rows(r))
    return np.tanh(50 * (_stretched(cosines) - 0.9)), nearest


def _distinctive(x: Floats, r: Floats, labels: Positions) -> Scores:
    """(n, c)."""
    pool = [unit_rows(x[:, k]) for k in range(x.shape[1])]
    columns = []
    for label in np.unique(labels):
        known = [unit_rows(r[labels == label, k]) for k in range(x.shape[1])]
        columns.append(_stretched(np.mean([_closeness(*pair) for pair in zip(pool, known, strict=True)], axis=0)))
    return np.stack(columns, axis=1)


def _closeness(x: Scores, r: Scores) -> Scores:
    """2 c1 - c2 + cos(a, b) of the two rows of r nearest to each of x, all of length 1: (n,)."""
    r = np.repeat(r, 2, axis=0) if len(r) == 1 else r
    found = []
    for start in range(0, len(x), _BLOCK):
        cosines = x[start : start + _BLOCK] @ r.T  # (b, m)
        rows = np.arange(len(cosines))
        a = cosines.argmax(axis=1)
        c1 = cosines[rows, a]
        cosines[rows, a] = -np.inf
        b = cosines.argmax(axis=1)
        found.append(2 * c1 - cosines[rows, b] + np.einsum("bd,bd->b", r[a], r[b]))
    return np.concatenate(found)


def _nearest(x: Scores, r: Scores) -> tuple[Scores, Positions]:
    """The largest inner product with a row of r, and which row that is, each (n,)."""
    largest, nearest = np.full(len(x), -np.inf), np.zeros(len(x), dtype=np.int64)
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for other in range(0, len(r), _BLOCK):
            products = x[rows] @ r[other : other + _BLOCK].T
            here, most = products.argmax(axis=1), products.max(axis=1)
            nearest[rows] = np.where(most > largest[rows], here + other, nearest[rows])
            largest[rows] = np.maximum(most, largest[rows])
    return largest, nearest


def _stretched(values: Scores) -> Scores:
    """To [0, 1]; 0 where all are equal."""
    span = np.ptp(values)
    stretched: Scores = (values - values.min()) / (span if span > 0 else 1.0)
    return stretched


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else 0.0


def _flat(features: ArrayLike, labeled: ArrayLike) -> tuple[Floats, Floats]:
    x, r = check_embeddings(features, name="features"), check_embeddings(labeled, name="labeled")
    if x.shape[1] != r.shape[1]:
        raise InputError(f"features have {x.shape[1]} dimensions and labeled {r.shape[1]}. Take both from one model.")
    return x, r


def _shifted(name: str, features: ArrayLike, other: str, reference: ArrayLike) -> tuple[Floats, Floats]:
    x, r = check_numbers(name, features, dimensions=3), check_numbers(other, reference, dimensions=3)
    if x.shape[1:] != r.shape[1:] or 0 in x.shape:
        raise InputError(
            f"{name} and {other} should be (n, k, d) and (m, k, d) with k rotations and d dimensions, 1 or more; their "
            f"shapes are {x.shape} and {r.shape}. Take both from one model."
        )
    return x, r


def _logits(name: str, values: ArrayLike, features: Floats) -> Scores:
    logits = check_numbers(name, values, dimensions=2, n=len(features))
    if logits.shape[1] != features.shape[1]:
        raise InputError(
            f"{name} should be (n, {features.shape[1]}), one logit per rotation; their shape is {logits.shape}."
        )
    return logits.astype(np.float64, copy=False)
