"""`goodgrain label` as a user meets it: its lines, its sentences, its exit codes."""

import csv
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from conftest import shapes
from goodgrain.annotate import OOD, SKIP, UNSURE, drive
from goodgrain.cli import main
from goodgrain.data.pool import UNLABELED
from goodgrain.pipelines.label_config import LabelConfig
from goodgrain.pipelines.label_inputs import MAX_BAD
from goodgrain.pipelines.label_session import open_session
from goodgrain.pipelines.labeling import Labeling

CLASSES = ("lying", "standing")
QUICK = ("--steps", "2", "--encoder", "none", "--purity", "msp", "--budget", "8", "--no-flip")


@pytest.fixture
def goodgrain(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder of pictures; gives exit code, output and errors."""
    pool = shapes(36, 0)
    (tmp_path / "photos").mkdir()
    for row, name in enumerate(pool.ids.tolist()):
        Image.fromarray(pool.images([row])[0, ..., 0]).save(tmp_path / "photos" / name)
        place = tmp_path / "photos-test" / pool.classes[pool.labels[row]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pool.images([row])[0, ..., 0]).save(place / name)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["goodgrain", "label", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main.run()
        return end.value.code, *capsys.readouterr()

    return call


def truth():
    pool = shapes(36, 0)
    kinds = [name if name in CLASSES else OOD for name in pool.classes]
    return {name: kinds[label] for name, label in zip(pool.ids.tolist(), pool.labels.tolist(), strict=True)}


def begin(goodgrain, *words, run="run"):
    code, out, err = goodgrain("init", "photos", "--classes", ",".join(CLASSES), *QUICK, *words, "-o", run)
    assert code == 0, err
    return out


def answer_all(run="run"):
    with open_session(run) as session:
        drive(session, truth().__getitem__)


def ids(out):
    return [line.split("\t")[0] for line in out.splitlines()]


def test_from_a_folder_to_a_report(goodgrain):
    out = begin(goodgrain, "--test", "photos-test")
    assert out.splitlines() == [
        "36 images, 0 of them labelled; classes: lying, standing",
        "next:     goodgrain label serve run",
    ]
    assert begin(goodgrain, "--test", "photos-test") == out  # the same command goes on with it
    code, out, err = goodgrain("ask", "run", "-n", "3", "--annotator", "ana")
    assert (code, err, len(out.splitlines())) == (0, "", 3)
    assert all((Path("photos") / line.split("\t")[1]).is_file() for line in out.splitlines())
    for name in ids(out):
        assert goodgrain("tell", "run", name, truth()[name], "--annotator", "ana")[0] == 0
    answer_all()
    code, out, err = goodgrain("train", "run")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "36 images: 0 known from the start, 28 not seen yet, 0 of these being answered"
    assert re.match(r"round 0 \(random, closed\): spent 8 of 8; \d of a class, \d none .*test accuracy", lines[1])
    assert lines[2].startswith("round 1 (mqnet, open): spent 0 of 8;")
    assert lines[-1] == "next:     goodgrain label serve run"
    answer_all()
    code, out, err = goodgrain("train", "run", "--final")
    assert code == 0, err
    assert out.splitlines()[-2:] == ["models:   run/models", "report:   run/report.html"]
    assert Path("run/report.html").exists()
    assert goodgrain("status", "run")[1].splitlines() == out.splitlines()[:-2]


def test_status_as_json_while_somebody_works_in_it(goodgrain):
    begin(goodgrain)
    with open_session("run") as session:
        session.tell(session.ask(2, annotator="ana").ids[0], OOD, annotator="ana")
        code, out, _ = goodgrain("status", "run", "--json")
        found = json.loads(out)
        assert code == 0
        assert (found["items"], found["unseen"], found["held"], found["spent"], found["left"]) == (36, 35, 1, 1.0, 7.0)
        assert found["rounds"][0]["ood"] == 1
        assert found["rounds"][0]["in_share"] == 0.0
        assert found["rounds"][0]["accuracy"] is None
        code, _, err = goodgrain("ask", "run")
        assert (code, err) == (
            2,
            "error: the session in run is open already, here or in another process. Close it there.\n",
        )


def test_a_run_folder_among_the_images_is_refused(goodgrain):
    for place in ("photos/run", "photos"):
        code, _, err = goodgrain("init", "photos", "--classes", "lying,standing", *QUICK, "-o", place)
        assert code == 2
        assert f"the run folder {place} lies within the data (photos)" in err
    assert not Path("photos/run").exists()


def test_known_labels_of_the_data_are_found_again_beside_images_without_any(goodgrain):
    Image.new("L", (12, 12)).save("photos-test/stray.png")  # beside the class folders: it has no label
    Path("photos-test/broken.png").write_text("no image")
    begun = ("init", "photos-test", "--classes", ",".join(CLASSES), "--known", "data", "--max-bad", "0.1", *QUICK)
    code, out, err = goodgrain(*begun, "-o", "run")
    assert code == 0, err
    assert "1 files cannot be used, such as broken.png: " in out
    assert "37 images, 36 of them labelled" in out
    code, out, err = goodgrain("status", "run")
    assert code == 0, err
    with Labeling.open("run") as run:
        assert dict(zip(*run.session.labels(), strict=True))["stray.png"] == UNLABELED


@pytest.mark.parametrize("classes", ["lying , standing", "lying\nstanding\n", '"lying", standing,'])
def test_class_names_by_commas_or_lines(goodgrain, classes):
    code, out, err = goodgrain("init", "photos", "--classes", classes, *QUICK, "-o", "run")
    assert code == 0, err
    assert "classes: lying, standing" in out


def test_a_corrected_table_says_what_it_contradicts(goodgrain):
    goodgrain("init", "photos", "--classes", ",".join(CLASSES), *QUICK, "-o", "run")
    asked = goodgrain("ask", "run", "-n", "2", "--annotator", "ana")[1].splitlines()[0].split("\t")[0]
    goodgrain("tell", "run", asked, "lying", "--annotator", "ana")
    Path("fixed.csv").write_text(f"id,label\n{asked},standing\n")
    code, _, err = goodgrain("import", "run", "fixed.csv")
    assert code == 0, err
    assert (
        "1 images now have answers that differ, and no label. To correct an answer, import it with --annotator" in err
    )
    code, _, err = goodgrain("import", "run", "fixed.csv", "--annotator", "import")
    assert "answers that differ" not in err, "told once"


def test_what_a_budget_cannot_pay_for_is_said_beside_the_ids(goodgrain):
    begin(goodgrain)
    assert len(ids(goodgrain("ask", "run", "-n", "5", "--annotator", "ana")[1])) == 5
    code, out, err = goodgrain("ask", "run", "-n", "5", "--annotator", "bea")
    assert (code, len(ids(out))) == (0, 3)
    assert err == "what is left of the round's budget (8) waits for 8 images being answered.\n"
    for annotator in ("ana", "bea"):
        for name in ids(goodgrain("ask", "run", "-n", "5", "--annotator", annotator)[1]):
            goodgrain("tell", "run", name, "none", "--annotator", annotator)
    assert goodgrain("ask", "run", "--annotator", "ana") == (
        0,
        "",
        "the budget of round 0 is spent. Go on with `goodgrain label train run`.\n",
    )


def test_four_answers_an_undo_and_a_table(goodgrain):
    begin(goodgrain)
    asked = ids(goodgrain("ask", "run", "-n", "5")[1])
    for name, word in zip(asked, ("lying", "none", "unsure", "skip"), strict=False):
        assert goodgrain("tell", "run", name, word) == (0, "", "kept\n")
    assert goodgrain("tell", "run", asked[1], OOD) == (0, "", "known already\n")
    with open_session("run") as session:
        assert [session.answers()[name] for name in asked[:4]] == ["lying", OOD, UNSURE, SKIP]
    assert goodgrain("undo", "run") == (0, f"{asked[3]}\n", "")
    with open("many.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), (asked[1], OOD), (asked[4], "standing")])
    assert goodgrain("tell", "run", "--file", "many.csv") == (0, "", "1 answers kept, 1 known already\n")


def test_a_class_that_is_called_none_is_a_class(goodgrain):
    assert goodgrain("init", "photos", "--classes", "none,some", *QUICK, "-o", "run")[0] == 0
    (name,) = ids(goodgrain("ask", "run")[1])
    goodgrain("tell", "run", name, "none")
    with open_session("run") as session:
        assert session.answers() == {name: "none"}


def test_labels_go_out_and_come_back(goodgrain):
    begin(goodgrain)
    answer_all()
    assert goodgrain("export", "run", "labels.csv") == (0, "labels:   labels.csv\n", "")
    assert goodgrain("export", "run", "answers.jsonl", "--history")[1] == "answers:   answers.jsonl\n"
    assert len(Path("answers.jsonl").read_text().splitlines()) == 8
    assert goodgrain("import", "run", "labels.csv")[1] == "0 answers kept, 8 known already, 28 rows without one\n"
    code, out, err = goodgrain("init", "photos", "--known", "labels.csv", *QUICK, "-o", "next")
    assert (code, out.splitlines()[0]) == (0, "36 images, 8 of them labelled; classes: lying, standing"), err
    code, out, err = goodgrain("ask", "next", "-n", "2")
    assert (code, len(ids(out))) == (0, 2), err
    assert "round 0 (mqnet, open)" in goodgrain("status", "next")[1]  # known labels chose it already
    with open("labels.csv", newline="") as file:
        assert not set(ids(out)) & {row["id"] for row in csv.DictReader(file) if row["label"]}


def test_a_table_with_columns_of_other_names(goodgrain):
    begin(goodgrain)
    (first, *_) = ids(goodgrain("ask", "run", "-n", "2")[1])
    Path("theirs.csv").write_text(f"photo,kind\n{first},standing\n")
    code, _, err = goodgrain("import", "run", "theirs.csv")
    assert code == 2
    assert "say which with id_column (label import --id-column), or call it 'id'." in err
    columns = ("--id-column", "photo", "--label-column", "kind")
    assert goodgrain("import", "run", "theirs.csv", *columns)[1].startswith("1 answers kept")
    code, _, err = goodgrain("import", "run", "tasks.json", *columns)
    assert (code, "Label Studio's JSON has no columns" in err) == (2, True)


def test_label_studio_there_and_back(goodgrain):
    begin(goodgrain)
    words = ("export", "run", "tasks.json", "--label-studio", "-n", "4", "--image-url", "https://host/")
    code, out, err = goodgrain(*words)
    assert (code, out) == (0, "4 tasks: tasks.json\ninterface: tasks.xml\n")
    assert err == "nobody else is asked about them for 1,800 seconds (--lease of label init).\n"
    assert '<Choice value="lying"/>' in Path("tasks.xml").read_text()
    tasks = json.loads(Path("tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "https://host/" + tasks[0]["data"]["uid"].replace(" ", "%20")
    for task, choice in zip(tasks, ("lying", OOD, "standing", "bird"), strict=True):
        result = [{"from_name": "choice", "type": "choices", "value": {"choices": [choice]}}]
        task["annotations"] = [{"completed_by": 7, "result": result}]
    Path("project.json").write_text(json.dumps(tasks))
    code, out, err = goodgrain("import", "run", "project.json")
    assert (code, out) == (2, "")
    assert "1 of 4 answers cannot be taken, so none was told: task 4: no class 'bird'" in err
    code, out, err = goodgrain("import", "run", "project.json", "--no-strict")
    assert (code, out) == (0, "3 answers kept, 0 known already, 0 rows without one\n")
    assert err.startswith("left out: task 4: no class 'bird'")


def test_a_round_that_was_closed_and_not_learned_from_says_how_to_go_on(goodgrain):
    begin(goodgrain)
    answer_all()
    with open_session("run") as session:
        session.close_round()  # as a training does that is killed right then
    sentence = (
        "error: round 0 is closed, and nothing has learned from it yet. Go on with `goodgrain label train run`.\n"
    )
    assert goodgrain("ask", "run") == (2, "", sentence)
    words = ("export", "run", "tasks.json", "--label-studio", "--image-url", "x/")
    assert goodgrain(*words) == (2, "", sentence)
    assert goodgrain("train", "run")[0] == 0
    assert goodgrain("ask", "run")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ask", "nowhere"), "nowhere holds no labelling run. Begin one with `goodgrain label init`."),
        (("train", "photos"), "photos holds no labelling run"),
        (("tell", "run"), "an answer is an ID and an ANSWER, or a table of them. Give both words, or --file alone."),
        (("tell", "run", "picture 0.png"), "an answer is an ID and an ANSWER"),
        (("tell", "run", "picture 0.png", "none", "--file", "x.csv"), "an answer is an ID and an ANSWER"),
        (("tell", "run", "picture 0.png", "none"), "item 'picture 0.png' was never asked for"),
        (("tell", "run", "picture 0.png", "lyign"), "no class 'lyign'. Did you mean 'lying'?"),
        (("undo", "run"), "annotator '' has no answer to take back."),
        (("train", "run", "--final"), "training needs answers of at least two classes. Answer some more."),
        (("export", "run", "labels.txt"), "labels.txt is no table"),
        (("export", "run", "x.json", "--label-studio"), "tasks for Label Studio need --image-url, and are no history."),
        (("export", "run", "x.csv", "--label-studio", "--image-url", ""), "Give a name that ends in .json."),
        (("export", "run", "x.csv", "--image-url", "x"), "--image-url means nothing in a table."),
        (("import", "run", "nowhere.json"), "nowhere.json cannot be read"),
        (("serve", "run", "--port", "70000"), "port should be a whole number, 0 to 65535; 70000 came."),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_code_2(goodgrain, words, sentence):
    begin(goodgrain)
    code, out, err = goodgrain(*words)
    assert (code, out) == (2, "")
    assert sentence in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nobody said what the images may be. Give classes (--classes cat,dog), or known labels."),
        (("--classes", "cat"), "there is only one class. Classification needs at least two."),
        (("--classes", "cat,dog", "--strategy", "mqnett"), "no query strategy 'mqnett'. Did you mean 'mqnet'?"),
        (("--classes", "cat,dog", "--budget", "0.5"), "budget=0.5 pays for no answer: one can cost 1."),
        (("--classes", "cat,dog", "--known", "nowhere.csv"), "nowhere.csv cannot be read"),
        (("--classes", "cat,dog", "--target", "head", "--encoder", "none"), "a head is fitted on what an encoder sees"),
        (("--classes", "cat,dog", "--embeddings", "nowhere.npy"), "nowhere.npy cannot be read as embeddings"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder(goodgrain, words, sentence):
    code, out, err = goodgrain("init", "photos", *words, "-o", "refused")
    assert (code, out) == (2, "")
    assert sentence in err
    assert not Path("refused").exists()


def test_a_begun_run_without_a_session_is_begun_again(goodgrain):
    begin(goodgrain)
    for path in Path("run").glob("session.db*"):
        path.unlink()
    code, _, err = goodgrain("ask", "run")
    assert (code, err) == (2, "error: run was begun and has no session yet. Repeat its `goodgrain label init`.\n")
    begin(goodgrain)
    assert goodgrain("ask", "run")[0] == 0


def init_options():
    command = typer.main.get_command(main.app).commands["label"].commands["init"]
    return {option.name: option for option in command.params}


def test_every_choice_of_a_run_is_an_option_with_the_same_default():
    options = init_options()
    for field in dataclasses.fields(LabelConfig):
        assert options[field.name].default == field.default, field.name
    assert options["max_bad"].default == MAX_BAD


def test_the_command_in_the_report_begins_the_same_run(goodgrain, monkeypatch):
    classes = ("lying", 'a "big", standing one')
    names = [name for name in truth() if truth()[name] != OOD]
    with open("known.csv", "w", newline="") as file:
        rows = [(name, classes[CLASSES.index(truth()[name])]) for name in names]
        csv.writer(file).writerows([("id", "label"), *rows])
    np.save("seen.npy", np.random.default_rng(0).normal(size=(36, 4)))
    given = {
        "classes": list(classes),
        "known": "known.csv",
        "embeddings": "seen.npy",
        "image_size": 10,
        "max_bad": 0.5,
        "strategy": "purity_first",
        "balanced": False,
        "flip": False,
        "warm_start": True,
        "target": "head",
        "c_unsure": 0.5,
        "budget": 7.5,
        "seed": 3,
    }
    with Labeling.create("photos", output="run", device="cpu", **given) as run:
        run.finish()
        table = run._run.config
    command = unescape(re.search(r"goodgrain label init [^<]*", Path("run/report.html").read_text())[0])
    told = {}
    with monkeypatch.context() as patch:
        patch.setattr(Labeling, "create", lambda data, **options: told.update(data=data, **options) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            goodgrain(*shlex.split(command)[2:], "-o", "run")
    del told["monitor"], told["output"]
    with Labeling.create(output="again", **told) as run:
        assert run._run.config == table


def test_serve_says_where_and_ctrl_c_ends_it_well(goodgrain):
    begin(goodgrain)
    command = [sys.executable, "-W", "error", "-m", "goodgrain", "label", "serve", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        address = server.stdout.readline().strip()
        place, _, token = address.partition("?token=")
        body = json.dumps({"annotator": "ana", "n": 2}).encode()
        headers = {"X-Goodgrain-Token": token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{place}api/ask", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert len(json.load(reply)["ids"]) == 2
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, "")
    assert err.endswith("stopped; every answer is on disk.\n")
    assert "2 of these being answered" in goodgrain("status", "run")[1]
