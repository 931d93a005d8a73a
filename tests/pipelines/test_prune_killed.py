"""A run that is killed at any moment and called again ends as if nobody had touched it."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import results_of

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import goodgrain, torch
from conftest import shapes
torch.set_num_threads(1)
goodgrain.prune(shapes(150, 0, noise=0.3), test=shapes(60, 1), keep=[0.2, 0.4], output=sys.argv[1],
                warmup_epochs=4, epochs=6, flip=False, compare=("uniform",))
"""


def kill_drill(tmp_path, kills, seed):
    """Kill a run at random moments until it got through, and compare with one that nobody touched."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=os.path.dirname(os.path.dirname(__file__))))
    start = time.monotonic()
    subprocess.run([sys.executable, str(script), str(tmp_path / "whole")], check=True)
    whole = time.monotonic() - start
    draw = random.Random(seed)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed")])
        time.sleep(draw.uniform(0.3, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, str(script), str(tmp_path / "killed")], check=True)
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "whole")


def test_killed_twice_and_continued_gives_the_same(tmp_path):
    kill_drill(tmp_path, 2, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_killed_ten_times_and_continued_gives_the_same(tmp_path, seed):
    kill_drill(tmp_path, 10, seed)
