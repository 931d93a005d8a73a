"""What the features of a model say about classes, and about images of no class: what TAUFE changes, in numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from goodgrain.checks import Floats, check_count, check_embeddings, check_labels, check_probabilities, lookup
from goodgrain.errors import InputError
from goodgrain.scores.ood_sets import largest_correlation

_PERPLEXITY = 30.0


def activation(features: ArrayLike) -> float:
    """The mean squared length of features, what TAUFE brings down on OOD images (Eq. 3.3, sum form).

    Args:
        features: (n, d) one row per image.

    Returns:
        The mean of ||f||^2, in squared units of the features.

    Raises:
        InputError: not a finite (n, d) array.

    Example:
        >>> activation([[3, 4], [0, 1]])
        13.0
    """
    x = check_embeddings(features, name="features")
    return float(np.square(x).sum(axis=1, dtype=np.float64).mean())


def class_cosine(features: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """The mean cosine similarity of the activations of two classes, for each pair of classes (table 3.1).

    From the sums of unit rows of each class: never an n x n matrix.

    Args:
        features: (n, d); a row of zeros is at cosine 0 to every other.
        labels: (n,) classes 0..c-1.

    Returns:
        (c, c) symmetric; the diagonal is over pairs of different images of a class. NaN where there is no pair.

    Raises:
        InputError: not a finite (n, d) array, or labels of another length.

    Example:
        >>> class_cosine([[1, 0], [2, 0], [0, 1], [0, 3]], [0, 0, 1, 1])
        array([[1., 0.],
               [0., 1.]])
    """
    sums, squares, counts = _sums(features, labels)
    pairs = counts[:, None] * counts - np.diag(counts)
    totals = sums @ sums.T - np.diag(squares)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = totals / np.where(pairs > 0, pairs, np.nan)
    return mean


def between_classes(features: ArrayLike, labels: ArrayLike) -> float:
    """The mean cosine similarity of activations over all pairs of images of different classes (table 3.1).

    Args:
        features: (n, d).
        labels: (n,) classes, at least two of them.

    Returns:
        From -1 to 1; every pair of images counts alike, so that large classes weigh more.

    Raises:
        InputError: as in `class_cosine`, or one class only.

    Example:
        >>> between_classes([[1, 0], [1, 1]], [0, 1]).__round__(4)
        0.7071
    """
    sums, _, counts = _sums(features, labels)
    pairs = counts.sum() ** 2 - np.square(counts).sum()
    if not pairs:
        raise InputError("all images are of one class, so there are no pairs of different classes. Give at least two.")
    return float((np.square(sums.sum(axis=0)).sum() - np.square(sums).sum()) / pairs)


def undesirability(features: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """How far each feature goes with the model's predictions on OOD images (Definition 3.2.1, made operational).

    OOD images have no true label, so that the label's place is taken by what the model itself predicts: per feature the
    largest absolute correlation with a class's probability.

    Args:
        features: (m, d) of OOD images.
        probabilities: (m, c) the model's predictions for them.

    Returns:
        (d,) from 0 to 1, higher = more undesirable; 0 for a constant feature.

    Raises:
        InputError: arrays that are not finite or differ in length.

    Example:
        >>> undesirability([[1, 5], [0, 5]], [[0.9, 0.1], [0.2, 0.8]]).round(6)
        array([1., 0.])
    """
    x = check_embeddings(features, name="features")
    return largest_correlation(x, check_probabilities(probabilities, n=len(x)))


def response(features: ArrayLike, ood_features: ArrayLike) -> NDArray[np.float64]:
    """How strongly each feature responds to OOD images, in units of the model's response to the target's images.

    The unit is one number per model, the root mean square of all its features on the target's images. A unit of each
    feature's own would put features first that are all but silent on the target. The mean of the squared responses is
    `activation(ood_features) / activation(features)`.

    Args:
        features: (n, d) of the target's images.
        ood_features: (m, d) of the OOD images, by the same model.

    Returns:
        (d,) 0 or more; 1 = as strongly as the model's features respond to the target on average (root mean square).

    Raises:
        InputError: arrays that are not finite or not of one width, or features that are all 0 on the target.

    Example:
        >>> response([[2, 0], [2, 0]], [[1, 0], [-1, 3]]).round(4)
        array([0.7071, 1.5   ])
    """
    x, z = check_embeddings(features, name="features"), check_embeddings(ood_features, name="ood_features")
    _check_width("features", x, "ood_features", z, "Take both from one model.")
    unit = np.sqrt(np.square(x, dtype=np.float64).mean())
    if unit == 0:
        raise InputError("features are 0 for every image of the target, so there is no unit to measure responses in.")
    strength: NDArray[np.float64] = np.sqrt(np.square(z, dtype=np.float64).mean(axis=0)) / unit
    return strength


def switched_off(
    before_in: ArrayLike, before_ood: ArrayLike, after_in: ArrayLike, after_ood: ArrayLike
) -> NDArray[np.float64]:
    """How much less each feature responds to OOD images in a second model than in a first.

    The difference of `response`, so that a model whose features are all smaller has switched nothing off by that alone.
    It compares equal feature indices. Hidden units of two networks may come in any order, so an index means the same
    feature only where both started from the same weights and saw the same batches in the same order, and even then
    training may part them: see `agreement`. From different first weights the result says nothing.

    Args:
        before_in: (n, d) features of the target's images by the first model, such as standard training.
        before_ood: (m, d) of OOD images by the first model.
        after_in: (n', d) of the target's images by the second model, such as TAUFE.
        after_ood: (m', d) of OOD images by the second model.

    Returns:
        (d,) higher = switched off more; below 0 where the second model responds more.

    Raises:
        InputError: arrays that are not finite or not of one width, or a model whose features are all 0 on the target.

    Example:
        >>> switched_off([[1, 1]], [[1, 1]], [[2, 2]], [[0, 2]])
        array([1., 0.])
    """
    before, after = response(before_in, before_ood), response(after_in, after_ood)
    if len(before) != len(after):
        raise InputError(
            f"the first model has {len(before)} features and the second {len(after)}. Compare two trainings of one "
            "architecture that started from the same weights."
        )
    return before - after


def agreement(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Whether an index means the same feature in two models: the correlation of both over the same images.

    Args:
        before: (n, d) features of n images by the first model.
        after: (n, d) features of the same images, in the same order, by the second.

    Returns:
        (d,) Pearson correlations from -1 to 1; 0 where either feature is constant, as one that was switched off
        altogether is.

    Raises:
        InputError: arrays that are not finite, or of different shapes.

    Example:
        >>> agreement([[1, 0], [2, 0], [3, 1]], [[2, 5], [4, 5], [6, 5]]).round(6)
        array([1., 0.])
    """
    x = check_embeddings(before, name="before")
    y = check_embeddings(after, name="after", n=len(x))
    _check_width("before", x, "after", y, "Compare two trainings of one architecture.")
    centred = [np.asarray(table, dtype=np.float64) - table.mean(axis=0, dtype=np.float64) for table in (x, y)]
    products = (centred[0] * centred[1]).mean(axis=0)
    scale = np.prod([np.sqrt(np.square(table).mean(axis=0)) for table in centred], axis=0)
    # What rounding leaves of a constant column is no variation.
    varies = [c.std(axis=0) > 1e-7 * np.abs(table).max(axis=0) for c, table in zip(centred, (x, y), strict=True)]
    found: NDArray[np.float64] = np.divide(products, scale, out=np.zeros(x.shape[1]), where=varies[0] & varies[1])
    return np.clip(found, -1.0, 1.0)


def projection(features: ArrayLike, *, seed: int = 0, method: str = "pca") -> NDArray[np.float64]:
    """Features in two dimensions, the zero vector at the origin (figure 3.3).

    TAUFE sends OOD images to the zero vector, so that the zero vector has to stay where it is. "pca" therefore does not
    centre: it is the best linear picture of lengths and angles around the origin (the first two right singular
    vectors), and no image is shown farther from the origin than it is. "tsne" keeps neighbourhoods only: the zero
    vector takes part as a point of its own and is then moved to the origin; distances in the picture are no distances.

    Args:
        features: (n, d) of all images of one picture, OOD images among them; a few thousand at most for "tsne".
        seed: for "tsne"; "pca" needs none.
        method: "pca" or "tsne" (the text's).

    Returns:
        (n, 2); for "pca" in units of the features, the larger spread first, turned so that of each direction's
        entries the largest is positive.

    Raises:
        InputError: not a finite (n, d) array, or fewer than 2 images.
        UnknownName: another method.

    Example:
        >>> projection([[2, 0, 0], [0, 1, 0], [0, 0, 0]])
        array([[2., 0.],
               [0., 1.],
               [0., 0.]])
    """
    x = check_embeddings(features, name="features").astype(np.float64)
    check_count("the number of images", len(x), least=2)
    return lookup("projection", {"pca": _around_the_origin, "tsne": _neighbourhoods}, method)(x, seed)


def _around_the_origin(x: NDArray[np.float64], _: int) -> NDArray[np.float64]:
    x = np.pad(x, ((0, 0), (0, max(0, 2 - x.shape[1]))))
    vectors = np.linalg.eigh(x.T @ x).eigenvectors  # (d, d), ascending
    axes = vectors[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    points: NDArray[np.float64] = x @ axes + 0.0  # -0.0 becomes 0.0
    return points


def _neighbourhoods(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    with_zero = np.vstack([x, np.zeros(x.shape[1])])
    start = _around_the_origin(with_zero, seed)
    start = 1e-4 * start / max(float(start[:, 0].std()), 1e-300)  # the scale at which t-SNE starts from PCA
    with threadpool_limits(limits=1):
        found = TSNE(perplexity=min(_PERPLEXITY, len(x) / 3), init=start, random_state=seed).fit_transform(with_zero)
    points: NDArray[np.float64] = (found[:-1] - found[-1]).astype(np.float64)
    return points


def _check_width(name: str, x: Floats, other: str, z: Floats, advice: str) -> None:
    if x.shape[1] != z.shape[1]:
        raise InputError(f"{name} have {x.shape[1]} dimensions and {other} {z.shape[1]}. {advice}")


def _sums(
    features: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per class: the sum of unit rows (c, d), the sum of their squared lengths (c,), and the count (c,)."""
    x = check_embeddings(features, name="features")
    y = check_labels(labels, n=len(x))
    counts = np.bincount(y).astype(np.float64)
    sums, squares = np.zeros((len(counts), x.shape[1])), np.zeros(len(counts))
    for label in np.flatnonzero(counts):
        rows = x[y == label].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        sums[label], squares[label] = unit.sum(axis=0), np.square(unit).sum()
    return sums, squares, counts
