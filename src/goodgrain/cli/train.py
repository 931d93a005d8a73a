"""`goodgrain train`: few labelled images, and unrelated ones that tell which features to switch off."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from goodgrain.errors import InputError

_COMPARED = {
    *("data", "ood", "output", "compare_ood", "few_shot", "class_names", "image_size", "label_column", "image_column"),
    *("id_column", "max_bad", "device", "recipe", "model", "epochs", "batch_size", "lr", "precision", "flip", "seed"),
    "near",
}
"""What --compare-ood takes; every other option would do nothing."""


def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="An image folder with a sub-folder a class, a folder with labels.csv, a Parquet or NPZ file, or a "
            "published set (CIFAR, CUB-200, Stanford Cars, SVHN, ...).",
            show_default=False,
        ),
    ],
    ood: Annotated[
        list[Path] | None,
        typer.Option(help="Out-of-distribution images, in any layout, labels not needed; repeat for more."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The run folder; the same command continues it.")
    ] = Path("run"),
    method: Annotated[str, typer.Option(help="taufe, oat or standard.")] = "taufe",
    task: Annotated[
        str, typer.Option(help="classify, box (box regression) or wsol (boxes from a classifier's activation maps).")
    ] = "classify",
    test: Annotated[Path | None, typer.Option(help="A test set, read like DATA.", show_default=False)] = None,
    few_shot: Annotated[
        int | None,
        typer.Option(help="Use so many labelled images, equally many of each class.", show_default=False),
    ] = None,
    compare: Annotated[str, typer.Option(help="Methods that are trained as well: standard,oat; or none.")] = "standard",
    learner: Annotated[str, typer.Option(help="What the method is added to: ce, mixmatch or adversarial.")] = "ce",
    weight: Annotated[
        float | None, typer.Option(help="Of the penalty. [default: 1, or the recipe's]", show_default=False)
    ] = None,
    statistics: Annotated[
        str, typer.Option(help="Batch normalisation of OOD images: shared, separate or running.")
    ] = "shared",
    layer: Annotated[
        str, typer.Option(help="What TAUFE silences: penultimate (pooled features) or maps (before the pooling).")
    ] = "penultimate",
    penalty: Annotated[
        str,
        typer.Option(
            help="Of TAUFE: absolute (as published), relative to the features of your own images, or auto: relative "
            "for networks without batch normalisation."
        ),
    ] = "auto",
    ratio: Annotated[float, typer.Option(help="OOD images per labelled image of a step.")] = 1.0,
    ood_count: Annotated[
        int | None,
        typer.Option(help="Use so many OOD images. [default: as many as --few-shot, or all]", show_default=False),
    ] = None,
    ood_weight: Annotated[
        list[str] | None,
        typer.Option(help="NAME=WEIGHT: share of an OOD set, named as its file; repeat for more.", show_default=False),
    ] = None,
    box_loss: Annotated[str, typer.Option(help="l1, l1_iou or d_iou (task box).")] = "l1_iou",
    box_frame: Annotated[
        str | None,
        typer.Option(help="WIDTHxHEIGHT that boxes are told in. [default: the images' own]", show_default=False),
    ] = None,
    compare_ood: Annotated[
        bool,
        typer.Option(help="Train nothing but a short warm-up, and tell which of the OOD sets is likeliest to help."),
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Train as published: cifar, imagenet10 or boxes.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="small, resnet18, preact_resnet18, resnet50, timm:NAME or package.module:function. [default: small]",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="[default: 100]", show_default=False)] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Labelled images a step. [default: a twentieth of them, 16 to 128]", show_default=False),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.", show_default=False)] = None,
    precision: Annotated[str, typer.Option(help="float32, or bf16 for mixed precision.")] = "float32",
    repeats: Annotated[int, typer.Option(help="Trainings per method, each with its own seed.")] = 1,
    flip: Annotated[bool, typer.Option(help="Augmentation may swap left and right; not for digits or text.")] = True,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    near: Annotated[float, typer.Option(help="Least likeness of OOD images that count as the target's own.")] = 0.98,
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
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train on few labelled images; features that unrelated images show as well are switched off (TAUFE)."""
    from goodgrain.cli.terminal import Terminal, say
    from goodgrain.pipelines.compare_ood import compare_ood as comparison
    from goodgrain.pipelines.train import train as pipeline

    common: dict[str, Any] = {
        "class_names": None if class_names is None else [name.strip() for name in class_names.split(",")],
        "image_size": image_size,
        "label_column": label_column,
        "image_column": image_column,
        "id_column": id_column,
        "max_bad": max_bad,
        "device": device,
    }
    asked: dict[str, Any] = {"recipe": recipe, "model": model, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    chosen = {name: value for name, value in asked.items() if value is not None}
    if compare_ood:
        _refuse_idle(context)
    with Terminal() as monitor:
        if compare_ood:
            ranked = comparison(
                data,
                ood or [],
                output=output,
                few_shot=few_shot,
                flip=flip,
                seed=seed,
                near=near,
                monitor=monitor,
                precision=precision,
                **common,
                **chosen,
            )
        else:
            result = pipeline(
                data,
                ood=ood,
                output=output,
                test=test,
                box_frame=_frame(box_frame),
                monitor=monitor,
                method=method,
                task=task,
                learner=learner,
                compare=() if compare == "none" else tuple(word.strip() for word in compare.split(",")),
                few_shot=few_shot,
                weight=weight,
                statistics=statistics,
                layer=layer,
                penalty=penalty,
                ratio=ratio,
                ood_count=ood_count,
                ood_weights=_weights(ood_weight),
                box_loss=box_loss,
                precision=precision,
                repeats=repeats,
                flip=flip,
                seed=seed,
                near=near,
                **common,
                **chosen,
            )
    if compare_ood:
        for line in ranked.lines():
            say(line)
        say(f"report:   {ranked.report}")
        return
    for line in summary(result.metrics):
        say(line)
    say(f"models:   {result.folder / 'models'}")
    say(f"report:   {result.report}")


def _refuse_idle(context: typer.Context) -> None:
    given = {name: context.get_parameter_source(name) for name in context.params if name not in _COMPARED}
    idle = ["--" + name.replace("_", "-") for name, source in given.items() if source and source.name == "COMMANDLINE"]
    if idle:
        raise InputError(
            f"{' and '.join(idle)} would do nothing with --compare-ood, which briefly trains a standard model, "
            "measures no test set and weighs no penalty. Leave it out."
        )


def summary(metrics: dict[str, Any]) -> list[str]:
    """One line per method: what it reached, and how strongly it still answers to OOD images.

    Example:
        >>> entry = {"method": "taufe", "accuracy": [0.5], "accuracy_mean": 0.5, "accuracy_std": 0.0,
        ...          "activation": [4.0], "ood_activation": [1.0]}
        >>> summary({"methods": [entry], "ood_copies_left_out": {}})
        ['taufe: test accuracy 50.0 %; response to OOD images 25 % of that to the target']
    """
    lines = []
    for entry in metrics["methods"]:
        parts = []
        for name, words in (("accuracy", "test accuracy"), ("mean_iou", "mean IoU"), ("gt_known_loc", "GT-known Loc")):
            if name in entry:
                spread = f" ± {100 * entry[f'{name}_std']:.1f}" if len(entry[name]) > 1 else ""
                parts.append(f"{words} {100 * entry[f'{name}_mean']:.1f}{spread} %")
        if "ood_activation" in entry:
            pairs = zip(entry["ood_activation"], entry["activation"], strict=True)
            shares = [100 * strange / max(own, 1e-12) for strange, own in pairs]
            spread = f" ± {stdev(shares):.0f}" if len(shares) > 1 else ""
            parts.append(f"response to OOD images {mean(shares):.0f}{spread} % of that to the target")
        lines.append(f"{entry['method']}: {'; '.join(parts)}")
    for name, count in metrics["ood_copies_left_out"].items():
        lines.append(f"{count:,} OOD images of {name} repeat one of the target's own and were left out")
    return lines


def _frame(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not cross or not width.isdigit() or not height.isdigit():
        raise InputError(f"--box-frame should read WIDTHxHEIGHT, such as 64x64; {text!r} came.")
    return int(width), int(height)


def _weights(words: list[str] | None) -> dict[str, float] | None:
    weights = {}
    for word in words or ():
        name, equals, value = word.rpartition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise InputError(f"an OOD weight should read NAME=WEIGHT, such as svhn=2; {word!r} came.")
    return weights or None
