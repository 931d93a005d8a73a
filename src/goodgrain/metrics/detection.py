"""How well out-of-distribution (OOD) examples are told apart by a purity score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from goodgrain.checks import check_scores


def ood_metrics(purity_in: ArrayLike, purity_out: ArrayLike) -> dict[str, float]:
    """The three measures of table 3.7, with OOD examples as the ones to be found.

    Args:
        purity_in: (n,) scores of in-distribution examples, higher = more in-distribution.
        purity_out: (m,) scores of OOD examples.

    Returns:
        "auroc": the chance that an OOD example has the lower score, ties counting half. "aupr_out": average precision
        of finding OOD examples by low scores. "fpr95": the share of OOD examples that are taken for in-distribution at
        the highest threshold that keeps at least 95% of the in-distribution ones. Each from 0 to 1.

    Raises:
        InputError: no scores on one side, or one that is not finite.

    Example:
        >>> ood_metrics([0.9, 0.8, 0.7, 0.2], [0.1, 0.3])
        {'auroc': 0.875, 'aupr_out': 0.8333333333333333, 'fpr95': 0.5}
    """
    inside, outside = check_scores(purity_in, name="purity_in"), check_scores(purity_out, name="purity_out")
    strange = np.concatenate([np.zeros(len(inside)), np.ones(len(outside))])
    scores = -np.concatenate([inside, outside])
    kept = np.sort(inside)[::-1][int(np.ceil(0.95 * len(inside) - 1e-9)) - 1]
    return {
        "auroc": float(roc_auc_score(strange, scores)),
        "aupr_out": float(average_precision_score(strange, scores)),
        "fpr95": float((outside >= kept).mean()),
    }
