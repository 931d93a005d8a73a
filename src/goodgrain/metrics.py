"""What is measured of a trained model."""

from __future__ import annotations

from numpy.typing import ArrayLike

from goodgrain.checks import check_labels


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> float:
    """The share of examples whose predicted class is the labelled one.

    Args:
        predicted: (n,) classes.
        labels: (n,) classes.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: not integers of 0 or more, no examples, or two lengths.

    Example:
        >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
        0.75
    """
    expected = check_labels(labels)
    return float((check_labels(predicted, n=len(expected)) == expected).mean())
