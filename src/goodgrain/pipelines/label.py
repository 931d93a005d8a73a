"""Label: ask for the few images that are both pure and informative, learn from the answers, ask again (Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodgrain.annotate import drive
from goodgrain.checks import check_count
from goodgrain.data.pool import Pool
from goodgrain.pipelines.labeling import Labeling
from goodgrain.pipelines.monitor import Monitor


@dataclass(frozen=True, eq=False)
class LabelResult:
    """What a labelling run made.

    Args:
        folder: the run folder.
        metrics: what metrics.json holds.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"


def label(
    data: str | Path | Pool,
    answer: Callable[[str], str],
    *,
    output: str | Path,
    rounds: int,
    monitor: Monitor | None = None,
    **config: Any,
) -> LabelResult:
    """Run the whole loop with somebody who answers at once: a simulated annotator, or a function that asks a person.

    A run that was stopped in any way continues when it is called again, and ends with the same result.

    Args:
        data: as in `Labeling.create`.
        answer: id -> a class name, or one of `goodgrain.annotate`'s OOD, UNSURE and SKIP.
        output: the run folder.
        rounds: how many times a budget is spent, fewer where nothing is left to ask for; the first round is drawn at
            random unless labels are known.
        monitor: told what happens; silent by default.
        **config: everything else in `Labeling.create` and `goodgrain.pipelines.label_config.LabelConfig`.

    Returns:
        The metrics and where the report is; models are for `goodgrain.load(output)`.

    Raises:
        InputError: anything about data or arguments that cannot work.
        UnknownName: a name that is in no table.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from goodgrain.annotate import SimulatedOracle
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.from_arrays(rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 3)
        >>> oracle = SimulatedOracle({str(i): "01x"[i % 3] for i in range(40)}, ood={"x"})
        >>> result = label(pool, oracle, output=tempfile.mkdtemp(), rounds=2, classes=["0", "1"], strategy="entropy",
        ...                steps=2, budget=6, device="cpu")
        >>> [entry["answered"] for entry in result.metrics["rounds"]]
        [6, 6]
    """
    check_count("rounds", rounds)
    with Labeling.create(data, output=output, monitor=monitor, **config) as run:
        session = run.session
        while True:
            now = session.round
            if now is not None and now.state == "open":
                drive(session, answer)
            if now is not None and (now.number + 1 >= rounds or run.exhausted):
                break
            run.advance(monitor)
        return LabelResult(run.folder, run.finish(monitor))
