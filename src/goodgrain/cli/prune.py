"""`goodgrain prune`: which part to keep, which labels look wrong, and what a model makes of the part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from goodgrain.errors import InputError


def prune(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="An image folder with a sub-folder a class, a folder with labels.csv, a Parquet or an NPZ file.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Budgets: shares (0.2) or counts (500), separated by commas; one warm-up serves all.")
    ] = "0.2",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("run"),
    method: Annotated[
        str, typer.Option(help="prune4rel, uniform, small-loss, margin, k-center, ... (16 in all).")
    ] = "prune4rel",
    test: Annotated[Path | None, typer.Option(help="A test set, read like DATA.", show_default=False)] = None,
    observations: Annotated[
        Path | None,
        typer.Option(help="Embeddings and predictions of any model, instead of a warm-up.", show_default=False),
    ] = None,
    balanced: Annotated[
        bool | None,
        typer.Option(
            "--balanced/--no-balanced", help="Classes take turns. [default: as the method prefers]", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        str, typer.Option(help="Least similarity of neighbours in (0, 1], or auto (prune4rel).")
    ] = "0.95",
    gain: Annotated[str, typer.Option(help="own or coverage (prune4rel).")] = "own",
    confidence: Annotated[str, typer.Option(help="max_prob or diff_prob (prune4rel).")] = "max_prob",
    similarity: Annotated[str, typer.Option(help="cosine or shifted (prune4rel).")] = "cosine",
    temperature: Annotated[float, typer.Option(help="Of the utility (prune4rel).")] = 1.0,
    views: Annotated[int, typer.Option(help="Strongly augmented views whose mean is observed.")] = 1,
    learner: Annotated[
        str, typer.Option(help="What trains on each kept part: ce, or sop or dividemix, which correct wrong labels.")
    ] = "ce",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Train as published: cifar10n, cifar100n, webvision, clothing1m or imagenet-n.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="small, resnet18, preact_resnet18, resnet50, timm:NAME or package.module:function. [default: small]",
            show_default=False,
        ),
    ] = None,
    warmup_epochs: Annotated[
        int | None, typer.Option(help="Epochs before the observation. [default: 10]", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs of the fresh training on each kept part; 0 for none. [default: 30]", show_default=False
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32, or bf16 for mixed precision.")] = "float32",
    repeats: Annotated[int, typer.Option(help="Fresh trainings per budget, each with its own seed.")] = 1,
    flip: Annotated[bool, typer.Option(help="Augmentation may swap left and right; not for digits or text.")] = True,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    labels: Annotated[str | None, typer.Option(help="FILE[:COLUMN] of labels that replace those of DATA.")] = None,
    clean_labels: Annotated[str | None, typer.Option(help="FILE[:COLUMN] of true labels, for reporting only.")] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="A rehearsal with wrong labels: symmetric:0.4, asymmetric:0.2 or class-dependent:FILE.csv.",
            show_default=False,
        ),
    ] = None,
    class_names: Annotated[
        str | None, typer.Option(help="Names of classes 0, 1, ... where the data only numbers them: cat,dog,...")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Where it cannot be told.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Pixels of a square. [default: as most images, at most 64]", show_default=False),
    ] = None,
    max_bad: Annotated[float, typer.Option(help="The largest share of unreadable images that is put up with.")] = 0.01,
    must_keep: Annotated[
        Path | None, typer.Option(help="A file of ids, one a line, that are picked first.", show_default=False)
    ] = None,
    must_drop: Annotated[
        Path | None, typer.Option(help="A file of ids, one a line, that are never picked.", show_default=False)
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(help="CLASS=COUNT: at most so many of a class; repeat for more.", show_default=False),
    ] = None,
    near: Annotated[
        float, typer.Option(help="Least likeness of near duplicates; 0.995 for digits and the like.")
    ] = 0.98,
    drop_suspects: Annotated[bool, typer.Option(help="Never pick an example whose label looks wrong.")] = False,
    compare: Annotated[
        str | None, typer.Option(help="Other methods, or all, to train on as well: uniform,small-loss,all.")
    ] = None,
    export: Annotated[str | None, typer.Option(help="Also write the kept part: copy, link or huggingface.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Keep the part of a labelled image set that is worth training on, and find the labels that look wrong."""
    from goodgrain.cli.terminal import Terminal, say
    from goodgrain.pipelines import prune as pipeline

    training: dict[str, Any] = {"model": model, "warmup_epochs": warmup_epochs, "epochs": epochs}
    with Terminal() as monitor:
        result = pipeline.prune(
            data,
            keep=parse_keep(keep),
            output=output,
            test=test,
            observations=observations,
            labels=labels,
            clean_labels=clean_labels,
            noise=noise,
            class_names=None if class_names is None else [name.strip() for name in class_names.split(",")],
            image_size=image_size,
            label_column=label_column,
            image_column=image_column,
            id_column=id_column,
            max_bad=max_bad,
            device=device,
            monitor=monitor,
            method=method,
            balanced=balanced,
            threshold=threshold if threshold == "auto" else _number("threshold", threshold),
            gain=gain,
            confidence=confidence,
            similarity=similarity,
            temperature=temperature,
            views=views,
            learner=learner,
            recipe=recipe,
            precision=precision,
            **{name: value for name, value in training.items() if value is not None},
            repeats=repeats,
            flip=flip,
            seed=seed,
            must_keep=_ids(must_keep),
            must_drop=_ids(must_drop),
            quotas=_quotas(quota),
            near=near,
            drop_suspects=drop_suspects,
            compare=() if compare is None else tuple(word.strip() for word in compare.split(",")),
            export=export,
        )
    _summary(result.metrics)
    say(f"picks:    {result.folder / 'selection.parquet'}")
    say(f"report:   {result.report}")


