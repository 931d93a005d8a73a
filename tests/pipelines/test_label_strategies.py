"""Every strategy and every purity goes through the whole loop, on a network and where it can on a head."""

import json

import pytest
from tests.pipelines.label_toys import CLASSES, QUICK, annotator, by_head, pictures

import goodgrain
from goodgrain.errors import InputError
from goodgrain.learn.detect import DETECTORS
from goodgrain.pipelines.label import label
from goodgrain.pipelines.label_config import SPACE_PURITIES
from goodgrain.select.standing import INFORMATIVENESS
from goodgrain.select.strategies import STRATEGIES

POOL, TEST = pictures(36), pictures(12, 1)
ENCODED = {"encoder": "csi", "encoder_epochs": 1}


def run(folder, **arguments):
    result = label(POOL, annotator(POOL), output=folder, rounds=3, test=TEST, **{**QUICK, "seed": 1, **arguments})
    assert [one["answered"] for one in result.metrics["rounds"]] == [6, 6, 6]
    assert [one["strategy"] for one in result.metrics["rounds"]][1:] == [result.metrics["strategy"]] * 2
    assert [one["accuracy"] is None for one in result.metrics["rounds"]] == [False] * 3
    assert json.loads((folder / "metrics.json").read_text()) == result.metrics
    assert result.report.read_text().startswith("<!doctype html>")
    return result


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_on_a_network(tmp_path, strategy):
    run(tmp_path, strategy=strategy, **(ENCODED if strategy == "ccal" else {}))
    model = goodgrain.load(tmp_path, device="cpu")
    assert set(model.predict(POOL)) <= set(CLASSES)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in ("ll", "ccal")])
def test_every_strategy_on_a_head(tmp_path, strategy):
    run(tmp_path, **by_head(POOL, strategy=strategy, test_embeddings=by_head(TEST)["embeddings"]))
    with pytest.raises(InputError, match=r"round-003.safetensors is the head of a labelling run: it knows embeddings"):
        goodgrain.load(tmp_path)


def test_ccal_on_a_head(tmp_path):
    run(tmp_path, target="head", strategy="ccal", **ENCODED)


@pytest.mark.parametrize("purity", [*SPACE_PURITIES, *DETECTORS])
def test_every_purity_on_a_network(tmp_path, purity):
    encoder = ENCODED if purity == "csi" else {}
    result = run(tmp_path, purity=purity, **encoder)
    assert (tmp_path / "rounds/002-meta.safetensors").exists()
    assert result.metrics["hint"]


@pytest.mark.parametrize("purity", [*(name for name in SPACE_PURITIES if name != "csi"), "msp", "energy"])
def test_every_purity_on_a_head(tmp_path, purity):
    given = by_head(TEST)["embeddings"]
    run(tmp_path, **by_head(POOL, purity=purity, test_embeddings=given))


@pytest.mark.parametrize("informativeness", INFORMATIVENESS)
def test_every_informativeness(tmp_path, informativeness):
    run(tmp_path, informativeness=informativeness)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"classes": ["lying"]}, "there is only one class. Classification needs at least two."),
        (
            {"target": "head", "encoder": "none"},
            "a head is fitted on what an encoder sees. Give embeddings, or encoder csi.",
        ),
        ({"strategy": "ccal"}, "ccal compares an image's rotations, which only encoder csi sees. Use that."),
        (by_head(POOL, strategy="ccal"), "ccal compares an image's rotations, which only encoder csi sees. Use that."),
        ({"purity": "csi"}, "purity csi asks encoder csi about rotations. Use that, or purity nearest_in."),
        (by_head(POOL, purity="csi"), "purity csi asks encoder csi about rotations. Use that, or purity nearest_in."),
        (by_head(POOL, purity="react"), "purity react asks a network for more than a head can tell."),
        (by_head(POOL, ood_answers="taufe"), "TAUFE acts on features, and under a head they stay as they are."),
        (by_head(POOL, strategy="ll"), "ll predicts losses from a network's maps, and a head has none."),
        (
            by_head(POOL, test=TEST),
            "the test images need embeddings of the same encoder. Give test_embeddings.",
        ),
        ({"model": "smal"}, "no network 'smal'. Did you mean 'small'?"),
        ({"classes": None}, "nobody said what the images may be. Give classes (--classes cat,dog), or known labels."),
        ({"classes": ["lying", "lying"]}, "the class 'lying' comes twice"),
        ({"known": {"nobody": "lying"}}, "known names 'nobody', which is no item. Give labels of items only."),
        ({"known": {"picture 0.png": "lyin"}}, "no class 'lyin'. Did you mean 'lying'?"),
        ({"budget": 0.5}, "budget=0.5 pays for no answer: one can cost 1. Give at least that much."),
        (by_head(POOL, embeddings=by_head(TEST)["embeddings"]), "embeddings"),
        (by_head(POOL, test=TEST, test_embeddings=[[0.0] * 6]), "test_embeddings"),
    ],
)
def test_what_no_round_could_work_with_leaves_no_folder(tmp_path, arguments, sentence):
    with pytest.raises((InputError, goodgrain.errors.UnknownName)) as error:
        label(POOL, annotator(POOL), output=tmp_path / "run", rounds=1, **{**QUICK, **arguments})
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists()
