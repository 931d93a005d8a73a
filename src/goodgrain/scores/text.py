"""Scores of instructions that need no teacher: how long a response is, and how hard a language model finds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodgrain.checks import check_scores
from goodgrain.errors import InputError


def length(responses: ArrayLike) -> NDArray[np.float64]:
    """The number of characters of a response: longer is picked first (Zhao et al. 2024, "Long is more").

    Args:
        responses: (n,) texts.

    Returns:
        (n,) 0 or more.

    Raises:
        InputError: something that is no row of texts.

    Example:
        >>> length(["no", "yes, because"])
        array([ 2., 12.])
    """
    texts = np.asarray(responses, dtype=object)
    if texts.ndim != 1 or not all(isinstance(text, str) for text in texts):
        raise InputError(f"responses should be a list of texts, one per row; {type(responses).__name__} came.")
    return np.array([len(text) for text in texts], dtype=np.float64)


def ifd(conditional: ArrayLike, alone: ArrayLike) -> NDArray[np.float64]:
    """Instruction-following difficulty: the perplexity of the response given the request, over that of it alone.

    Near 1, the request hardly helps the model to say the response: such rows teach it most, and are picked first.
    Above 1 the request makes the response less likely: the two do not belong together, and published selections leave
    such rows out (Li et al. 2024, "From quantity to quality", Eq. 3; the ratio of perplexities in their code).

    Args:
        conditional: (n,) mean token loss of the response after its request, in nats.
        alone: (n,) mean token loss of the same tokens without it.

    Returns:
        (n,) above 0; NaN where a loss is NaN, as of a response without tokens.

    Raises:
        InputError: arrays of another form.

    Example:
        >>> ifd([1.0, 2.0], [1.0, 3.0]).round(3)
        array([1.   , 0.368])
    """
    after, before = _losses("conditional", conditional), _losses("alone", alone, n=len(np.asarray(conditional)))
    score: NDArray[np.float64] = np.exp(after - before)
    return score


def perplexity(conditional: ArrayLike) -> NDArray[np.float64]:
    """Minus the perplexity of the response given the request: what a model finds natural is picked first.

    Args:
        conditional: (n,) mean token loss of the response after its request, in nats.

    Returns:
        (n,) -1 or less; NaN where the loss is NaN.

    Raises:
        InputError: an array of another form.

    Example:
        >>> perplexity([0.0, 1.0]).round(3)
        array([-1.   , -2.718])
    """
    return -np.exp(_losses("conditional", conditional))


def _losses(name: str, values: ArrayLike, n: int | None = None) -> NDArray[np.float64]:
    """Losses may be NaN, but not infinite."""
    array = np.asarray(values, dtype=np.float64)
    known = check_scores(np.nan_to_num(array, nan=0.0, posinf=np.inf, neginf=-np.inf), name=name, n=n)
    return np.where(np.isnan(array), np.nan, known)
