"""Fixed rules in the place of a meta-model: for the first round, and to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from numpy.typing import ArrayLike

from goodgrain.meta.inputs import Values, check_meta_input, check_query_set


@dataclass(frozen=True)
class Combination:
    """A fixed rule in the place of a `MetaQueryNet`: `fit` checks and learns nothing.

    Args:
        rule_: its name in `COMBINATIONS`.
        function: (n, 2) meta-input -> (n,) scores.
    """

    rule_: str
    function: Callable[[Values], Values]

    def fit(self, meta_input: ArrayLike, loss: ArrayLike, ood: ArrayLike) -> Self:
        """Refuse what `MetaQueryNet.fit` refuses, and return the rule unchanged."""
        check_query_set(meta_input, loss, ood)
        return self

    def score(self, meta_input: ArrayLike) -> Values:
        """Scores (n,) of a meta-input (n, 2), higher = queried first.

        Raises:
            InputError: no meta-input.

        Example:
            >>> COMBINATIONS["product"].score([[2.0, 3.0], [1.0, 0.5]])
            array([6. , 0.5])
        """
        return self.function(check_meta_input(meta_input))


COMBINATIONS = {
    rule: Combination(rule, function)
    for rule, function in {
        "sum": lambda x: x.sum(axis=1),  # P + I: the first round (Algorithm 2, line 10), and Table 4.6
        "product": lambda x: x.prod(axis=1),  # P x I: Table 4.6
        "purity": lambda x: x[:, 0].copy(),
        "informativeness": lambda x: x[:, 1].copy(),
    }.items()
}
