"""How unsure a model is of each example, and the two confidences that are its opposite."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from goodgrain.checks import check_probabilities


def least_confidence(probabilities: ArrayLike) -> NDArray[np.float64]:
    """One minus the largest probability: the least confident first (CONF; Wang & Shang 2014).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between 0 and 1 - 1/c.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> least_confidence([[0.75, 0.25], [0.5, 0.5]])
        array([0.25, 0.5 ])
    """
    return 1.0 - max_prob(probabilities)


def margin(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Minus the lead of the likeliest class over the second: the closest call first (MARGIN; Roth & Small 2006).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between -1 and 0.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> margin([[0.75, 0.25, 0.0], [0.5, 0.25, 0.25]])
        array([-0.5 , -0.25])
    """
    return -diff_prob(probabilities)


def entropy(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Entropy of the prediction in nats, with 0 log 0 = 0: the most undecided first (ENTROPY; Joshi et al. 2009).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between 0 and log c.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> entropy([[0.5, 0.5], [1.0, 0.0]]).round(4)
        array([0.6931, 0.    ])
    """
    total: NDArray[np.float64] = entr(check_probabilities(probabilities).astype(np.float64)).sum(axis=1)
    return total


def max_prob(probabilities: ArrayLike) -> NDArray[np.float64]:
    """The largest probability: the confidence C(x) of Prune4ReL called `maxprob` (chapter 5).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between 1/c and 1.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> max_prob([[0.75, 0.25], [0.5, 0.5]])
        array([0.75, 0.5 ])
    """
    largest: NDArray[np.float64] = check_probabilities(probabilities).max(axis=1).astype(np.float64)
    return largest


def diff_prob(probabilities: ArrayLike) -> NDArray[np.float64]:
    """The largest probability minus the second largest: the confidence called `diffprob` (chapter 5).

    Args:
        probabilities: (n, c) predictions; rows sum to 1.

    Returns:
        (n,) between 0 and 1.

    Raises:
        InputError: not a finite (n, c) array of probabilities.

    Example:
        >>> diff_prob([[0.75, 0.25, 0.0], [0.5, 0.25, 0.25]])
        array([0.5 , 0.25])
    """
    p = check_probabilities(probabilities)
    top: NDArray[np.float64] = np.partition(p, -2, axis=1)[:, -2:].astype(np.float64)
    return top[:, 1] - top[:, 0]
