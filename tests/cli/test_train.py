"""`goodgrain train` as a user meets it: in a process of its own, with its sentences and exit codes."""

import html
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


def goodgrain(*words, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "goodgrain", "train", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """40 pictures of two classes, 20 for testing, and OOD images: grey ones of another size, copies, and none."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count, size in (("own", 20, 16), ("own-test", 10, 16), ("strange", 40, 24)):
        for kind in ("dark", "bright") if part != "strange" else (".",):
            place = root / part / kind
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                low = 150 if kind == "bright" else 0
                pixels = rng.integers(low, low + 100, (size, size) if part == "strange" else (size, size, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    (root / "empty").mkdir()
    return root


SHORT = ("--epochs", "1", "--batch-size", "16", "--no-flip")


def test_a_run_says_what_each_method_reached_and_where_everything_is(folders):
    ran = goodgrain("own", "--ood", "strange", "--test", "own-test", *SHORT, "-o", "run", cwd=folders)
    assert ran.returncode == 0, ran.stderr
    first, second, models, report = ran.stdout.splitlines()
    assert first.startswith("taufe: test accuracy ")
    assert "response to OOD images" in first
    assert second.startswith("standard: test accuracy ")
    assert (models, report) == ("models:   run/models", "report:   run/report.html")
    assert (folders / "run" / "models" / "taufe-0.safetensors").exists()
    again = goodgrain("own", "--ood", "strange", "--test", "own-test", *SHORT, "-o", "run", cwd=folders)
    assert again.stdout == ran.stdout


def shown_command(page):
    """The words after `goodgrain train` of the command that a report shows."""
    code = next(one for one in re.findall(r"<code>(.*?)</code>", page, re.DOTALL) if "goodgrain train" in one)
    return shlex.split(html.unescape(code))[2:]


@pytest.mark.parametrize("more", [("--ood", "strange"), ("--ood", "strange", "--ood", "own-test", "--compare-ood")])
def test_the_command_of_the_report_repeats_the_run(folders, more):
    words = ("--class-names", "down,up side", "--max-bad", "0.05", "--image-size", "12", "--few-shot", "20", *SHORT)
    ran = goodgrain("own", *more, *words, "-o", f"said{len(more)}", cwd=folders)
    assert ran.returncode == 0, ran.stderr
    command = shown_command((folders / f"said{len(more)}" / "report.html").read_text())
    again = goodgrain(*command, "-o", f"said{len(more)}", cwd=folders)
    assert again.returncode == 0, again.stderr
    assert again.stdout == ran.stdout


def test_ood_sets_are_ranked(folders):
    ran = goodgrain("own", "--ood", "strange", "--ood", "own-test", "--compare-ood", *SHORT, "-o", "cmp", cwd=folders)
    assert ran.returncode == 0, ran.stderr
    assert [line[:2] for line in ran.stdout.splitlines()[:2]] == ["1.", "2."]
    assert "% of the deciding features" in ran.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "taufe needs out-of-distribution images, and none were given. Give ood (--ood)"),
        (("--ood", "empty"), "empty holds no images"),
        (("--ood", "nowhere"), "nowhere does not exist"),
        (("--ood", "own"), "all 40 OOD images of own are copies of the target's own"),
        (("--ood", "strange", "--method", "tauffe"), "no method 'tauffe'. Did you mean 'taufe'"),
        (("--ood", "strange", "--compare", "oat", "--task", "box"), "a box regression predicts no classes"),
        (("--ood", "strange", "--task", "box"), "task box learns from boxes, and the data has none"),
        (("--ood", "strange", "--ood-weight", "strange"), "an OOD weight should read NAME=WEIGHT"),
        (("--ood", "strange", "--box-frame", "64"), "--box-frame should read WIDTHxHEIGHT"),
        (("--ood", "strange", "--compare-ood"), "comparing needs at least 2 OOD sets; 1 came"),
        (
            ("--ood", "strange", "--ood", "own-test", "--compare-ood", "--weight", "3", "--test", "own-test"),
            "--weight and --test would do nothing with --compare-ood",
        ),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence_and_leaves_no_folder(folders, words, sentence):
    ran = goodgrain("own", *words, *SHORT, "-o", "refused", cwd=folders)
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (folders / "refused").exists()


def test_a_loss_that_is_no_number_stops_the_run(folders):
    ran = goodgrain("own", "--ood", "strange", "--lr", "1e9", "--epochs", "4", "--no-flip", "-o", "nan", cwd=folders)
    assert ran.returncode == 2
    assert "the loss became NaN or infinite" in ran.stderr
