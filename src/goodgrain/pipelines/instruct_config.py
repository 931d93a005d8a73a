"""All that a selection of instructions can be asked, checked before anything is read or paid for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from goodgrain.checks import budget_count, check_count, check_within, lookup
from goodgrain.errors import InputError
from goodgrain.pipelines.prune_config import several
from goodgrain.teacher import RankingPrompt

METHODS: dict[str, tuple[str, ...]] = {
    "cluster": ("embeddings", "teacher"),
    "sample_wise": ("teacher",),
    "list": ("list",),
    "max_cover": ("embeddings",),
    "min_cover": ("embeddings",),
    "random": (),
    "longest": (),
    "ifd": ("language model",),
    "perplexity": ("language model",),
}
"""Method -> what it needs. "cluster" is FP-Instruction; the others are what it is compared with."""

OFFLINE = ("ifd", "perplexity", "length")
"""Teachers that are no server: a score of each row decides within its cluster. Baselines."""

FREE = ("random", "longest", "max_cover", "min_cover")
"""Methods that cost nothing beyond the embeddings, so that a run can be compared with them."""

PER_CLUSTER = 5.2  # rows, on average, as in the text: 52,000 in 10,000 clusters
_PARTS = ("request", "both")
_MALFORMED = ("medoid", "skip")


@dataclass(frozen=True, kw_only=True)
class InstructConfig:
    """Which instructions to keep, and by what.

    Args:
        method: a key of METHODS.
        keep: how many, a count (int) or a share (float in (0, 1]); of "cluster" the number of clusters, of which each
            gives one row at most. None: one cluster for 5.2 rows; all that reach `least_score` (sample_wise); all
            that the list names.
        max_size: most rows of a cluster, and so of a prompt.
        embedder: what sees which rows are alike, as `goodgrain.pipelines.instruct_space.find_embedder` takes it.
        part: of a row that is embedded, "request" or "both".
        shards: for millions of rows, cluster about so many parts one by one; None for no cut.
        criteria: what the teacher ranks by, names in `goodgrain.teacher.CRITERIA` or your own as "name: meaning".
        permutations: how often each cluster is asked about, in other orders; the rankings are combined.
        malformed: what stands for a cluster whose answer cannot be read twice: its "medoid", or nothing ("skip").
        max_tokens: of an answer, reasoning included.
        max_characters: of each request and response that is shown to the teacher.
        temperature: of the teacher's sampling; None leaves it to the server.
        least_score: what a row's score has to reach (sample_wise), of 5.
        compare: methods in FREE that are shown beside, with as many rows kept.
        near: cosine of embeddings from which on two rows count as near copies, in the report.
        drop_copies: never keep an exact copy of an earlier row, nor pay for it.
        seed: all randomness follows from it.

    Raises:
        InputError: a value outside its range.
        UnknownName: a name that no table has.

    Example:
        >>> InstructConfig(criteria=("factuality", "helpfulness")).clusters(52_000)
        10000
    """

    method: str = "cluster"
    keep: int | float | None = None
    max_size: int = 10
    embedder: str = "minilm"
    part: str = "request"
    shards: int | None = None
    criteria: tuple[str, ...] = ("factuality", "clarity")
    permutations: int = 1
    malformed: str = "medoid"
    max_tokens: int = 512
    max_characters: int = 6000
    temperature: float | None = 0.0
    least_score: float = 4.5
    compare: tuple[str, ...] = ()
    near: float = 0.95
    drop_copies: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all that can be checked without the data."""
        for name in ("criteria", "compare"):
            object.__setattr__(self, name, several(name, getattr(self, name)))
        lookup("method", METHODS, self.method)
        lookup("part", dict.fromkeys(_PARTS), self.part)
        lookup("policy for malformed answers", dict.fromkeys(_MALFORMED), self.malformed)
        for name in self.compare:
            lookup("method to compare with", dict.fromkeys(FREE), name)
        for name in ("max_size", "permutations", "max_tokens", "max_characters"):
            check_count(name, getattr(self, name))
        if self.shards is not None:
            check_count("shards", self.shards)
        check_count("seed", self.seed, least=0)
        check_within("near", self.near, above=0.0, most=1.0)
        if not 0 <= self.least_score <= 5:
            raise InputError(f"least_score should be from 0 to 5; {self.least_score!r} came.")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InputError(f"temperature should be from 0 to 2, or None; {self.temperature!r} came.")
        if self.keep is None and self.method not in ("cluster", "sample_wise", "list"):
            raise InputError(f"method {self.method} needs keep: a count such as 9000, or a share such as 0.2.")
        self.prompt()

    @property
    def needs_embeddings(self) -> bool:
        """Whether the method, or one that it is compared with, goes by embeddings."""
        return any("embeddings" in METHODS[name] for name in (self.method, *self.compare))

    def prompt(self) -> RankingPrompt:
        """The question to the teacher."""
        return RankingPrompt(criteria=self.criteria, max_characters=self.max_characters)

    def clusters(self, n: int) -> int:
        """How many clusters n rows are put in.

        Raises:
            InputError: so many clusters of `max_size` cannot hold the rows.
        """
        least = -(-n // self.max_size)
        if self.keep is None:
            return min(n, max(least, round(n / PER_CLUSTER)))
        wanted = budget_count(self.keep, n=n)
        if wanted < least:
            raise InputError(
                f"{wanted} clusters of at most {self.max_size} rows hold {wanted * self.max_size} rows; there are {n}. "
                f"Keep at least {least}, or raise max_size to {-(-n // wanted)}."
            )
        return wanted

    def table(self) -> dict[str, Any]:
        """All of it as plain values, for config.toml."""
        return asdict(self)
