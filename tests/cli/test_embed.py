"""`goodgrain embed` as a user meets it, and what comes after it."""

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from goodgrain.cli.demo_data import noisy_digits
from goodgrain.observations import Observations

MODEL = """
import numpy as np

def look(images):
    return images.reshape(len(images), -1) / 255

def read(texts):
    return [[len(text), text.count("o")] for text in texts]
"""


def goodgrain(*words, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "goodgrain", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 400 noisy digits, their true labels, a table of texts, and models."""
    folder = tmp_path_factory.mktemp("place")
    train, _ = noisy_digits(0)
    rows = np.arange(400)
    np.savez(folder / "digits.npz", x=train.images(rows), y=train.labels[rows])
    np.save(folder / "true.npy", train.clean_labels[rows])
    texts = "\n".join(f"{word * 3},{label}" for label, word in enumerate(["good ", "bad "]) for _ in range(10))
    (folder / "texts.csv").write_text(f"text,label\n{texts}\n")
    (folder / "mine.py").write_text(MODEL)
    return folder


def test_digits_embedded_and_pruned(place, tmp_path):
    seen = tmp_path / "seen"
    words = ["embed", "digits.npz", "--model", "mine:look", "--clean-labels", "true.npy", "-o", seen]
    done = goodgrain(*words, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "saw ids, labels, probabilities, features, losses of 400 examples" in done.stdout
    assert f"goodgrain prune --observations {seen} --keep 0.2 -o run" in done.stdout
    assert "embedded 400 examples, 64 numbers each; predictions agree with" in done.stderr
    assert "% of the clean ones" in done.stderr
    pruned = goodgrain("prune", "--observations", seen, "--keep", "0.2", "-o", tmp_path / "run", cwd=place)
    assert pruned.returncode == 0, pruned.stderr
    assert "kept 80 of 400 with prune4rel (own gain), balanced" in pruned.stdout
    losses = ["--method", "small-loss", "--epochs", "1", "--no-flip", "--clean-labels", "true.npy"]
    run = tmp_path / "with pictures"
    pruned = goodgrain("prune", "digits.npz", "--observations", seen, "--keep", 40, *losses, "-o", run, cwd=place)
    assert pruned.returncode == 0, pruned.stderr
    table = pq.read_table(run / "selection.parquet").to_pydict()
    picked = np.flatnonzero(table["picked"])
    given, truth = (np.load(place / "digits.npz")["y"], np.load(place / "true.npy"))
    assert (given[picked] != truth[picked]).mean() < 0.5 * (given != truth).mean()


def test_texts(place, tmp_path):
    done = goodgrain("embed", "texts.csv", "--model", "mine:read", "--normalize", "-o", tmp_path / "seen", cwd=place)
    assert done.returncode == 0, done.stderr
    seen = Observations.read(tmp_path / "seen")
    assert seen.probabilities.argmax(axis=1).tolist() == seen.labels.tolist()
    np.testing.assert_allclose(np.linalg.norm(seen.features, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["digits.npz", "--model", "mine:lok"], "error: the model mine:lok cannot be imported: module 'mine' has no"),
        (["texts.csv", "--model", "timm:resnet50"], "error: timm:resnet50 takes images, but the data are texts"),
        (["digits.npz"], "Missing option '--model'"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_code_2(place, tmp_path, words, sentence):
    done = goodgrain("embed", *words, "-o", tmp_path / "seen", cwd=place)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
