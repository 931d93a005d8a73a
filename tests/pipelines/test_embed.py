import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

import goodgrain
from conftest import QUICK
from goodgrain.data.pool import Pool
from goodgrain.data.views import strong, to_pixels
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import Standard, fit, observe
from goodgrain.learn.streams import stream_seed
from goodgrain.observations import Observations
from goodgrain.pipelines.embed import embed


def means(images):
    """Features (b, w): the mean of each column of pixels."""
    return images.mean(axis=(1, 3))


def sums(images):
    return images.sum(axis=(1, 3))


class Named:
    """A trained model that knows three animals and is sure of what the first pixel says."""

    device, flip = torch.device("cpu"), True

    def __init__(self, classes):
        self.classes = classes

    def infer(self, pixels):
        sure = torch.full((len(pixels), 3), 0.25)
        sure[:, 0] = 0.5
        return sure.log(), pixels.flatten(1)[:, :2]


def noise(n, classes=("dog", "cat"), size=4):
    images = np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)
    return Pool.from_arrays(images, np.arange(n) % len(classes), classes=classes)


def test_images_without_any_label_in_a_folder_without_any_order(tmp_path):
    pool = noise(6)
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    names = ["0.png", "1.png", "deep/2.png", "deep/3.png", "x.png", "y.png"]
    for row, name in enumerate(names):
        Image.fromarray(pool.images([row])[0, ..., 0]).save(tmp_path / "photos" / name)
    seen = embed(tmp_path / "photos", model=means, output=tmp_path / "seen", labeled=False, image_size=4)
    assert seen.columns == ("ids", "features")
    assert seen.ids.tolist() == names
    np.testing.assert_allclose(seen.features, means(pool.images(np.arange(6))), rtol=1e-6)
    with pytest.raises(InputError, match="holds neither class folders"):
        embed(tmp_path / "photos" / "deep", model=means, output=tmp_path / "other")


def test_what_a_function_returns_and_what_a_probe_adds(pools, tmp_path):
    pool, _ = pools
    seen = embed(pool, model=means, output=tmp_path / "seen")
    assert seen.columns == ("ids", "labels", "probabilities", "features", "losses")
    assert seen.ids.tolist() == pool.ids.tolist()
    np.testing.assert_allclose(seen.features, means(pool.images(np.arange(len(pool)))), rtol=1e-6)
    given = seen.probabilities[np.arange(len(pool)), pool.labels]
    np.testing.assert_allclose(seen.losses, -np.log(given), rtol=1e-5)
    kept = goodgrain.prune(observations=tmp_path / "seen", keep=9, output=tmp_path / "alone")
    assert len(kept.ids) == 9
    kept = goodgrain.prune(pool, observations=seen, keep=9, output=tmp_path / "run", **{**QUICK, "epochs": 0})
    assert set(kept.ids.tolist()) <= set(pool.ids.tolist())


