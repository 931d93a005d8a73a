"""The steps of a pruning run, each resumable on its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import Positions
from goodgrain.data.duplicates import Duplicates, find_duplicates, find_overlap
from goodgrain.data.pool import Pool
from goodgrain.learn import SimCLR, fit, make_learner, observe, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.model_file import save_model
from goodgrain.learn.streams import stream_seed
from goodgrain.metrics import accuracy, relabeling_accuracy
from goodgrain.observations import Observations
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.prune_config import WHOLE, PruneConfig
from goodgrain.pipelines.prune_results import Outcome, Score, write_corrections
from goodgrain.run import RunFolder
from goodgrain.scores.suspects import Suspects, suspects
from goodgrain.scores.training import grand
from goodgrain.select.methods import relabeling_inputs
from goodgrain.select.neighborhood import neighborhood_confidence
from goodgrain.select.threshold import ThresholdAdvice, advise_threshold


def look_for_copies(
    run: RunFolder, pool: Pool | None, test: Pool | None, near: float, watch: Monitor
) -> tuple[Duplicates | None, Duplicates | None]:
    """Repeats within the data, and training images that are also in the test set."""
    if pool is None:
        return None, None
    if not pool.in_memory:
        watch.stage(f"{len(pool):,} images are too many to look for duplicates among them: left out")
        return None, None
    watch.stage("looking for duplicates")
    copies = find_duplicates(pool, threshold=near)
    overlap = None if test is None else find_overlap(pool, test, threshold=near)
    run.log("duplicates", within=len(copies), with_test=0 if overlap is None else len(overlap))
    return copies, overlap


def warm_up_and_observe(run: RunFolder, pool: Pool, asked: PruneConfig, device: str, watch: Monitor) -> Observations:
    """Warm up, observe, and keep what was seen; with several models, also every model's gradient norms."""
    if Engine(device).told(run.has("observations")):
        return Observations.read(run.path("observations"))
    norms = []
    models = asked.models
    for m in range(models):
        learner = make_learner("ce", config=asked.recipe, network=asked.model, flip=asked.flip)
        what = "warm-up" if models == 1 else f"warm-up {m + 1} of {models}"
        history = fit(
            learner,
            pool,
            epochs=asked.warmup_epochs,
            seed=stream_seed(asked.seed, "warmup", m),
            checkpoint=run.path(f"checkpoints/warmup-{m}.pt"),
            progress=watch.training(what, asked.warmup_epochs),
            device=device,
            precision=asked.precision,
        )
        if m == 0:
            watch.stage("observing")
            seen = observe(learner, pool, seed=stream_seed(asked.seed, "observe"), views=asked.views, history=history)
        if models > 1:
            probabilities, features = predict(learner, pool)
            norms.append(grand(probabilities, pool.labels, features))
    if norms:
        seen = seen.with_columns(gradient_norms=np.stack(norms))
    if asked.self_supervised:
        seen = seen.with_columns(self_supervised=_without_labels(run, pool, asked, device, watch))
    run.fill("observations", seen.save)
    run.log("observed", columns=list(seen.columns))
    return seen


def _without_labels(run: RunFolder, pool: Pool, asked: PruneConfig, device: str, watch: Monitor) -> NDArray[np.float32]:
    """(n, d) features that were learned from the images alone."""
    learner = SimCLR(asked.model, flip=asked.flip)
    fit(
        learner,
        pool,
        epochs=asked.warmup_epochs,
        seed=stream_seed(asked.seed, "self-supervised"),
        checkpoint=run.path("checkpoints/self-supervised.pt"),
        progress=watch.training("warm-up without labels", asked.warmup_epochs),
        device=device,
        precision=asked.precision,
    )
    return predict(learner, pool)[1]


def settle_threshold(asked: PruneConfig, seen: Observations, count: int, watch: Monitor) -> ThresholdAdvice | None:
    """The advice for `threshold="auto"`; None where a threshold was given or none is used."""
    if asked.threshold != "auto" or "prune4rel" not in asked.methods:
        return None
    watch.stage("choosing the threshold")
    features, confidence = relabeling_inputs(seen, asked.options(0.95))
    advice = advise_threshold(
        features, confidence, count, similarity=asked.similarity, temperature=asked.temperature, seed=asked.seed
    )
    watch.stage(advice.why)
    return advice


def surroundings(
    asked: PruneConfig, seen: Observations, picked: Positions, threshold: float
) -> NDArray[np.float64] | None:
    """(n,) neighbourhood confidence given the picks; None for methods that know no neighbours."""
    if asked.method != "prune4rel":
        return None
    features, confidence = relabeling_inputs(seen, asked.options(threshold))
    return neighborhood_confidence(features, confidence, picked, threshold=threshold, similarity=asked.similarity)


def judge_labels(seen: Observations) -> Suspects | None:
    """Labels that the warm-up model contradicts on the plain view; None without predictions or labels."""
    if seen.probabilities is None or seen.labels is None:
        return None
    return suspects(seen.labels, seen.probabilities)


def train_afresh(run: RunFolder, outcome: Outcome, device: str, watch: Monitor) -> tuple[Score, ...]:
    """A fresh learner on each kept part, for each repeat; the last epoch counts."""
    asked, pool, test = outcome.config, outcome.pool, outcome.test
    if not asked.epochs or pool is None:
        return ()
    scores = []
    for method, positions in _parts(outcome):
        part = pool.subset(np.sort(positions))
        reached: list[float] = []
        corrected: list[float] = []
        for repeat in range(asked.repeats):
            name = f"{method}-{len(part)}-{repeat}"
            learner = make_learner(asked.learner, config=asked.recipe, network=asked.model, flip=asked.flip)
            fit(
                learner,
                part,
                epochs=asked.epochs,
                seed=stream_seed(asked.seed, "final", repeat),
                checkpoint=run.path(f"checkpoints/{name}.pt"),
                progress=watch.training(f"training on {len(part):,} ({asked.title(method)})", asked.epochs),
                device=device,
                precision=asked.precision,
            )
            run.write(f"models/{name}.safetensors", lambda path: save_model(path, learner, part))  # noqa: B023
            if test is not None:
                predicted = predict(learner, test)[0].argmax(axis=1)
                reached.append(accuracy(predicted, test.labels))
            probabilities = predict(learner, part)[0]
            truth = part.clean_labels
            known = np.zeros(len(part), dtype=bool) if truth is None else truth >= 0
            if truth is not None and (part.labels != truth)[known].any():
                predicted = probabilities.argmax(axis=1)
                corrected.append(relabeling_accuracy(predicted[known], part.labels[known], truth[known]))
            if asked.relabels and method == asked.method and repeat == 0:
                write_corrections(run, part, probabilities)
            run.log("evaluated", method=method, count=len(part), repeat=repeat, **_last(reached, corrected))
        scores.append(Score(method, len(part), tuple(reached), tuple(corrected)))
    return tuple(scores)


def _last(reached: list[float], corrected: list[float]) -> dict[str, float]:
    named = {"accuracy": reached, "corrected": corrected}
    return {name: values[-1] for name, values in named.items() if values}


def _parts(outcome: Outcome) -> Iterator[tuple[str, Positions]]:
    """Every part that is trained on: method and positions."""
    asked = outcome.config
    for method, selection in {asked.method: outcome.selection, **outcome.others}.items():
        for count in outcome.counts:
            yield method, selection.positions[:count]
    if WHOLE in asked.compare:
        yield WHOLE, np.arange(len(outcome.observations))
