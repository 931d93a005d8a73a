"""Whoever was told that an answer is kept will find it, once, after any kill; and the next query is the same."""

import random
import signal
import subprocess
import sys
import time

import pytest

from goodgrain.annotate import OOD, Session

CLASSES = ["cat", "dog"]
SCRIPT = """
import sys
from goodgrain.annotate import OOD, Session
with Session.open(sys.argv[1]) as session:
    print("open", flush=True)
    while ids := session.ask(3, annotator="ann").ids:
        for item in ids:
            session.tell(item, ["cat", "dog", OOD][int(item) % 3], annotator="ann")
            print(item, flush=True)
"""


def new(folder):
    return Session.create(folder, [str(i) for i in range(4000)], CLASSES, budget=100_000, seed=5)


def kill_drill(tmp_path, kills, seed):
    """Kill an annotator at random moments; compare with one whom nobody disturbed."""
    new(tmp_path / "killed").close()
    draw, acknowledged = random.Random(seed), []
    for _ in range(kills):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "open\n"
            time.sleep(draw.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().splitlines(keepends=True)
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
    with Session.open(tmp_path / "killed") as session, new(tmp_path / "whole") as whole:
        kept = [(row.id, row.answer) for row in session.history()]
        assert len(kept) <= len(acknowledged) + kills  # at most the one under way when the kill came
        assert set(acknowledged) <= {item for item, _ in kept}
        assert len({item for item, _ in kept}) == len(kept)
        undisturbed = []
        while len(undisturbed) < len(kept):
            for item in whole.ask(3, annotator="ann").ids[: len(kept) - len(undisturbed)]:
                answer = [*CLASSES, OOD][int(item) % 3]
                whole.tell(item, answer, annotator="ann")
                undisturbed.append((item, answer))
        assert kept == undisturbed
        assert session.ask(7, annotator="ann").ids == whole.ask(7, annotator="ann").ids
        assert session.spent == whole.spent
    return len(kept)


def test_killed_three_times(tmp_path):
    assert kill_drill(tmp_path, 3, seed=0) > 0


@pytest.mark.soak
def test_killed_fifty_times(tmp_path):
    assert kill_drill(tmp_path, 50, seed=1) > 50


def test_killed_while_it_is_made(tmp_path):
    script = """
import os, signal, sys
from goodgrain.annotate import Session
def items():
    yield from ("a", "b")
Session.create(sys.argv[1], items(), ["cat"], budget=9)
"""
    stop = "import goodgrain.annotate.session as s\ns.settings = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    head, tail = script.split("def items")
    command = [sys.executable, "-c", f"{head}{stop}def items{tail}", str(tmp_path / "new")]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    with Session.create(tmp_path / "new", ["a", "b"], ["cat"], budget=9) as session:
        assert sorted(session.ask(2).ids) == ["a", "b"]
