"""What ranking within clusters is worth, with a simulated teacher of stated accuracy, where hallucinations are known.

python benchmarks/halueval_selection.py

HaluEval's 4,507 answers, 815 of them hallucinated. A teacher tells a hallucinated answer from a true one with the
stated accuracy when it sees it alone; its impression of an answer is the same in every prompt. Scores come in steps of
0.5. This measures the method with such a teacher, not a model. As many rows are kept by all: one of each cluster that
the teacher does not drop whole.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from chapter6_data import embed, hallucinated, halueval

from goodgrain import instruct
from goodgrain.pipelines.instruct_report import coverage
from goodgrain.teacher.simulated import SimulatedTeacher

HERE = Path(__file__).parent
ACCURACIES = (0.6, 0.7, 0.8, 0.9)
SEEDS = 5


def select(method: str, x: np.ndarray, seed: int, **asked: object) -> np.ndarray:
    """Positions that a method keeps."""
    with tempfile.TemporaryDirectory() as folder:
        return instruct(
            halueval(), output=Path(folder) / "run", method=method, embeddings=x, seed=seed, **asked
        ).positions


def main() -> None:
    """One line per accuracy and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter6")
    work = parser.parse_args().work
    rows = [row for _, some in halueval().blocks() for row in some]
    bad = hallucinated()
    truth = dict(zip((response for _, response in rows), bad.tolist(), strict=True))
    x = embed([request for request, _ in rows], work)
    print(f"{len(rows):,} rows, {bad.mean():.1%} hallucinated; mean ± standard deviation over {SEEDS} seeds")
    print(f"{'teacher':<10}{'method':<24}{'kept':>7}{'hallucinated':>17}{'distance to the kept':>24}")
    for accuracy in ACCURACIES:
        found: dict[str, list[tuple[int, float, float]]] = {}
        for seed in range(SEEDS):
            teacher = SimulatedTeacher(truth, accuracy=accuracy, seed=seed)
            cluster = select("cluster", x, seed, teacher=teacher)
            count = len(cluster)
            picks = {
                "FP-Instruction": cluster,
                "sample-wise, as many": select("sample_wise", x, seed, teacher=teacher, keep=count),
                "random": select("random", x, seed, keep=count),
                "max cover": select("max_cover", x, seed, keep=count),
                "min cover": select("min_cover", x, seed, keep=count),
            }
            for name, kept in picks.items():
                found.setdefault(name, []).append((len(kept), float(bad[kept].mean()), coverage(x, kept)))
        for name, seeds in found.items():
            count, share, far = np.array(seeds).T
            print(
                f"{f'{accuracy:.0%} right':<10}{name:<24}{count.mean():>7.0f}"
                f"{f'{100 * share.mean():.1f} ± {100 * share.std(ddof=1):.1f} %':>17}"
                f"{f'{far.mean():.3f} ± {far.std(ddof=1):.3f}':>24}",
                flush=True,
            )


if __name__ == "__main__":
    main()
