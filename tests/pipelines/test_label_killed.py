"""A labelling run that is killed at any moment and called again ends as if nobody had touched it."""

import os
import sqlite3
import subprocess
import sys

import pytest

from goodgrain.annotate import SessionView

SCRIPT = """
import os, random, signal, sys, time
root, folder, kills, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.path[:0] = [root, root + "/tests"]
import torch
from tests.pipelines.label_toys import QUICK, annotator, pictures
from goodgrain.pipelines.label import label
import goodgrain.report.label, sklearn.linear_model  # once: what follows is forked
torch.set_num_threads(1)
pool = pictures(36)

def begin(name):
    child = os.fork()
    if not child:
        label(pool, annotator(pool, unsure_rate=0.1), output=folder + "/" + name, rounds=4, test=pictures(18, 1),
              flip=False, **{**QUICK, "encoder": "csi", "encoder_epochs": 1, "steps": 6, "warm_start": True,
                             "ood_answers": "class", "learn_from": "last"})
        os._exit(0)
    return child

start = time.monotonic()
assert os.waitpid(begin("whole"), 0)[1] == 0
whole = time.monotonic() - start
draw = random.Random(seed)
for _ in range(kills):
    child = begin("killed")
    time.sleep(draw.uniform(0.0, max(0.15, 3.2 / kills)) * whole)
    os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1])
assert os.waitpid(begin("killed"), 0)[1] == 0
"""
SAME = ("metrics.json", "report.html", "config.toml", "models/*", "rounds/*", "encoder/*")


def results_of(folder):
    """Bytes of all files that a run must give again, and what its session holds except times."""
    with SessionView.open(folder) as session:
        answers = [(one.id, one.annotator, one.answer, one.round, one.undone) for one in session.history()]
        verdicts, labels = session.answers(), session.labels()[1].tolist()
    db = sqlite3.connect(folder / "session.db")
    tables = {
        name: db.execute(f"SELECT * FROM {name}").fetchall() for name in ("items", "rounds", "ranking", "query_items")
    }
    db.close()
    files = {str(path.relative_to(folder)): path.read_bytes() for name in SAME for path in folder.glob(name)}
    return {"answers": answers, "verdicts": verdicts, "labels": labels, **tables, **files}


def kill_drill(tmp_path, kills, seed):
    """Kill a run at random moments, let it end, and compare with one that nobody touched."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    arguments = [sys.executable, "-c", SCRIPT, root, str(tmp_path), str(kills), str(seed)]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    ends = done.stdout.split()
    assert len(ends) == kills
    assert ends.count("9") >= kills / 2, "most kills should come before the end"
    found, expected = results_of(tmp_path / "killed"), results_of(tmp_path / "whole")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(expected["answers"]) == len(expected["verdicts"]) == 24
    assert {"encoder/pool.npz", "models/round-004.safetensors", "rounds/003-meta.safetensors"} <= expected.keys()


def test_killed_four_times_and_continued_gives_the_same(tmp_path):
    kill_drill(tmp_path, 4, seed=0)


@pytest.mark.soak
def test_killed_forty_times_and_continued_gives_the_same(tmp_path):
    kill_drill(tmp_path, 40, seed=1)
