"""MQNet: a meta-model that learns from each answered query set what to ask for next (chapter 4)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from goodgrain.checks import check_count, check_within
from goodgrain.errors import InputError
from goodgrain.files import whole_file
from goodgrain.meta.combinations import COMBINATIONS
from goodgrain.meta.inputs import Values, check_meta_input, check_query_set
from goodgrain.meta.network import Weights, initial_weights, scores, train

_FORMAT, _KEY = "goodgrain-meta-1", "goodgrain"
_LEARNED = "learned"


class MetaQueryNet:
    """A small network that learns from each answered query set how much purity and informativeness count (MQNet).

    A 2-layer perceptron with sigmoid units, trained to order the query set by its masked loss (Eq. 4.2, 4.3, 4.10).
    Its weights are not negative, so a score never falls when an input rises: the skyline constraint (Theorem 4.3.1).
    Trained by SGD on 64 random pairs at a time, every example at most once an epoch; the learning rate falls to a tenth
    at half time. The same seed gives the same bits.

    Args:
        hidden: units of the hidden layer, h.
        seed: of the initial weights and of the pairs.
        skyline: False lifts the constraint: a plain perceptron, the ablation of Table 4.5.
        warm_start: whether a second `fit` goes on from the weights of the first, or starts afresh.
        margin: eta of Eq. 4.3.
        epochs: passes over the query set.
        learning_rate: the first.
        floor: the least a weight may be after a step, under the skyline constraint. A weight that the ReLU has cut off
            gets no gradient and never returns, and where answers are few or contradict the scores, whole layers are
            lost like that. 0 brings the text's plain ReLU back.

    Raises:
        InputError: an argument outside its range.

    Attributes:
        rule_: what `score` goes by: "learned"; "informativeness" where the query set held no OOD example; "purity"
            where it held nothing else; "" before the first `fit`.
        weights_: `Weights`, or None where nothing was learned yet.

    Example:
        >>> from goodgrain.meta import meta_input
        >>> x = meta_input(purity=[3, 2, 1, 0], informativeness=[1, 2, 3, 4])
        >>> net = MetaQueryNet(seed=0).fit(x, loss=[0.5, 0.7, 0, 0], ood=[False, False, True, True])
        >>> net.rule_, net.score(x).argsort()[::-1]
        ('learned', array([0, 1, 2, 3]))
    """

    def __init__(
        self,
        hidden: int = 64,
        seed: int = 0,
        *,
        skyline: bool = True,
        warm_start: bool = False,
        margin: float = 0.1,
        epochs: int = 100,
        learning_rate: float = 0.01,
        floor: float = 1e-6,
    ) -> None:
        self.hidden = check_count("hidden", hidden)
        self.seed = check_count("seed", seed, least=0)
        self.skyline, self.warm_start = bool(skyline), bool(warm_start)
        self.margin = check_within("margin", margin, above=0)
        self.epochs = check_count("epochs", epochs)
        self.learning_rate = check_within("learning_rate", learning_rate, above=0)
        if not 0 <= floor < math.inf:
            raise InputError(f"floor should be 0 or above; {floor!r} came.")
        self.floor = float(floor)
        self.rule_ = ""
        self.weights_: Weights | None = None

    def fit(self, meta_input: ArrayLike, loss: ArrayLike, ood: ArrayLike) -> Self:
        """Learn from an answered query set, the self-validation set of section 4.3.1.

        Args:
            meta_input: (m, 2) of the query set, scaled by its pool.
            loss: (m,) cross-entropy under the model that queried, in evaluation mode, of plain images; what it says of
                OOD examples is not read and may be NaN.
            ood: bool (m,) which answers were "out of distribution". Never inferred: an example that the model is sure
                of may well have a loss of 0.

        Returns:
            Itself.

        Raises:
            InputError: no meta-input, other lengths, a negative or missing loss, or flags that are not bool.
        """
        x, masked, flags = check_query_set(meta_input, loss, ood)
        rng = np.random.default_rng(self.seed)
        weights = self.weights_ if self.warm_start else None
        if flags.all() or not flags.any():
            self.rule_ = "purity" if flags.all() else "informativeness"
        else:
            self.rule_ = _LEARNED
            weights = train(
                weights or initial_weights(self.hidden, skyline=self.skyline, rng=rng),
                x,
                masked,
                margin=self.margin,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                floor=self.floor if self.skyline else None,
                rng=rng,
            )
        self.weights_ = weights
        return self

    def score(self, meta_input: ArrayLike) -> Values:
        """How much each example is worth asking for; a row's score does not depend on the other rows.

        Outliers saturate all units alike and tie at the top. The learned score is therefore rounded to single
        precision, and the digits below hold P + I: of two that tie, the larger sum is higher, and what ties even then
        is left to the selection, which takes the lower position.

        Args:
            meta_input: (n, 2).

        Returns:
            (n,) higher = queried first.

        Raises:
            InputError: no meta-input, or no `fit` yet.
        """
        x = check_meta_input(meta_input)
        self._check_fitted()
        if self.rule_ != _LEARNED:
            return COMBINATIONS[self.rule_].score(x)
        assert self.weights_ is not None
        single = scores(x, self.weights_).astype(np.float32)
        tie = np.log1p(x.sum(axis=1)) / 1024  # below 1/5, so that less than half the distance of two scores is added
        exact: Values = single + np.spacing(np.abs(single)).astype(np.float64) * tie
        return exact

    def save(self, path: str | Path) -> None:
        """Write arguments, rule and weights to a safetensors file, whole or not at all; the same net, the same bytes.

        Raises:
            InputError: there was no `fit` yet.
        """
        self._check_fitted()
        state = vars(self).copy()
        tensors = {} if (weights := state.pop("weights_")) is None else weights._asdict()
        about = {"format": _FORMAT, "rule": state.pop("rule_"), "arguments": state}
        with whole_file(Path(path)) as part:
            part.write_bytes(save(tensors, {_KEY: json.dumps(about)}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file cannot be read, or is no meta-model of this library.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp(), "meta.safetensors")
            >>> MetaQueryNet().fit([[1.0, 2.0], [2.0, 1.0]], [0.3, 0.1], [False, False]).save(path)
            >>> MetaQueryNet.load(path).rule_
            'informativeness'
        """
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        except (OSError, TypeError, SafetensorError) as reason:  # TypeError: a number format that NumPy lacks
            raise InputError(
                f"{path} cannot be read as a meta-model: {reason}. Give a file that MetaQueryNet.save wrote."
            ) from reason
        try:
            about = json.loads(metadata[_KEY])
            if about["format"] != _FORMAT:
                raise InputError(f"its format is {about['format']!r}, this version reads {_FORMAT!r}")
            net = cls(**about["arguments"])
            net.rule_ = about["rule"]
            net.weights_ = net._fitting(tensors)
        except (KeyError, TypeError, ValueError) as reason:
            why = f"its metadata lacks {reason}" if isinstance(reason, KeyError) else str(reason).removesuffix(".")
            raise InputError(
                f"{path} is no meta-model of this library: {why}. Give a file that MetaQueryNet.save wrote."
            ) from reason
        return net

    def _check_fitted(self) -> None:
        if not self.rule_:
            raise InputError(
                "this MetaQueryNet has learned nothing yet. Call fit with an answered query set; "
                "in the first round, use goodgrain.meta.COMBINATIONS['sum']."
            )

    def _fitting(self, tensors: Mapping[str, NDArray[Any]]) -> Weights | None:
        """The weights of a file, when they are what these arguments ask for."""
        if self.rule_ != _LEARNED and self.rule_ not in COMBINATIONS:
            raise InputError(f"it goes by the rule {self.rule_!r}, which there is not")
        if not tensors and self.rule_ != _LEARNED:
            return None
        wanted = {"hidden": (2, self.hidden), "bias": (self.hidden,), "output": (self.hidden,)}
        found = {name: array.shape for name, array in tensors.items()}
        if found != wanted:
            raise InputError(f"its weights should be {wanted}, they are {found}")
        weights = Weights(**{name: array.astype(np.float64, copy=False) for name, array in tensors.items()})
        if not all(np.isfinite(array).all() for array in weights):
            raise InputError("its weights are not finite")
        if self.skyline and min(weights.hidden.min(), weights.output.min()) < 0:
            raise InputError("it has negative weights, which the skyline constraint forbids")
        return weights
