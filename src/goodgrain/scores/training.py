"""What training tells about each example: its loss, its gradient, and how its prediction went from epoch to epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import Floats, Positions, check_labels, check_numbers, check_probabilities, check_scores, lookup
from goodgrain.errors import InputError


def small_loss(losses: ArrayLike) -> NDArray[np.float64]:
    """Minus the loss: the example that fits its label best first (SmallLoss; Jiang et al. 2018).

    Args:
        losses: (n,) loss of the given label.

    Returns:
        (n,) the same, negated.

    Raises:
        InputError: not a finite (n,) array.

    Example:
        >>> small_loss([0.5, 2.0])
        array([-0.5, -2. ])
    """
    return -check_scores(losses, name="losses")


def forgetting(correct: ArrayLike, *, never_learned: str = "most") -> NDArray[np.float64]:
    """How often an example went from right to wrong: the most forgotten first (Forgetting; Toneva et al. 2019).

    By default an example that was never right counts as the most forgotten of all: its score is e, the number of
    epochs, which no count of forgetting can reach. Under wrong labels these are mostly the wrong ones, so that they
    come first; the shares of wrong labels that table 5.5 gives for this method fit `never_learned="least"`.

    Args:
        correct: (e, n) bool, whether the given label was predicted, per epoch.
        never_learned: "most" or "least": what is right in no epoch is forgotten so often.

    Returns:
        (n,) counts from 0 to e // 2; e or 0 where the example was never learned.

    Raises:
        InputError: not an (e, n) array of booleans (or of 0 and 1).
        UnknownName: `never_learned` is neither.

    Example:
        >>> forgetting([[True, False, True], [False, False, True], [True, False, True]])
        array([1., 3., 0.])
    """
    right = _check_correct(correct)
    events = (right[:-1] & ~right[1:]).sum(axis=0).astype(np.float64)
    unlearned = lookup("never_learned", {"most": float(len(right)), "least": 0.0}, never_learned)
    return np.where(right.any(axis=0), events, unlearned)


def grand(probabilities: ArrayLike, labels: ArrayLike, features: ArrayLike) -> NDArray[np.float64]:
    """Norm of the last layer's gradient, bias included: the most influential first (GraNd; Paul et al. 2021).

    For a linear head under cross-entropy the norm is ||p - onehot(y)|| * sqrt(1 + ||h||^2), so that no gradient need
    be computed. The method averages over ten independently initialised models; give their outputs stacked.

    Args:
        probabilities: (n, c) predictions of one model, or (m, n, c) of several.
        labels: (n,) given classes 0..c-1.
        features: (n, d) input of the last layer, or (m, n, d).

    Returns:
        (n,) norms >= 0, the mean over the models.

    Raises:
        InputError: shapes that do not fit, NaN, rows that do not sum to 1, labels outside 0..c-1.

    Example:
        >>> grand([[0.7, 0.2, 0.1]], [1], [[1.0, 2.0]]).round(5)
        array([2.61534])
    """
    p = _models("probabilities", probabilities)
    h = _models("features", features)
    if len(h) != len(p):
        raise InputError(f"probabilities come from {len(p)} models, features from {len(h)}. Give one of each a model.")
    y = check_labels(labels, n=p.shape[1], classes=p.shape[2])
    norms = np.zeros(len(y))
    for predicted, feature in zip(p, h, strict=True):
        check_probabilities(predicted)
        check_numbers("features", feature, dimensions=2, n=len(y))
        norms += _error_norm(predicted, y) * np.sqrt(1.0 + np.square(feature, dtype=np.float64).sum(axis=1))
    return norms / len(p)


def el2n(probabilities: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Length of the error vector, ||p - onehot(y)||: the hardest first (EL2N; Paul et al. 2021).

    Args:
        probabilities: (n, c) predictions of one model early in training, or (m, n, c) of several.
        labels: (n,) given classes 0..c-1.

    Returns:
        (n,) between 0 and sqrt(2), the mean over the models.

    Raises:
        InputError: shapes that do not fit, NaN, rows that do not sum to 1, labels outside 0..c-1.

    Example:
        >>> el2n([[1.0, 0.0], [0.5, 0.5]], [1, 1]).round(4)
        array([1.4142, 0.7071])
    """
    p = _models("probabilities", probabilities)
    y = check_labels(labels, n=p.shape[1], classes=p.shape[2])
    norms = np.zeros(len(y))
    for predicted in p:
        norms += _error_norm(check_probabilities(predicted), y)
    return norms / len(p)


def aum(margin: ArrayLike) -> NDArray[np.float64]:
    """Minus the area under the margin: the likeliest mislabeled, or hardest, first (AUM; Pleiss et al. 2020).

    Args:
        margin: (e, n) given label's logit minus the best other, per epoch.

    Returns:
        (n,) minus the mean over the epochs; negate it to keep the cleanest first.

    Raises:
        InputError: not a finite (e, n) array.

    Example:
        >>> aum([[1.0, -2.0], [3.0, 0.0]])
        array([-2.,  1.])
    """
    mean: NDArray[np.float64] = check_numbers("margin", margin, dimensions=2).mean(axis=0, dtype=np.float64)
    return -mean


def _check_correct(values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"correct should be (epochs, examples), neither empty; its shape is {array.shape}.")
    right = array.astype(bool)
    if array.dtype.kind not in "biuf" or not np.array_equal(right, array):
        raise InputError(f"correct should be booleans, one per epoch and example; its type is {array.dtype}.")
    return right


def _models(name: str, values: ArrayLike) -> Floats:
    """(m, n, ...) from one model's (n, ...) or several models' outputs."""
    array = np.asarray(values)
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"{name} should be (examples, columns) or (models, examples, columns), none empty; "
            f"their shape is {array.shape}."
        )
    return check_numbers(name, array if array.ndim == 3 else array[np.newaxis], dimensions=3)


def _error_norm(probabilities: Floats, labels: Positions) -> NDArray[np.float64]:
    error = probabilities.astype(np.float64)
    error[np.arange(len(labels)), labels] -= 1.0
    norms: NDArray[np.float64] = np.sqrt(np.square(error).sum(axis=1))
    return norms