def test_a_trained_learner_sees_what_observe_sees(pools, tmp_path):
    pool, _ = pools
    learner = Standard(flip=False)
    fit(learner, pool, epochs=1, seed=0, device="cpu")
    seen = embed(pool, model=learner, output=tmp_path / "seen", batch_size=40)
    expected = observe(learner, pool, seed=0, strong=False)
    assert seen.columns == expected.columns
    for name in ("probabilities", "features", "losses"):
        np.testing.assert_allclose(getattr(seen, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


def test_a_run_is_a_model(pools, tmp_path):
    pool, _ = pools
    run = goodgrain.prune(pool, keep=30, output=tmp_path / "run", **QUICK)
    seen = embed(pool, model=run.folder, output=tmp_path / "seen", device="cpu")
    assert seen.probabilities.shape == (150, 3)
    assert seen.features.shape == (150, 96)


def test_strong_views_are_averaged(pools, tmp_path):
    pool, _ = pools
    seen = embed(pool, model=means, output=tmp_path / "seen", views=2, flip=False, seed=5, batch_size=150)
    pixels, view = to_pixels(pool.images(np.arange(150))), strong((12, 12), flip=False)
    each = [view(pixels.clone(), stream_seed(5, "strong", number, 0)).mean(dim=(1, 2)) for number in range(2)]
    np.testing.assert_allclose(seen.strong_features, 255 * (each[0] + each[1]) / 2, atol=0.5)  # pixels are rounded
    assert seen.strong_probabilities.shape == (150, 3)
    assert not np.allclose(seen.strong_probabilities, seen.probabilities)


def test_length_one(tmp_path):
    seen = embed(noise(8), model=lambda x: means(x) * [[1, 0, 0, 0]] * (x[:, :1, 0, 0] > 99), output=tmp_path / "seen",
                 normalize=True, probe=False)  # fmt: skip
    assert set(np.linalg.norm(seen.features, axis=1).tolist()) <= {0.0, 1.0}
    assert seen.columns == ("ids", "labels", "features")


@pytest.mark.parametrize(
    ("knows", "classes", "expected"),
    [
        (("owl", "cat", "dog"), ("cat", "dog", "owl"), [0.25, 0.25, 0.5]),  # by name, in the order of the data
        (("owl", "cat", "dog"), ("dog", "owl"), [1 / 3, 2 / 3]),  # given that it is one of the two
        (("owl", "cat", "dog"), ("0", "1", "2"), [0.5, 0.25, 0.25]),  # the data only number their classes
        (None, ("cat", "dog", "owl"), [0.5, 0.25, 0.25]),  # the model does
    ],
)
def test_probabilities_are_those_of_the_datas_classes(tmp_path, knows, classes, expected):
    seen = embed(noise(12, classes), model=Named(knows), output=tmp_path / "seen")
    np.testing.assert_allclose(seen.probabilities, [expected] * 12, rtol=1e-5)


@pytest.mark.parametrize(("knows", "classes"), [(("owl", "cat", "dog"), ("cat", "cow", "dog")), (None, ("a", "b"))])
def test_a_model_of_other_classes_gives_way_to_the_probe(tmp_path, knows, classes):
    seen = embed(noise(12, classes), model=Named(knows), output=tmp_path / "seen")
    forced = embed(noise(12, classes), model=Named(knows), output=tmp_path / "forced", probe=True)
    np.testing.assert_array_equal(seen.probabilities, forced.probabilities)
    assert (
        "probabilities" not in embed(noise(12, classes), model=Named(knows), output=tmp_path / "n", probe=False).columns
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"batch_size": 0}, InputError, "batch_size should be a whole number, at least 1"),
        ({"batchsize": 1}, UnknownName, "no argument of embed 'batchsize'. Did you mean 'batch_size'?"),
        ({"model": 7}, InputError, "model should be a name, a function or a trained learner; a int came"),
        ({"model": lambda x: means(x) * np.where(x[:, :1, 0, 0] == 255, np.nan, 1)}, InputError, "has NaN or infinite"),
        ({"model": lambda x: np.ones((len(x), len(x)))}, InputError, "the same columns are needed for every batch"),
    ],
)
def test_what_cannot_work(tmp_path, arguments, kind, sentence):
    images = noise(30).images(np.arange(30))
    images[7, 0, 0] = 255
    pool = Pool.from_arrays(images, np.arange(30) % 2)
    with pytest.raises(kind) as error:
        embed(pool, **{"model": means, "output": tmp_path / "seen", "batch_size": 20, **arguments})
    assert sentence in str(error.value)


def test_features_that_are_no_numbers_are_found_by_name(pools, tmp_path):
    class Broken(Named):
        def infer(self, pixels):
            log_probabilities, features = super().infer(pixels)
            features[3] = torch.nan
            return log_probabilities, features

    with pytest.raises(InputError, match="NaN or infinite for 1 of 64 examples .* the first is 'picture 3.png'"):
        embed(pools[0], model=Broken(None), output=tmp_path / "seen")


