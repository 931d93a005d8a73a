"""How likely an example belongs to one of the classes, by answers of both kinds: a class, and none of these."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from goodgrain.checks import check_embeddings, check_positions, check_within
from goodgrain.errors import InputError
from goodgrain.scores.purity import nearest_in


def nearest_both(features: ArrayLike, labeled: ArrayLike, ood: ArrayLike) -> NDArray[np.float64]:
    """The largest cosine to a labelled in-distribution example, less the largest to one that is known to be OOD.

    In MQNet's experiments the one or the other was the purity. Junk of an unseen kind is far from both,
    and so is a class that nobody has labelled yet.

    Args:
        features: (n, d).
        labeled: (m, d) of examples whose class is known, at least one.
        ood: (o, d) of examples that were labelled OOD, at least one.

    Returns:
        (n,) between -2 and 2, higher = more in-distribution.

    Raises:
        InputError: arrays that are not finite or do not fit each other.

    Example:
        >>> nearest_both([[1, 1], [0, 2]], [[1, 0]], [[0, 1]])
        array([ 0., -1.])
    """
    return nearest_in(features, labeled) - nearest_in(features, ood)


def probe(features: ArrayLike, inside: ArrayLike, ood: ArrayLike, *, strength: float = 0.01) -> NDArray[np.float64]:
    """The log-odds that an example is in-distribution, by a logistic regression on the answers so far.

    Distances to the nearest answer trust single examples; a regression weighs directions by all of them. Features are
    brought to mean 0 and deviation 1 over all n, and both kinds of answers count the same in all.

    Args:
        features: (n, d) of any encoder.
        inside: positions of examples that belong to a class, at least one.
        ood: positions of examples that belong to none, at least one.
        strength: C of the regression; a few hundred answers in a hundred dimensions ask for a small one.

    Returns:
        (n,) higher = more in-distribution; 0 is even odds.

    Raises:
        InputError: features that are not a finite (n, d) array, positions outside them, no answer of a kind, or one
            that is of both.

    Example:
        >>> probe([[0.0], [1.0], [2.0], [3.0]], inside=[0], ood=[3]).round(3)
        array([ 0.018,  0.006, -0.006, -0.018])
    """
    x = check_embeddings(features, name="features")
    own = check_positions(inside, n=len(x), name="inside")
    strange = check_positions(ood, n=len(x), name="ood")
    for name, rows in (("inside", own), ("ood", strange)):
        if not len(rows):
            raise InputError(f"there is no example in {name}. The probe learns from answers of both kinds.")
    both = np.intersect1d(own, strange)
    if len(both):
        raise InputError(f"position {both[0]} is in inside and in ood. Take it out of one.")
    check_within("strength", strength, above=0)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    rows = np.sort(np.concatenate([own, strange]))
    with threadpool_limits(1):  # the same bits on any number of cores
        fitted = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-8)
        odds: NDArray[np.float64] = fitted.fit(scaled[rows], np.isin(rows, own)).decision_function(scaled)
    return odds