def parse_keep(text: str) -> tuple[int | float, ...]:
    """Budgets as a person types them: whole numbers are counts, anything with a point is a share.

    Example:
        >>> parse_keep("0.1,500")
        (0.1, 500)
    """
    budgets: list[int | float] = []
    for part in text.split(","):
        word = part.strip()
        budgets.append(int(word) if re.fullmatch(r"[+-]?\d+", word) else _number("--keep", word))
    return tuple(budgets)


def _number(name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{name} should be a number; {word!r} came.") from None


def _ids(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise InputError(f"{path} cannot be read as a list of ids: {reason}.") from reason
    return tuple(line.strip() for line in lines if line.strip())


def _quotas(words: list[str] | None) -> dict[str, int] | None:
    quotas = {}
    for word in words or ():
        name, equals, count = word.rpartition("=")
        if not equals or not name or not count.isdigit():
            raise InputError(f"a quota should read CLASS=COUNT, such as cat=100; {word!r} came.")
        quotas[name] = int(count)
    return quotas or None


def _summary(metrics: dict[str, Any]) -> None:
    from goodgrain.cli.terminal import say

    for entry in metrics["budgets"]:
        line = f"kept {entry['count']:,} of {metrics['n']:,} with {metrics['method']}"
        if "accuracy_mean" in entry:
            spread = f" ± {100 * entry['accuracy_std']:.1f}" if len(entry["accuracy"]) > 1 else ""
            line += f"; test accuracy {100 * entry['accuracy_mean']:.1f}{spread} %"
        if "noise_share" in entry:
            line += f"; {100 * entry['noise_share']:.1f} % of the kept labels are wrong"
        if "corrected_mean" in entry:
            line += f", and {100 * entry['corrected_mean']:.1f} % of those are corrected"
        say(line)
    if metrics.get("suspects"):
        found = metrics["suspects"]
        known = f"; {100 * found['precision']:.1f} % of them are wrong" if "precision" in found else ""
        say(f"{found['count']:,} labels look wrong{known}")
    if metrics["advice"]:
        say(metrics["advice"])
