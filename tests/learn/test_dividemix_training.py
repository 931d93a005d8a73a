"""DivideMix over whole trainings: on a part, stopped, in two processes, and on digits with wrong labels."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.learn.test_dividemix import noisy_blobs, same, tensors
from tests.learn.toys import blobs

from goodgrain.data.noise import symmetric
from goodgrain.data.pool import Pool
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.learners.dividemix import DivideMix
from goodgrain.metrics import accuracy


def test_a_part_of_a_pool_trains_as_a_pool_of_its_own():
    whole, rows = noisy_blobs(90), np.array([80, 3, 41, 7, *range(10, 40), 2])
    part = whole.subset(rows)
    alone = Pool.from_arrays(whole.images(rows), whole.labels[rows], ids=whole.ids[rows].tolist())
    results = []
    for pool in (part, alone):
        learner = DivideMix(flip=False, lr=0.05)
        fit(learner, pool, epochs=4, seed=2, device="cpu")
        results.append((tensors(learner), learner.clean_probability(pool)))
    assert same(results[0][0], results[1][0])
    assert results[0][1].tobytes() == results[1][1].tobytes()


class Stopped(Exception):
    pass


def test_stopped_and_called_again_it_ends_with_the_same_bits(tmp_path):
    pool, whole = noisy_blobs(60), DivideMix(flip=False, lr=0.05)
    expected = fit(whole, pool, epochs=4, seed=7, device="cpu")
    assert np.isfinite(expected.terms["unlabeled"][1:]).all()  # it came to mix
    asked = {"epochs": 4, "seed": 7, "checkpoint": tmp_path / "training.pt", "device": "cpu"}
    for at in ((0, 5), (2, 3), (3, 1)):

        def stop(epoch, step, steps, terms, at=at):
            if (epoch, step) == at:
                raise Stopped

        with pytest.raises(Stopped):
            fit(DivideMix(flip=False, lr=0.05), pool, progress=stop, **asked)
        torch.rand(3)
    again = DivideMix(flip=False, lr=0.05)
    history = fit(again, pool, **asked)
    assert same(tensors(again), tensors(whole))
    assert history.margin.tobytes() == expected.margin.tobytes()
    assert history.loss.tolist() == expected.loss.tolist()
    assert again.clean_probability(pool).tobytes() == whole.clean_probability(pool).tobytes()


SCRIPT = """
import sys
import torch
from goodgrain.learn import fit
from goodgrain.learn.engine import Engine
from goodgrain.learn.learners.dividemix import DivideMix
from tests.learn.test_dividemix import noisy_blobs, tensors
pool, learner = noisy_blobs(61), DivideMix(flip=False, lr=0.05)
history = fit(learner, pool, epochs=4, seed=5, device="cpu")
told = {"tensors": tensors(learner), "clean": torch.from_numpy(learner.clean_probability(pool))}
told["terms"] = [history.terms[name].tolist() for name in ("loss", "labeled", "unlabeled", "uniform")]
engine = Engine("cpu")
assert engine.processes == 2
torch.save(told, f"{sys.argv[1]}/{engine.rank}.pt")
"""


def test_two_processes_end_alike(tmp_path, request):
    (tmp_path / "both.py").write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    root = request.config.rootpath
    paths = [str(root), str(root / "tests"), *sys.path]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    done = subprocess.run(
        [sys.executable, *launch, str(tmp_path / "both.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert same(first["tensors"], second["tensors"])
    assert torch.equal(first["clean"], second["clean"])
    np.testing.assert_array_equal(first["terms"], second["terms"])
    assert np.isfinite(np.array(first["terms"])[:, 1:]).all()  # after the warm-up of one epoch they mixed


def test_wrong_labels_are_found():
    truth = blobs(100, classes=2)
    pool = truth.with_labels(np.where(np.arange(100) % 5 == 0, 1 - truth.labels, truth.labels), truth.labels)
    learner = DivideMix(flip=False, lr=0.05)
    fit(learner, pool, epochs=8, seed=0, device="cpu")
    clean, wrong = learner.clean_probability(pool), pool.labels != pool.clean_labels
    assert (clean[wrong] < 0.5).mean() > 0.9
    assert (clean[~wrong] > 0.5).mean() > 0.9


@pytest.mark.soak
def test_digits_with_wrong_labels_are_corrected():
    """600 digits with 40% wrong labels: better than cross-entropy, which learns them."""
    digits = load_digits()
    images = (digits.images * 15.9375).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:600], order[600:]
    pool = Pool.from_arrays(
        images[train],
        symmetric(digits.target[train], 0.4, classes=10, seed=0),
        clean_labels=digits.target[train],
    )
    held_out = Pool.from_arrays(images[test], digits.target[test])
    reached = {}
    for learner in (Standard(flip=False), DivideMix(flip=False)):
        fit(learner, pool, epochs=30, seed=0, device="cpu")
        reached[type(learner)] = accuracy(predict(learner, held_out)[0].argmax(axis=1), held_out.labels)
    wrong = pool.labels != pool.clean_labels
    distrusted = learner.clean_probability(pool) < 0.5
    corrected = predict(learner, pool)[0].argmax(axis=1)[wrong] == pool.clean_labels[wrong]
    assert reached[DivideMix] > reached[Standard]
    assert distrusted[wrong].mean() > 0.9
    assert distrusted[~wrong].mean() < 0.2
    assert corrected.mean() > 0.8
