"""The instruction job of `goodgrain demo`: answers of which it is known whether they are hallucinated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

SAMPLE = "samples/halueval_general.jsonl"
ACCURACY = 0.8
SEEDS = 3
OFFLINE = "by length, asking nobody"
SIMULATED = f"by a simulated teacher, {ACCURACY:.0%} right"


def demo_instruct(output: Path) -> None:
    """Select from 500 questions and answers, with an offline teacher and with a simulated one.

    Args:
        output: where the runs go.
    """
    from goodgrain.cli.terminal import Terminal
    from goodgrain.data.instructions import read_instructions
    from goodgrain.pipelines.instruct import instruct
    from goodgrain.teacher.simulated import SimulatedTeacher

    data = read_instructions(Path(str(files("goodgrain.cli").joinpath(SAMPLE))))
    bad = [value == "yes" for value in data.column("hallucination")]
    responses = [response for _, rows in data.blocks() for _, response in rows]
    typer.echo(
        f"{len(data)} questions with ChatGPT's answers, of which people found {sum(bad)} hallucinated (HaluEval, MIT "
        "licence). TF-IDF puts like questions into clusters of at most ten; one row of each is kept. The offline "
        f"teacher takes the longest answer. The simulated one knows the labels, but tells only {ACCURACY:.0%} of "
        "them: it rehearses the method, and says nothing about a model.\n"
    )
    found: dict[str, list[Mapping[str, Any]]] = {OFFLINE: [], SIMULATED: []}
    compare = ("random", "longest", "max_cover", "min_cover")
    with Terminal() as monitor:
        for seed in range(SEEDS):
            simulated = SimulatedTeacher(dict(zip(responses, bad, strict=True)), accuracy=ACCURACY, seed=seed)
            for name, folder, teacher in ((OFFLINE, "length", "length"), (SIMULATED, "simulated", simulated)):
                monitor.stage(f"selecting {name}, seed {seed}")
                run = instruct(
                    data,
                    output=output / f"{folder}-{seed}",
                    teacher=teacher,
                    embedder="tfidf",
                    truth="hallucination",
                    compare=compare,
                    seed=seed,
                )
                found[name].append(run.metrics)
    for line in table(found, compare):
        typer.echo(line)
    typer.echo(f"\nWhat was kept and dropped, and why? {output / 'simulated-0' / 'report.html'}")


def table(found: Mapping[str, Sequence[Mapping[str, Any]]], compare: Sequence[str]) -> list[str]:
    """One line per method: rows kept, and the share of hallucinated answers among them.

    Args:
        found: teacher -> the metrics of each seed.
        compare: methods that kept as many rows as the first teacher.
    """
    import numpy as np

    first = next(iter(found.values()))
    lines = [f"{'selection':<54}{'kept':>6}{'hallucinated':>16}"]
    lines.append(f"{'all rows':<54}{first[0]['rows']:>6}{first[0]['hallucinated']['before']:>15.1%}")
    rows = {
        f"FP-Instruction, {name}": [(run["kept"], run["hallucinated"]["kept"]) for run in runs]
        for name, runs in found.items()
    }
    rows |= {
        name.replace("_", " "): [(run["others"][name]["kept"], run["others"][name]["hallucinated"]) for run in first]
        for name in compare
    }
    for name, seeds in rows.items():
        kept, shares = np.array(seeds).T
        spread = f"{100 * shares.mean():.1f} ± {100 * shares.std(ddof=1):.1f} %"
        lines.append(f"{name:<54}{kept.mean():>6.0f}{spread:>16}")
    return lines
