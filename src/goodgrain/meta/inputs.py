"""What a meta-model is given: two scores on one scale, and the answers of a query set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_numbers, check_rows, check_scores
from goodgrain.errors import InputError

Values = NDArray[np.float64]

_MOST = 200.0  # z-scores beyond it count as it: exp stays far from overflow, also after weights and products


def meta_input(
    purity: ArrayLike, informativeness: ArrayLike, *, reference: tuple[ArrayLike, ArrayLike] | None = None
) -> Values:
    """Two scores of any scale as positive numbers that can be compared: `exp` of their z-scores (section 4.3.4).

    Mean and population standard deviation (ddof 0) are those of the pool, all examples that were unlabeled in this
    round. Where a score is the same for the whole pool, its z-scores are 0; they end at 200 on both sides.

    Args:
        purity: (n,) any score of `goodgrain.scores.purity`, higher = more in-distribution: the text's -O(x).
        informativeness: (n,) any acquisition score, higher = more informative: the text's Q(x).
        reference: (purity, informativeness) of the pool, for a query set taken from it; None if the n are the pool.

    Returns:
        (n, 2) above 0: P(x) and I(x), 1 at the mean of the pool.

    Raises:
        InputError: scores that are not finite (n,) arrays, or differ in length.

    Example:
        >>> meta_input([-1, -2, -3], [5, 5, 5]).round(4)
        array([[3.4033, 1.    ],
               [1.    , 1.    ],
               [0.2938, 1.    ]])
    """
    columns = _check_pair(purity, informativeness)
    pools = columns if reference is None else _check_pair(*reference, of=" of the reference")
    z = np.stack([_z_scores(values, pool) for values, pool in zip(columns, pools, strict=True)], axis=1)
    scaled: Values = np.exp(np.clip(z, -_MOST, _MOST))
    return scaled


def _check_pair(purity: ArrayLike, informativeness: ArrayLike, of: str = "") -> tuple[Values, Values]:
    first = check_scores(purity, name=f"purity{of}")
    return first, check_scores(informativeness, name=f"informativeness{of}", n=len(first))


def _z_scores(values: Values, pool: Values) -> Values:
    low, high = pool.min(), pool.max()
    if low == high:
        return np.zeros(len(values))
    unit = (pool - low) / (high - low)  # z-scores stay the same, and squares neither overflow nor vanish
    z: Values = ((values - low) / (high - low) - unit.mean()) / unit.std()
    return z


def check_meta_input(values: ArrayLike) -> Values:
    """A finite float64 (n, 2) array of purity and informativeness, 0 or more."""
    x = check_numbers("meta_input", values, dimensions=2).astype(np.float64, copy=False)
    if x.shape[1] != 2:
        raise InputError(f"meta_input should have 2 columns, purity and informativeness; its shape is {x.shape}.")
    outside = np.argwhere((x < 0) | (x > np.exp(_MOST)))
    if len(outside):
        row, column = outside[0]
        raise InputError(
            f"meta_input should lie between 0 and exp({_MOST:g}); row {row} has {x[row, column]:g}. "
            "Make it of the scores with goodgrain.meta.meta_input."
        )
    return x


def check_query_set(meta_input: ArrayLike, loss: ArrayLike, ood: ArrayLike) -> tuple[Values, Values, NDArray[np.bool_]]:
    """The meta-input (m, 2), the masked loss (m,) of Eq. 4.2, and which of the m are out of distribution."""
    x = check_meta_input(meta_input)
    flags: NDArray[Any] = np.asarray(ood)
    if flags.dtype != bool or flags.ndim != 1:
        raise InputError(f"ood should be (m,) bools; its type is {flags.dtype}, its shape {flags.shape}.")
    check_rows("ood", len(flags), len(x))
    given: NDArray[Any] = np.asarray(loss)
    if given.ndim == 1 and len(given) == len(x):
        given = np.where(flags, 0, given)  # there is no cross-entropy without a class, so anything may stand there
    masked = check_scores(given, name="loss", n=len(x))
    negative = np.flatnonzero(masked < 0)
    if len(negative):
        raise InputError(
            f"loss should be a cross-entropy, 0 or more; {len(negative)} entries are negative, the first at row "
            f"{negative[0]} ({masked[negative[0]]:g})."
        )
    return x, masked, flags
