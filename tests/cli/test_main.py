"""The command line as a user meets it: in a process of its own, with its sentences and exit codes."""

import os
import resource
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from conftest import shapes


def goodgrain(*words, cwd=None, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "goodgrain", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, **options)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """120 pictures in class folders, 24 more for testing, and an observations table."""
    folder = tmp_path_factory.mktemp("photos")
    for part, n, seed in (("train", 120, 0), ("test", 24, 1)):
        pool = shapes(n, seed, noise=0.2 if part == "train" else 0.0)
        for position in range(n):
            place = folder / part / pool.classes[pool.labels[position]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pool.images([position])[0, ..., 0]).save(place / f"{position:03}.png")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "seen.npz",
        label=np.arange(90) % 3,
        features=rng.normal(size=(90, 5)),
        probabilities=rng.dirichlet(np.ones(3), size=90),
    )
    return folder


QUICK = ("--warmup-epochs", 1, "--epochs", 1, "--no-flip")


def test_a_run_from_folders_to_report(photos, tmp_path):
    done = goodgrain(
        "prune", photos / "train", "--test", photos / "test", "--keep", "0.1,30", *QUICK, "-o", tmp_path / "run"
    )
    assert done.returncode == 0, done.stderr
    assert "kept 12 of 120 with prune4rel (own gain), balanced; test accuracy" in done.stdout
    assert "kept 30 of 120" in done.stdout
    assert f"report:   {tmp_path / 'run' / 'report.html'}" in done.stdout
    table = pq.read_table(tmp_path / "run" / "selection.parquet")
    assert sorted(table["id"].to_pylist())[0].endswith(".png")
    again = goodgrain(
        "prune", photos / "train", "--test", photos / "test", "--keep", "0.1,30", *QUICK, "-o", tmp_path / "run"
    )
    assert again.stdout == done.stdout


def test_observations_alone(photos, tmp_path):
    done = goodgrain(
        "prune", "--observations", photos / "seen.npz", "--keep", "9", "--method", "k-center", "-o", tmp_path / "run"
    )
    assert done.returncode == 0, done.stderr
    assert "kept 9 of 90 with k-center" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "prune4real"], "error: no pruning method 'prune4real'. Did you mean 'prune4rel'?"),
        (["--keep", "0"], "error: keep should hold counts (whole numbers above 0) or shares"),
        (["--keep", "500"], "error: budget=500 is more than the 90 examples. Ask for at most 90."),
        (["--keep=--5"], "error: --keep should be a number; '--5' came."),
        (["--keep", "some"], "error: --keep should be a number; 'some' came."),
        (["--threshold", "1.5"], "error: threshold should be above 0 and at most 1; 1.5 came."),
        (["--quota", "cat"], "error: a quota should read CLASS=COUNT, such as cat=100; 'cat' came."),
        (["--must-keep", "nowhere.txt"], "error: nowhere.txt cannot be read as a list of ids"),
        (["--gain", "coverge"], "error: no gain 'coverge'. Did you mean 'coverage'?"),
        (["--method", "small-loss"], "needs losses; the observations lack losses"),
        (["--test", "tests"], "error: "),
        (["--tset", "x"], "No such option"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_code_2(photos, tmp_path, words, sentence):
    done = goodgrain("prune", "--observations", photos / "seen.npz", *words, "-o", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "selection.parquet").exists()


def bad_table(folder, **columns):
    rng = np.random.default_rng(0)
    good = {"label": np.arange(12) % 3, "features": rng.normal(size=(12, 4)), "probabilities": np.full((12, 3), 1 / 3)}
    np.savez(folder / "bad.npz", **{**good, **columns})
    return folder / "bad.npz"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"label": np.array([0, 1, 2, 3] * 3)}, "labels should be 0..2; 3 are not, the first is 3 at row 3"),
        ({"label": np.array([-1, 1, 2] * 4)}, "labels should be 0..2; 4 are not, the first is -1 at row 0"),
        ({"features": np.full((12, 4), np.nan)}, "features has NaN or infinite values in 12 of 12 rows"),
        ({"features": np.full((12, 4), np.inf)}, "features has NaN or infinite values in 12 of 12 rows"),
        ({"probabilities": np.full((12, 3), 0.5)}, "each row of probabilities should sum to 1; 12 of 12 rows do not"),
        ({"label": np.arange(11) % 3}, "rows, but there are"),
        ({"label": np.arange(12) % 2}, "class '2' is empty: no example has that label"),
    ],
)
def test_bad_observations(tmp_path, columns, sentence):
    done = goodgrain("prune", "--observations", bad_table(tmp_path, **columns), "--keep", "4", "-o", tmp_path / "run")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_another_run_or_other_files(photos, tmp_path):
    words = ["prune", "--observations", photos / "seen.npz", "-o", tmp_path / "run"]
    assert goodgrain(*words, "--keep", "9").returncode == 0
    other = goodgrain(*words, "--keep", "10")
    assert other.returncode == 2
    assert "holds another run: its prune.keep is [9], this one asks for [10]" in other.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("do not touch")
    foreign = goodgrain("prune", "--observations", photos / "seen.npz", "-o", tmp_path / "mine")
    assert foreign.returncode == 2
    assert "holds files that are no run" in foreign.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("room", [200, 5_000, 100_000, 1_200_000])
def test_a_full_disk_leaves_nothing_half_written_and_the_run_goes_on(photos, tmp_path, room):
    # No file may grow beyond `room` bytes: the system refuses in the middle of a write, as a full disk does.
    words = ["prune", photos / "train", "--keep", "12", *QUICK, "-o", tmp_path / "run"]
    full = goodgrain(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
    assert full.returncode == 2
    assert "Free some room and repeat the command: it continues." in full.stderr
    assert "Traceback" not in full.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]
    done = goodgrain(*words)
    assert done.returncode == 0, done.stderr
    assert "kept 12 of 120" in done.stdout


def test_a_place_without_permission_is_named(photos, tmp_path):
    if os.geteuid() == 0:
        target = "/proc/run"  # not even root may make this
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = tmp_path / "locked" / "run"
    done = goodgrain("prune", "--observations", photos / "seen.npz", "--keep", "9", "-o", target)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(target) in done.stderr


def test_help_and_version_answer_at_once():
    assert "--keep" in goodgrain("prune", "--help").stdout
    assert goodgrain("--version").stdout.strip() == "0.1.0"
    assert "prune" in goodgrain("--help").stdout


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "active"}, None),  # what somebody chose is left alone
    ],
)
def test_threads_of_a_busy_machine_sleep_before_torch_is_there(own, expected):
    script = (
        "import os, sys, goodgrain.cli.main as main\n"
        "main.app = lambda: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)\n"
        "main.run()"
    )
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**bare, **own}, check=True
    )
    assert done.stdout.split() == [str(expected), "False"]
