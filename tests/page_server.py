"""A labelling page over a small session, as a process of its own that can be killed and started again.

Usage: python page_server.py FOLDER PORT; prints the address. A folder without a
session gets one: see `new`. Training between rounds waits for a file called "go" in the folder.
"""

import contextlib
import io
import resource
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from goodgrain.annotate import OOD, Session
from goodgrain.annotate.page import Backing
from goodgrain.annotate.serve import serve
from goodgrain.errors import InputError

CLASSES = ("circle", "square", "triangle")
TOKEN = "a token of more than sixteen"
COLOURS = ("#c44536", "#2a7f9e", "#d9a441", "#58855c", "#6d597a")


def new(folder, n=40, *, budget=20.0, classes=CLASSES, ids=None):
    """A session of n drawings."""
    return Session.create(folder, ids or [f"drawing {i:04}.png" for i in range(n)], classes, budget=budget, seed=3)


def png(item):
    """A drawing that the item's id decides: a circle, a square, a triangle, or for OOD a star of lines."""
    draw = np.random.default_rng(zlib.crc32(item.encode()))
    size, shape = 160, int(draw.integers(4))
    image = Image.new("RGB", (size, size), tuple(draw.integers(205, 245, 3).tolist()))
    pen, colour = ImageDraw.Draw(image), COLOURS[draw.integers(len(COLOURS))]
    (x, y), r = draw.uniform(60, 100, 2), draw.uniform(28, 52)
    if shape == 0:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif shape == 3:
        for angle in np.linspace(0, np.pi, 5)[:-1]:
            step = r * np.array([np.cos(angle), np.sin(angle)])
            pen.line((x - step[0], y - step[1], x + step[0], y + step[1]), fill=colour, width=7)
    else:
        pen.regular_polygon((x, y, r), 4 if shape == 1 else 3, int(draw.integers(40)), fill=colour)
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def pictures(session):
    """What a pipeline would show between rounds."""
    rounds = [
        {
            "round": row.number,
            "strategy": row.strategy,
            "accuracy": 0.52 + 0.3 * (1 - 0.6**row.number),
            "in_share": row.purity,
            "answered": row.in_distribution + row.ood + row.unsure,
            "spent": row.spent,
        }
        for row in session.status().rounds
    ]
    draw, answers = np.random.default_rng(0), session.answers()
    ids = session.labels()[0].tolist()
    plane = {
        "purity": draw.normal(0.2, 1, len(ids)),
        "informativeness": draw.normal(0, 1, len(ids)),
        "answer": [answers[item] if answers.get(item) in (*session.classes, OOD) else "" for item in ids],
        "grid_purity": np.linspace(-3, 3, 40),
        "grid_informativeness": np.linspace(-3, 3, 40),
    }
    x, y = np.meshgrid(plane["grid_purity"], plane["grid_informativeness"])
    plane["score"] = 1 / (1 + np.exp(-(x + 1.3 * y)))
    return {"rounds": rounds, "plane": plane, "hint": "The last round raised accuracy by 3 points: one more may pay."}


def backing(session, folder):
    """All that a pipeline would put behind the page, without a model."""

    def advance(report):
        if (folder / "fail").exists():
            raise InputError("the training set holds one class only. Answer more images first.")
        if session.round.state == "open":
            session.close_round()
        for k in range(20):
            report("Training the target model" if k < 10 else "Scoring the pool", k % 10 / 10)
            time.sleep(0.02)
        while not (folder / "go").exists():
            time.sleep(0.05)
        ids = session.labels()[0]
        session.propose(ids, np.arange(len(ids)), strategy="mqnet")

    def guess(item):
        return (*session.classes, OOD, None)[zlib.crc32(item.encode()) % (len(session.classes) + 2)]

    return Backing(session, png, guess, advance, lambda: pictures(session))


class ServerProcess:
    """The server of a folder; killed and started again it has the same port and token."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, 0, None

    def start(self):
        """Returns the page's address."""
        command = [sys.executable, __file__, str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.split(":")[2].split("/")[0])
        return self.address

    def kill(self):
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    @contextlib.contextmanager
    def full_disk(self):
        """No file of the server can grow for as long as the block runs: what a full disk does, for it alone."""
        grown = (self.folder / "session.db-wal").stat().st_size
        before = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (grown, before[1]))
        yield
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, before)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()


def main():
    """Serve until killed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    if not (folder / "session.db").exists():
        new(folder).close()
    with Session.open(folder) as session:
        say = lambda address: print(address, flush=True)  # noqa: E731
        serve(backing(session, folder), port=port, token=TOKEN, announce=say)


if __name__ == "__main__":
    main()
