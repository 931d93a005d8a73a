"""Learners that correct labels, recipes and rehearsals, through the pipeline."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import goodgrain
from conftest import QUICK, own_observations, results_of, shapes
from goodgrain.errors import InputError, UnknownName
from goodgrain.pipelines.prune_config import PruneConfig, under_recipe


@pytest.fixture(scope="module", params=["sop", "dividemix"])
def relabeled(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    asked = {**QUICK, "epochs": 6, "learner": request.param, "keep": 0.6, "test": shapes(60, 1)}
    train = shapes(150, 0, noise=0.3)
    return train, goodgrain.prune(train, output=folder / "run", **asked), asked


def test_corrections_are_what_the_saved_model_says_against_the_labels(relabeled):
    train, result, _ = relabeled
    part = train.subset(np.sort(result.positions))
    model = goodgrain.load(result.folder, device="cpu")
    probabilities = model.probabilities(part)
    predicted = probabilities.argmax(axis=1)
    table = pq.read_table(result.folder / "corrections-90.parquet").to_pydict()
    assert set(table["id"]) == set(part.ids[predicted != part.labels].tolist())
    place = {name: i for i, name in enumerate(part.ids.tolist())}
    for name, given, corrected, word in zip(
        table["id"], table["given_label"], table["corrected_label"], table["corrected_class"], strict=True
    ):
        assert (given, corrected) == (part.labels[place[name]], predicted[place[name]])
        assert word == train.classes[corrected]
    assert table["probability"] == sorted(table["probability"], reverse=True)
    wrong = part.labels != part.clean_labels
    (entry,) = json.loads((result.folder / "metrics.json").read_text())["budgets"]
    assert entry["corrected"] == [pytest.approx((predicted == part.clean_labels)[wrong].mean())]
    assert "Of the wrong labels kept, the trained model puts right" in result.report.read_text()


def test_the_same_call_continues_to_the_same_bits(relabeled, tmp_path):
    train, result, asked = relabeled
    again = goodgrain.prune(train, output=tmp_path / "again", **asked)
    assert results_of(again.folder) == results_of(result.folder)
    corrections = "corrections-90.parquet"
    assert (again.folder / corrections).read_bytes() == (result.folder / corrections).read_bytes()


def test_a_rehearsal_knows_its_truth(tmp_path):
    clean = shapes(90, 3)
    asked = {**QUICK, "epochs": 0, "keep": 30, "noise": "symmetric:0.4", "seed": 2}
    result = goodgrain.prune(clean, output=tmp_path / "run", **asked)
    assert result.metrics["noise_share"] == pytest.approx(0.4)
    assert (result.pool.clean_labels == clean.labels).all()
    assert 'noise = "symmetric:0.4"' in (tmp_path / "run" / "config.toml").read_text()
    with pytest.raises(InputError, match=r"holds another run: its fingerprint.data is"):
        goodgrain.prune(clean, output=tmp_path / "run", **{**asked, "noise": "symmetric:0.2"})


def test_a_rehearsal_needs_images(tmp_path):
    with pytest.raises(InputError, match="noise needs data whose labels it can change; only observations came"):
        goodgrain.prune(observations=own_observations(), keep=10, output=tmp_path / "run", noise="symmetric:0.4")


def test_a_rehearsal_makes_its_own_truth(tmp_path):
    with pytest.raises(InputError, match="Give noise or clean_labels, not both"):
        goodgrain.prune(
            shapes(30, 0), keep=10, output=tmp_path / "run", noise="symmetric:0.4", clean_labels="truth.csv", **QUICK
        )


def test_observations_under_other_labels_are_refused(tmp_path):
    clean = shapes(60, 0)
    seen = own_observations(ids=clean.ids, labels=clean.labels)
    kept = goodgrain.prune(clean, observations=seen, keep=10, output=tmp_path / "same", **{**QUICK, "epochs": 0})
    assert len(kept.ids) == 10
    with pytest.raises(InputError, match="made under other labels: 24 of 60 differ from the data's"):
        goodgrain.prune(clean, observations=seen, keep=10, output=tmp_path / "other", noise="symmetric:0.4", **QUICK)


def test_dividemix_that_would_never_divide_is_refused(tmp_path):
    with pytest.raises(InputError, match="DivideMix warms up for 1 of 1 epochs, so it would never divide"):
        goodgrain.prune(shapes(30, 0), keep=20, output=tmp_path / "run", learner="dividemix", **{**QUICK, "epochs": 1})


def test_a_recipe_fills_in_what_was_not_asked():
    asked = under_recipe({"recipe": "cifar100n", "epochs": 7})
    assert asked == {"recipe": "cifar100n", "model": "preact_resnet18", "warmup_epochs": 30, "epochs": 7}
    assert under_recipe({"seed": 1}) == {"seed": 1}


def test_unknown_names_are_met_with_the_nearest():
    with pytest.raises(UnknownName, match="no learner 'sopp'. Did you mean 'sop'"):
        PruneConfig(keep=(1,), learner="sopp")
    with pytest.raises(UnknownName, match="no recipe 'cifar10'. Did you mean 'cifar10n'"):
        PruneConfig(keep=(1,), recipe="cifar10")
    with pytest.raises(UnknownName, match="no learner published for clothing1m 'sop'.*dividemix"):
        PruneConfig(keep=(1,), recipe="clothing1m", learner="sop")
    with pytest.raises(UnknownName, match="no precision 'bf61'"):
        PruneConfig(keep=(1,), precision="bf61")


def test_a_truth_with_gaps_is_judged_where_it_is_known(tmp_path):
    train = shapes(60, 5, noise=0.3)
    truth = train.clean_labels.copy()
    truth[::2] = -1
    gaps = train.with_labels(train.labels, truth)
    result = goodgrain.prune(gaps, output=tmp_path / "run", keep=30, **QUICK)
    known = truth >= 0
    assert result.metrics["noise_share"] == pytest.approx((train.labels != truth)[known].mean())
    part = result.positions[known[result.positions]]
    (entry,) = result.metrics["budgets"]
    assert entry["noise_share"] == pytest.approx((train.labels != truth)[part].mean())


def test_two_processes_make_one_run(tmp_path, request):
    """As on two GPUs, under torch's launcher: the picks and the report are there once, and the run is whole."""
    train, test = shapes(90, 0, noise=0.3), shapes(45, 1)
    for name, pool in (("train", train), ("test", test)):
        np.savez(tmp_path / f"{name}.npz", images=pool.images(np.arange(len(pool))), labels=pool.labels)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    command = ["-m", "goodgrain", "prune", "train.npz", "--test", "test.npz", "--keep", "0.5", "--learner", "sop"]
    command += ["--warmup-epochs", "1", "--epochs", "2", "--no-flip", "--device", "cpu", "-o", "run"]
    done = subprocess.run(
        [*launch, *command],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("kept 45 of 90") == 1
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert events == ["started", "duplicates", "observed", "selected", "evaluated", "finished"]
    assert goodgrain.load(tmp_path / "run", device="cpu").probabilities(test).shape == (45, 3)