def contents(folder):
    left = {path.name for path in folder.iterdir()}
    return {name: (folder / name).read_bytes() for name in left - {"log.jsonl", ".lock"}}


class Look:
    """Counts what it was asked, and gives up when it was asked too often."""

    def __init__(self, most):
        self.asked, self.most = [], most

    def __call__(self, images):
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append(len(images))
        return means(images)


def test_a_stopped_run_continues_and_asks_nothing_twice(tmp_path):
    pool = noise(2500)
    whole, stopped, again, nothing = Look(9), Look(3), Look(9), Look(0)
    embed(pool, model=whole, output=tmp_path / "whole", batch_size=500)
    with pytest.raises(KeyboardInterrupt):
        embed(pool, model=stopped, output=tmp_path / "seen", batch_size=500)
    embed(pool, model=again, output=tmp_path / "seen", batch_size=500)
    embed(pool, model=nothing, output=tmp_path / "seen", batch_size=500)
    assert (whole.asked, stopped.asked, again.asked) == ([500] * 5, [500] * 3, [500] * 3)  # parts of two batches
    assert contents(tmp_path / "seen") == contents(tmp_path / "whole")


@pytest.mark.parametrize("moves", [0, 1, 4])
def test_a_run_that_stops_while_the_observations_appear(tmp_path, monkeypatch, moves):
    pool, replace, left = noise(50), os.replace, [moves]

    def stopping(source, target):
        if "whole" in os.fspath(source) and os.path.dirname(target) == str(tmp_path / "seen"):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        replace(source, target)

    embed(pool, model=means, output=tmp_path / "whole")
    monkeypatch.setattr("os.replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        embed(pool, model=means, output=tmp_path / "seen")
    with pytest.raises(InputError, match="holds no observations"):
        Observations.read(tmp_path / "seen")
    monkeypatch.undo()
    embed(pool, model=means, output=tmp_path / "seen")
    assert contents(tmp_path / "seen") == contents(tmp_path / "whole")


def test_a_folder_of_another_job_is_refused(pools, tmp_path):
    embed(pools[1], model=means, output=tmp_path / "seen")
    before = contents(tmp_path / "seen")
    for arguments, sentence in (
        ({"seed": 1}, "holds another run: its embed.seed is 0, this one asks for 1"),
        (
            {"model": sums},
            "holds another run: its model is 'means in memory', this one asks for 'sums in m",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            embed(pools[1], **{"model": means, "output": tmp_path / "seen", **arguments})
    with pytest.raises(InputError, match="holds another run: its classes is"):
        embed(noise(60), model=means, output=tmp_path / "seen")
    assert contents(tmp_path / "seen") == before


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pipelines.test_embed import Look, embed, noise

class Killed(Look):
    def __call__(self, images):
        if len(self.asked) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(images)

Killed.__name__ = "Look"
embed(noise(2500), model=Killed(9), output=sys.argv[1], views=1, batch_size=500)
"""


def test_killed_and_continued_gives_the_same_bytes(tmp_path):
    script = SCRIPT.format(tests=os.path.dirname(os.path.dirname(__file__)))
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "killed")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "schema.json").exists()
    for name in ("killed", "whole"):
        embed(noise(2500), model=Look(99), output=tmp_path / name, views=1, batch_size=500)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    columns = {f"{name}.npy" for name in Observations.read(tmp_path / "whole").columns}
    assert set(contents(tmp_path / "whole")) == {"config.toml", "schema.json", *columns}


def test_memory_grows_with_a_part_and_not_with_the_data(tmp_path):
    n, width = 40_000, 384  # 61 MB of features
    pool = Pool.from_arrays(np.zeros((n, 1, 1), np.uint8), np.arange(n) % 2)
    tracemalloc.start()
    embed(pool, model=lambda x: np.ones((len(x), width), np.float32), output=tmp_path / "seen", batch_size=512,
          probe=False)  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 45e6
