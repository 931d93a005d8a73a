"""Every command and program of the guide to labelling, in its order, on a small folder of digits."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from goodgrain.annotate import OOD, drive
from goodgrain.cli import label_run, main
from goodgrain.pipelines.label_session import open_session

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "label.md"
CLASSES = ("cat", "dog", "bird")  # what the guide calls the digits 0, 1 and 2
SHORT = {"steps": 10, "encoder_epochs": 1, "flip": False, "device": "cpu"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """photos/ with 250 digits from 0 to 5, photos-test/ with 30 of the three classes; the truth by id."""
    images, digits = load_digits(n_class=6, return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    (tmp_path / "photos").mkdir()
    truth = {}
    for i in range(250):
        truth[f"{i:04}.png"] = CLASSES[digits[i]] if digits[i] < 3 else OOD
        Image.fromarray(pixels[i]).save(tmp_path / "photos" / f"{i:04}.png")
    for i in [i for i in range(250, 400) if digits[i] < 3][:30]:
        place = tmp_path / "photos-test" / CLASSES[digits[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(place / f"{i:04}.png")
    (tmp_path / "mine.py").write_text("def look(images):\n    return images.reshape(len(images), -1) / 255.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return truth


def say(command, truth, monkeypatch, capsys):
    """What one command prints; people, a pretrained model and Label Studio are played."""
    line, _, into = command.partition(" > ")
    words = shlex.split(line)
    if words[1:3] == ["label", "serve"]:
        label_run.first_round(Path(words[3]), "cpu")
        with open_session(words[3]) as session:
            assert drive(session, truth.__getitem__) > 0
        return
    if words[1:3] == ["label", "init"]:
        words += ["--steps", "10", "--encoder-epochs", "1", "--no-flip"]
    if words[1] == "embed":
        words[words.index("--model") + 1] = "mine:look"
    if words[2:4] == ["tell", "run-by-hand"] and "0001.png" in words:
        words[4] = Path("asked.tsv").read_text().split("\t")[0]
    if "answers.csv" in words:
        with open("answers.csv", "w", newline="") as file:
            asked = [row.split("\t")[0] for row in Path("asked.tsv").read_text().splitlines()]
            csv.writer(file).writerows([("id", "label"), *((name, truth[name]) for name in asked)])
    if "project.json" in words:
        tasks = json.loads(Path("tasks.json").read_text())
        for task in tasks:
            value = {"choices": [truth[task["data"]["uid"]]]}
            task["annotations"] = [{"completed_by": 1, "result": [{"from_name": "choice", "value": value}]}]
            task["annotations"][0]["result"][0]["type"] = "choices"
        Path("project.json").write_text(json.dumps(tasks))
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main.run()
    out, err = capsys.readouterr()
    assert end.value.code == 0, f"{command}: {err}"
    if into:
        Path(into).write_text(out)


def test_every_command_and_program_of_the_guide_works(folder, monkeypatch, capsys):
    blocks = re.findall(r"^```(python)?\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    features = np.stack([np.asarray(Image.open(f"photos/{name}")).ravel() for name in folder]) / 255.0

    def my_model(answers):
        means = [features[answers == k].mean(axis=0) if (answers == k).any() else np.zeros(64) for k in range(3)]
        distances = ((features[:, None] - np.array(means)) ** 2).sum(axis=2)
        weights = np.exp(-distances)
        return weights / weights.sum(axis=1, keepdims=True)

    names = {"answer": folder.__getitem__, "ids": np.array(list(folder)), "features": features, "my_model": my_model}
    for kind, block in blocks:
        if kind:
            short = ", ".join(f"{name}={value!r}" for name, value in SHORT.items())
            exec(re.sub(r"(output=.*budget=20)", rf"\1, {short}", block), names)
            continue
        for command in block.splitlines():
            if not command.startswith("pip "):
                say(command, folder, monkeypatch, capsys)
    assert sum(bool(kind) for kind, _ in blocks) == 5
    assert all(Path(f"{run}/report.html").exists() for run in ("run", "run-on-embeddings", "run-in-python"))
    assert names["meta"].rule_ in ("learned", "informativeness", "purity")  # by what the last answers were
