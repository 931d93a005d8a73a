"""How many classes are predicted right."""

from __future__ import annotations

from numpy.typing import ArrayLike

from goodgrain.checks import check_labels
from goodgrain.errors import InputError


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


def relabeling_accuracy(predicted: ArrayLike, given: ArrayLike, clean: ArrayLike) -> float:
    """Of the examples whose given label is wrong, the share for which the true class is predicted.

    The percentage "% Correct" of table 5.6.

    Args:
        predicted: (n,) classes.
        given: (n,) classes, right or wrong.
        clean: (n,) true classes.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: not integers of 0 or more, no examples, two lengths, or no given label is wrong.

    Example:
        >>> relabeling_accuracy([0, 1, 1], given=[0, 0, 0], clean=[0, 1, 2])
        0.5
    """
    truth = check_labels(clean)
    wrong = check_labels(given, n=len(truth)) != truth
    if not wrong.any():
        raise InputError("no given label is wrong, so there is nothing to correct. Leave this measure out.")
    return float((check_labels(predicted, n=len(truth)) == truth)[wrong].mean())
