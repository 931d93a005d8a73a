"""What the report of a training run is told: the command that repeats the run, and what its penalties measure."""

import shlex

import pytest
import typer
from tests.pipelines.test_train import ASKED, dotted, images, strangers
from tests.report.reading import figures, table

import goodgrain
from goodgrain.cli import main
from goodgrain.cli.train import summary
from goodgrain.pipelines import compare_ood, train, train_steps
from goodgrain.pipelines.train_config import BRIEF
from goodgrain.pipelines.train_inputs import check_config, named
from goodgrain.pipelines.train_report import _command
from goodgrain.run import RunFolder

USUAL = {
    "class_names": None,
    "image_size": None,
    "label_column": None,
    "image_column": None,
    "id_column": None,
    "max_bad": 0.01,
}
READING = {
    "class_names": ["lying cat", "dog's"],
    "image_size": 12,
    "label_column": "what is it",
    "image_column": "bytes",
    "id_column": "id",
    "max_bad": 0.25,
}
SOURCES = ["unrelated things", "o2.npz"]


class Parsed(Exception):
    """What the command line would have called."""


@pytest.fixture
def parsed(monkeypatch):
    """Gives the arguments that the real command line makes of a printed command."""

    def caught(data, *sources, **options):
        raise Parsed({"data": str(data), **({"ood": sources[0]} if sources else {}), **options})

    def call(command):
        program, *words = shlex.split(command)
        assert program == "goodgrain"
        with monkeypatch.context() as patch:
            patch.setattr(train, "train", caught)
            patch.setattr(compare_ood, "compare_ood", caught)
            with pytest.raises(Parsed) as found:
                typer.main.get_command(main.app)(words, standalone_mode=False)
        (told,) = found.value.args
        assert list(map(str, told.pop("ood"))) == SOURCES
        return {name: value for name, value in told.items() if name not in ("monitor", "output", "device")}

    return call


def printed(folder, asked, *flags, **reading):
    """The command of a run's report, from the config that its folder keeps."""
    kept = {"data": "my photos", "ood": named(SOURCES), **USUAL, **reading, "train": asked.table()}
    with RunFolder(folder, kept) as run:
        return _command(run.config, flags)


@pytest.mark.parametrize("reading", [{}, *({name: value} for name, value in READING.items()), READING])
def test_the_printed_command_reads_the_images_the_same_way(tmp_path, parsed, reading):
    frame = {"test": "my test.parquet", "box_frame": (64, 48)}
    told = parsed(printed(tmp_path / "a", check_config({}), **frame, **reading))
    expected = {**USUAL, **reading}
    assert {name: told[name] for name in expected} == expected
    assert (told["data"], str(told["test"]), told["box_frame"]) == ("my photos", "my test.parquet", (64, 48))
    told = parsed(
        printed(tmp_path / "b", check_config({"method": "standard", "compare": ()}), "--compare-ood", **reading)
    )
    assert {name: told[name] for name in expected} == expected


def test_what_is_usual_is_not_printed(tmp_path):
    assert printed(tmp_path, check_config({})) == "goodgrain train 'my photos' --ood 'unrelated things' --ood o2.npz"


@pytest.mark.parametrize(
    "given",
    [
        {"method": "oat", "compare": (), "weight": 0.5, "flip": False, "repeats": 3, "precision": "bf16"},
        {"compare": ("standard", "oat"), "few_shot": 20, "ood_weights": {"unrelated things": 2.0}, "layer": "maps"},
        {"recipe": "cifar"},
        {"recipe": "cifar", "model": "small", "epochs": 100},  # the house's own, which the recipe would replace
        {"recipe": "imagenet10", "epochs": 7},
    ],
)
def test_the_printed_command_asks_the_same_training(tmp_path, parsed, given):
    asked = check_config(given)
    told = parsed(printed(tmp_path, asked))
    known = {name: value for name, value in told.items() if name in asked.table()}
    assert check_config(known) == asked


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"epochs": 5},
        {"epochs": 100},
        {"recipe": "cifar", "lr": 0.5, "few_shot": 20},
        {"model": "resnet18", "near": 1.0},
    ],
)
def test_the_printed_command_asks_the_same_comparison_of_ood_sets(tmp_path, parsed, given):
    # As `compare_ood` makes it of its arguments.
    fixed = {"method": "standard", "compare": (), "epochs": BRIEF}
    asked = check_config({**fixed, **given})
    told = parsed(printed(tmp_path, asked, "--compare-ood"))
    known = {name: value for name, value in told.items() if name in asked.table()}
    assert check_config({**fixed, **known}) == asked


def page_of(folder, **asked):
    sources = {"ood": strangers(), "test": images(20, seed=1), "output": folder}
    return goodgrain.train(images(48), **sources, **{**ASKED, "epochs": 1, **asked}).report.read_text()


def test_accuracy_under_attack_comes_into_the_table(tmp_path, monkeypatch):
    shares = iter([0.25, 0.125])
    monkeypatch.setattr(train_steps, "adversarial_accuracy", lambda *_, **__: next(shares))
    page = page_of(tmp_path / "run", learner="adversarial")
    scores = table(page, "mean ± standard deviation over seeds.</caption>")
    column = scores[0].index("Accuracy under PGD (%)")
    assert [row[column] for row in scores[1:]] == ["25.0", "12.5"]
    assert "Accuracy under PGD: on 20 test images after an attack of 100 steps." in page


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        ({"compare": ("oat",)}, ["mean square of a feature", "cross-entropy to uniform, nats"]),
        ({"compare": (), "penalty": "relative"}, ["mean square of a feature, target's = 1"]),
        ({"compare": (), "model": dotted("flat")}, ["mean square of a feature, target's = 1"]),
        ({"compare": (), "layer": "maps"}, ["mean square of a feature before the pooling"]),
    ],
)
def test_penalties_are_told_with_their_unit(tmp_path, asked, units):
    page = page_of(tmp_path / "run", **asked)
    layout = figures(page)[0]["layout"]
    axes = [axis for name, axis in layout.items() if name.startswith("yaxis")]
    assert [axis["title"]["text"] for axis in axes if "title" in axis] == units
    width = goodgrain.load(tmp_path / "run", which="taufe-0", trust_code=True).networks.members[0][1].head.in_features
    assert f"a sum over the d = {width} features of an image" in page


def test_a_line_per_method_has_the_mean_of_the_repeats_shares_and_its_spread():
    # 193.8 / 67.7 = 286 % and 133.9 / 486.5 = 28 %; of the means it would be 59 %
    entry = {"method": "taufe", "activation": [67.7, 486.5], "ood_activation": [193.8, 133.9]}
    told = summary({"methods": [entry], "ood_copies_left_out": {}})
    assert told == ["taufe: response to OOD images 157 ± 183 % of that to the target"]
    entry = {"method": "taufe", "activation": [67.7], "ood_activation": [193.8]}
    told = summary({"methods": [entry], "ood_copies_left_out": {}})
    assert told == ["taufe: response to OOD images 286 % of that to the target"]
