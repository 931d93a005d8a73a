"""Open-set noise: what each method keeps of images that belong to no class, with and without a purity score.

    python benchmarks/open_set.py [--seeds 3] [--work runs/open_set]

A fifth of the pool is taken from SVHN or Tiny ImageNet; each such image carries a random CIFAR-10 label. The rest is
CIFAR-10N Random1. After a warm-up on all of it, each method keeps 20%. "x purity" multiplies Prune4ReL's confidence
with `goodgrain.scores.label_agreement`. Each line appears in results/open_set.jsonl when it is measured.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from chapter5_data import cifar_n, folder

from goodgrain import Observations
from goodgrain.data.pool import Pool
from goodgrain.data.read import read
from goodgrain.learn import Standard, fit, observe
from goodgrain.learn.streams import stream_seed
from goodgrain.scores import label_agreement
from goodgrain.select import prune4rel
from goodgrain.select.methods import METHODS, Options, Rulebook, relabeling_inputs, select
from goodgrain.select.threshold import advise_threshold

OUTSIDE = {"svhn": "svhn_10k.parquet", "tiny-imagenet": "tiny_imagenet32_val10k.parquet"}
RESULTS = Path(__file__).parent / "results" / "open_set.jsonl"
IMAGES, SHARE, KEEP = 20_000, 0.2, 0.2


def mixed(outside, seed):
    """The pool, and which of its images belong to no class."""
    train, _ = cifar_n(10, "random_label1", None)
    strangers = read(folder() / OUTSIDE[outside])
    rng = np.random.default_rng(stream_seed(seed, "open set"))
    m = int(SHARE * IMAGES)
    inside, out = rng.permutation(len(train))[: IMAGES - m], rng.permutation(len(strangers))[:m]
    images = np.concatenate([train.images(inside), strangers.images(out)])
    labels = np.concatenate([train.labels[inside], rng.integers(0, len(train.classes), m)])
    return Pool.from_arrays(images, labels), np.arange(IMAGES) >= IMAGES - m


def observed(outside, seed, pool, work):
    """What a warm-up saw, kept in a folder."""
    place = work / f"{outside}-{seed}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        learner = Standard()
        asked = {"epochs": 10, "seed": stream_seed(seed, "warmup", 0), "precision": "bf16"}
        history = fit(learner, pool, checkpoint=work / f"{outside}-{seed}.pt", **asked)
        observe(learner, pool, seed=stream_seed(seed, "observe"), history=history).save(place)
    return Observations.read(place)


def picks(seen, seed):
    """(what, positions) of every method."""
    options = Options(seed=stream_seed(seed, "select"))
    for name in ("uniform", "small_loss", "margin", "k_center", "forgetting", "moderate"):
        yield name, select(name, seen, Rulebook(KEEP), options).positions
    assert METHODS["prune4rel"].balanced
    features, confidence = relabeling_inputs(seen, options)
    purity = label_agreement(seen.features, seen.labels)
    for end, weight in (("", 1.0), (" x purity", purity), (" x purity^2", purity**2)):
        threshold = advise_threshold(features, confidence * weight, KEEP).threshold
        for gain in ("own", "coverage"):
            asked = {"labels": seen.labels, "threshold": threshold, "gain": gain}
            yield f"{gain}, balanced{end}", prune4rel(features, confidence * weight, KEEP, **asked).positions
    most = np.argsort(-purity, kind="stable")[: int(KEEP * len(seen))]
    yield "purity alone", most


def main():
    """Measure what is missing, then print shares of strangers among the picks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent.parent / "runs" / "open_set")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["outside"], line["seed"]) for line in lines}
    for seed in range(asked.seeds):
        for outside in OUTSIDE:
            if (outside, seed) in done:
                continue
            pool, strange = mixed(outside, seed)
            seen = observed(outside, seed, pool, asked.work)
            shares = {what: float(strange[positions].mean()) for what, positions in picks(seen, seed)}
            lines.append({"outside": outside, "seed": seed, "shares": shares})
            with RESULTS.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    print(f"share (%) of images of no class among the {KEEP:.0%} kept; {SHARE:.0%} of the pool are")
    print(f"{'method':<28}" + "".join(f"{outside:>20}" for outside in OUTSIDE))
    for what in lines[0]["shares"]:
        cells = []
        for outside in OUTSIDE:
            values = 100 * np.array([line["shares"][what] for line in lines if line["outside"] == outside])
            cells.append(f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else f"{values[0]:.1f}")
        print(f"{what:<28}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
