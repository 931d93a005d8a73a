"""A run begun, left and taken up again: what comes in, what is refused, and what is the same afterwards."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.pipelines.label_toys import (
    CLASSES,
    KNOWN_PAIR,
    QUICK,
    annotator,
    begin,
    by_head,
    pictures,
    rounds_of,
    seen_as,
    truth_of,
)

import goodgrain
from goodgrain.annotate import OOD, SKIP, drive
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.pipelines.label import label
from goodgrain.pipelines.label_pictures import hint
from goodgrain.pipelines.labeling import Labeling

POOL, TEST = pictures(36), pictures(18, 1)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("log.jsonl", "session.db-shm", "session.db-wal")
    }


def refused(sentence, call, *args, **kwargs):
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    assert sentence in str(error.value)


def test_a_round_without_answers_is_credited_with_nothing(tmp_path):
    with begin(POOL, tmp_path, test=TEST, **QUICK) as run:
        for _ in range(2):
            run.advance()
            drive(run.session, annotator(POOL))
        run.advance()  # and nobody answers
        run.finish()
        seen = run.seen()
        assert [one.spent > 0 for one in seen.rounds] == [True, True, False]
        assert seen.accuracy_after(1) is not None
        assert seen.accuracy_after(2) is None
        assert "last two rounds" not in hint(seen)


def test_what_was_skipped_and_answered_later_teaches_once(tmp_path):
    with begin(POOL, tmp_path, test=TEST, **QUICK) as run:
        run.advance()
        drive(run.session, annotator(POOL))
        run.advance()
        first = run.session.ask(100, annotator="ana").ids
        for name in first:
            run.session.tell(name, SKIP, annotator="ana")
        later = run.advance()
        truth = truth_of(POOL)
        for name in run.session.ask(100, annotator="bob").ids:
            run.session.tell(name, truth[name] if truth[name] in CLASSES else OOD, annotator="bob")
        assert set(first) & set(run.session.answers()), "what was skipped is asked again"
        labels = run.session.labels()[1]
        skipped, answered = (run._rounds.answered(number, labels) for number in (1, later.number))
        assert skipped is None, "the round in which they were skipped learned nothing"
        assert len(answered.losses) == 6


@pytest.mark.parametrize("head", [True, False])
def test_the_same_call_again_does_nothing_new(tmp_path, head):
    arguments = by_head(POOL, seed=1) if head else {**QUICK, "seed": 1}
    first = label(POOL, annotator(POOL), output=tmp_path, rounds=3, **arguments)
    before = contents(tmp_path)

    def nobody(name):
        raise AssertionError(f"{name} was asked for again")

    second = label(POOL, nobody, output=tmp_path, rounds=3, **arguments)
    assert second.metrics == first.metrics
    assert contents(tmp_path) == before
    third = label(POOL, annotator(POOL), output=tmp_path, rounds=4, **arguments)
    assert third.metrics["rounds"][:3] == first.metrics["rounds"]
    assert len(third.metrics["rounds"]) == 4


def test_the_last_model_is_what_load_gives(tmp_path):
    label(POOL, annotator(POOL), output=tmp_path, rounds=2, **{**QUICK, "seed": 1, "steps": 40, "flip": False})
    assert {path.stem for path in (tmp_path / "models").iterdir()} == {"round-001", "round-002"}
    model, last = (goodgrain.load(tmp_path, device="cpu", **which) for which in ({}, {"which": "round-002"}))
    np.testing.assert_array_equal(model.probabilities(TEST), last.probabilities(TEST))
    first = goodgrain.load(tmp_path, device="cpu", which="round-001")
    assert np.abs(first.probabilities(TEST) - last.probabilities(TEST)).max() > 1e-4
    assert set(model.predict(TEST)) <= set(CLASSES)


def test_a_class_for_ood_is_no_class_of_the_test(tmp_path):
    arguments = {**QUICK, "ood_answers": "class", "test": TEST, "steps": 20, "seed": 1, "flip": False}
    result = label(POOL, annotator(POOL), output=tmp_path, rounds=2, **arguments)
    model = goodgrain.load(tmp_path, device="cpu")
    assert model.classes == (*CLASSES, OOD)
    own = TEST.subset(np.flatnonzero(TEST.labels < 2))
    among = model.probabilities(own)[:, :2].argmax(axis=1)
    assert result.metrics["rounds"][-1]["accuracy"] == np.mean(among == own.labels)
    assert result.metrics["test"] == 12


def test_test_images_are_matched_by_the_names_of_classes(tmp_path):
    """In the test set the classes come in another order, beside one that the run lacks."""
    names = ["slanted", "standing", "lying"]
    order = np.array([2, 1, 0])  # lying, standing, slanted under those names
    other = TEST.with_labels(order[TEST.labels], classes=names)
    found = []
    for number, test in enumerate((TEST, other)):
        given = by_head(POOL, test=test, test_embeddings=seen_as(TEST), seed=1)
        result = label(POOL, annotator(POOL), output=tmp_path / str(number), rounds=2, **given)
        assert result.metrics["test"] == 12
        found.append([one["accuracy"] for one in result.metrics["rounds"]])
    assert found[0] == found[1]
    assert None not in found[0]
    strange = TEST.with_labels(TEST.labels, classes=["x", "y", "z"])
    refused(
        "no test image has one of the classes lying, standing; the test set has x, y, z. Both should name classes",
        begin, POOL, tmp_path / "run", **by_head(POOL, test=strange, test_embeddings=seen_as(TEST)),
    )  # fmt: skip


def test_images_that_no_training_could_take_are_refused_before_anybody_answers(tmp_path):
    wide = Pool.from_arrays(np.zeros((9, 8, 12), np.uint8), np.arange(9) % 2)
    arguments = {"classes": ["0", "1"], "output": tmp_path / "run"}
    refused(
        "encoder csi turns images by quarters, so they should be square; these are 8 x 12. Give image_size=8",
        Labeling.create, wide, **arguments,
    )  # fmt: skip
    refused(
        "the test images come as (8, 12, 1) (height, width, channels), the data as (12, 12, 1). Bring both into one",
        Labeling.create, POOL, classes=["0", "1"], output=tmp_path / "run", test=wide, encoder="none",
    )  # fmt: skip
    assert not (tmp_path / "run").exists()
    given = {"embeddings": seen_as(POOL), "target": "head"}  # here nobody looks at pixels
    blank = Pool.from_arrays(np.zeros((18, 8, 12), np.uint8), TEST.labels, classes=TEST.classes)
    with begin(POOL, tmp_path, **QUICK, **given, test=blank, test_embeddings=seen_as(TEST)) as run:
        rounds_of(run, annotator(POOL), 1)


def test_a_refused_embedding_leaves_the_run_free(tmp_path):
    """An error on the way in keeps no lock."""
    arguments = by_head(POOL)
    begin(POOL, tmp_path, **arguments).close()
    refused("embeddings", begin, POOL, tmp_path, **{**arguments, "embeddings": np.zeros((3, 2))})
    refused("embeddings", Labeling.open, tmp_path, data=POOL, embeddings=np.zeros((3, 2)))
    begin(POOL, tmp_path, **arguments).close()


def test_opening_again(tmp_path):
    arguments = by_head(POOL, seed=1, known=KNOWN_PAIR)
    with begin(POOL, tmp_path, **arguments) as run:
        asked = rounds_of(run, annotator(POOL), 1)
    given = {"data": POOL, "embeddings": arguments["embeddings"], "device": "cpu"}
    with Labeling.open(tmp_path, **given) as run:
        assert run.session.classes == CLASSES
        assert rounds_of(run, annotator(POOL), 2)[:1] == asked
    with begin(POOL, tmp_path / "whole", **arguments) as whole:
        rounds_of(whole, annotator(POOL), 3)
        same = whole.session.answers()
    with Labeling.open(tmp_path, **given) as run:
        rows = {one.id: one.answer for one in run.session.history()}
        assert rows == same
    refused(
        "this run was begun with data in memory (Pool in memory). Give the same again as data=.",
        Labeling.open, tmp_path, embeddings=arguments["embeddings"],
    )  # fmt: skip
    refused(
        "this run was begun with embeddings in memory (ndarray in memory). Give the same again as embeddings=.",
        Labeling.open, tmp_path, data=POOL,
    )  # fmt: skip
    changed = pictures(36, 5)
    refused(
        "the images of data are not those that this run was begun with. Bring them back, or begin a new run with "
        "their labels as known labels.",
        Labeling.open, tmp_path, **{**given, "data": changed},
    )  # fmt: skip


def test_a_folder_is_read_again_by_itself(tmp_path):
    from PIL import Image

    data, kept = tmp_path / "data", {}
    for row, name in enumerate(POOL.ids.tolist()):
        path = data / f"{name.replace(' ', '-')}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(POOL.images([row])[0, :, :, 0]).save(path)
        kept[path.name] = truth_of(POOL)[name]
    for row, name in enumerate(TEST.ids.tolist()):
        path = tmp_path / "test" / truth_of(TEST)[name] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(TEST.images([row])[0, :, :, 0]).save(path)
    arguments = {**QUICK, "test": tmp_path / "test", "seed": 1, "output": tmp_path / "run", "image_size": 12}
    with Labeling.create(data, **arguments) as run:
        run.advance()
        drive(run.session, lambda name: OOD if kept[name] == "slanted" else kept[name])
        assert run.session.item("picture-0.png").path == "picture-0.png"
    with Labeling.open(tmp_path / "run", device="cpu") as run:
        assert run.finish()["rounds"][0]["accuracy"] is not None
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"goodgrain label init {data} --classes lying,standing" in report
    (data / "picture-3.png").unlink()
    refused("the images of data are not those that this run was begun with", Labeling.open, tmp_path / "run")


def test_what_is_no_labelling_run(tmp_path):
    refused("holds no labelling run. Begin one with `goodgrain label init`.", Labeling.open, tmp_path)
    (tmp_path / "config.toml").write_text('job = "embed"\n')
    refused("holds a run of another job (embed). Give a labelling run.", Labeling.open, tmp_path)
    (tmp_path / "config.toml").write_text("job = \n")
    refused("config.toml cannot be read: ", Labeling.open, tmp_path)


def test_another_configuration_in_the_same_folder_is_refused(tmp_path):
    arguments = by_head(POOL)
    begin(POOL, tmp_path, **arguments).close()
    for changes, sentence in (
        ({"strategy": "conf"}, "holds another run: its label.strategy is 'mqnet', this one asks for 'conf'"),
        ({"budget": 7}, "holds another run: its label.budget is 6, this one asks for 7"),
        ({"classes": ("standing", "lying")}, "holds another run: its classes is ['lying', 'standing'], this one asks"),
        ({"known": KNOWN_PAIR}, "holds another run: its known is nothing, this one asks for '3 labels in memory'"),
    ):
        refused(sentence, begin, POOL, tmp_path, **{**arguments, **changes})
    refused("holds another run: its fingerprint.data is", begin, pictures(36, 5), tmp_path, **arguments)
    other = {**arguments, "embeddings": arguments["embeddings"] + 1}
    refused("holds another run: its fingerprint.embeddings is", begin, POOL, tmp_path, **other)
    given = {name: arguments[name] for name in ("embeddings", "test_embeddings", "test") if name in arguments}
    given["embeddings"] = other["embeddings"]
    sentence = "the embeddings are not those that this run was begun with. Bring them back"
    refused(sentence, Labeling.open, tmp_path, data=POOL, **given)


def test_a_second_process_is_refused(tmp_path):
    arguments = by_head(POOL)
    with begin(POOL, tmp_path, **arguments):
        refused("open already", begin, POOL, tmp_path, **arguments)
        script = (
            "import sys\nfrom goodgrain.annotate import Session\nfrom goodgrain.errors import InputError\n"
            "try:\n    Session.open(sys.argv[1])\nexcept InputError as reason:\n    print(reason)"
        )
        done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
        assert "open already" in done.stdout


def test_the_log_tells_what_was_done(tmp_path):
    label(POOL, annotator(POOL), output=tmp_path, rounds=2, **by_head(POOL, seed=1))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["round"]) for line in lines] == [
        ("asked", 0), ("trained", 1), ("asked", 1), ("trained", 2),
    ]  # fmt: skip
