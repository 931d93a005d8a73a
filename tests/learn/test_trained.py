import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import QUICK
from tests.learn.toys import blobs
from tests.pictures import class_folders, picture

from goodgrain.data.images import FileSource
from goodgrain.data.pool import UNLABELED, Pool
from goodgrain.data.read import read
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import Standard, fit, observe, predict
from goodgrain.learn.model_file import save_model
from goodgrain.learn.trained import load
from goodgrain.metrics import accuracy
from goodgrain.pipelines.prune import prune


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A learner on 12 x 10 colour images, its pool, and the model loaded from its file."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
    pool = Pool.from_arrays(images, np.arange(40) % 2, classes=["rye", "wheat"])
    learner, path = Standard(flip=False), tmp_path_factory.mktemp("models") / "one.safetensors"
    fit(learner, pool, epochs=2, seed=0, device="cpu")
    save_model(path, learner, pool)
    return learner, pool, load(path, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory, pools):
    """A pruning run on two budgets with a comparison."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train, test = pools
    prune(train, keep=[0.4, 0.2], output=folder, test=test, compare=("uniform",), device="cpu", **QUICK)
    return folder


def fitted(image):
    """What a pool of 12 x 10 colour images makes of an image, as a batch of one."""
    return np.array(image.convert("RGB").resize((10, 12), Image.Resampling.BILINEAR))[None]


def files_as_pool(paths):
    """Files as a pool that reads them at another size and without colour."""
    source = FileSource(paths[0].parent, tuple(path.name for path in paths))
    ids = np.array([path.name for path in paths])
    return Pool(ids, np.full(len(paths), UNLABELED), ("rye", "wheat"), source, (24, 20, 1))


def test_answers_are_those_of_the_learner_for_images_of_every_kind(colour, tmp_path):
    learner, pool, model = colour
    arrays = pool.images(np.arange(40))
    wanted, features = predict(learner, pool)
    names = [pool.classes[label] for label in wanted.argmax(axis=1)]
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    for images in (
        pool,
        arrays,
        torch.from_numpy(arrays),
        list(arrays),
        [Image.fromarray(array) for array in arrays],
        paths,
        [str(path) for path in paths],
        (path for path in paths),
        files_as_pool(paths),
    ):
        assert np.array_equal(model.probabilities(images), wanted)
    assert model.predict(pool).tolist() == names
    assert np.array_equal(model.features(arrays), features)
    for one in (paths[3], str(paths[3]), Image.fromarray(arrays[3]), arrays[3:4]):
        np.testing.assert_allclose(model.probabilities(one), wanted[3:4], atol=1e-6)


def test_other_sizes_and_colours_are_fitted_as_a_pool_would(colour, tmp_path):
    learner, _, model = colour
    wide, gray = picture(1, size=(30, 50)), picture(2, size=(12, 10), mode="L")
    wide.save(tmp_path / "wide.png")
    answers = model.probabilities([tmp_path / "wide.png", np.asarray(wide), gray])
    for answer, image in zip(answers, (wide, wide, gray), strict=True):
        expected = learner.infer(to_pixels(fitted(image)))[0].exp()
        np.testing.assert_allclose(answer[None], expected, atol=1e-6)
    np.testing.assert_allclose(model.probabilities(np.asarray(gray)[None]), answers[2:], atol=1e-6)
    turned = picture(3)
    exif = turned.getexif()
    exif[0x0112] = 3  # lies upside down
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(turned)[::-1, ::-1]
    for image in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        np.testing.assert_allclose(model.probabilities(image), model.probabilities(upright[None].copy()), atol=1e-6)


def test_a_dataset_of_another_size_is_read_from_its_originals(colour, tmp_path):
    _, _, model = colour
    pool = read(class_folders(tmp_path / "photos"), image_size=6)
    files = [tmp_path / "photos" / name for name in pool.ids]
    assert np.array_equal(model.probabilities(pool), model.probabilities(files))


def test_images_are_asked_in_batches_of_any_number(colour, monkeypatch):
    _, pool, model = colour
    whole = model.probabilities(pool)
    for size in (7, 40):
        monkeypatch.setattr("goodgrain.learn.any_images._BATCH", size)
        np.testing.assert_allclose(model.probabilities(pool), whole, atol=1e-6)
        np.testing.assert_allclose(model.probabilities(pool.images(np.arange(40))), whole, atol=1e-6)


def test_a_loaded_model_can_observe(colour):
    learner, pool, model = colour
    ours, theirs = observe(model, pool, seed=3), observe(learner, pool, seed=3)
    for column in theirs.columns:
        assert np.array_equal(getattr(ours, column), getattr(theirs, column)), column
    with pytest.raises(
        InputError, match=r"images of shape \(3, 12, 10\) .* \(1, 8, 8\) came. .* image_size=\(12, 10\)"
    ):
        observe(model, blobs(), seed=3)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((2, 12, 10, 3)), r"uint8 arrays of shape \(n, h, w\), .* float64 of shape \(2, 12, 10, 3\) came"),
        (np.zeros((12, 10, 3), np.uint8), r"taken for one colour image. Give images\[None\]"),
        (np.zeros((12, 10), np.uint8), r"uint8 of shape \(12, 10\) came"),
        (np.zeros((2, 0, 10, 3), np.uint8), r"uint8 of shape \(2, 0, 10, 3\) came"),
        ([], "there is no image to predict"),
        (np.zeros((0, 12, 10, 3), np.uint8), "there is no image to predict"),
        ([picture(0), 7], r"int64 of shape \(\) came"),
        ("nowhere.png", r"image 0 \(nowhere.png\) cannot be read: no such file or directory. Leave it out"),
        ([picture(0), Image.new("F", (4, 4))], "image 1 cannot be read: its pixels are floats without a known range"),
    ],
)
def test_what_is_no_image_is_told(colour, images, sentence):
    with pytest.raises(InputError, match=sentence):
        colour[2].predict(images)


def test_a_run_gives_its_own_methods_first_budget(run, pools):
    test = pools[1]
    scores = json.loads((run / "metrics.json").read_text())["budgets"]
    by_count = {budget["count"]: budget["accuracy"][0] for budget in scores}
    assert set(by_count) == {60, 30}
    models = {count: load(run, which=f"prune4rel-{count}-0", device="cpu") for count in by_count}
    for count, model in models.items():
        assert accuracy(model.probabilities(test).argmax(axis=1), test.labels) == by_count[count]
    assert np.array_equal(load(run, device="cpu").features(test), models[60].features(test))
    assert not np.array_equal(models[30].features(test), models[60].features(test))
    file = run / "models" / "uniform-30-0.safetensors"
    other = load(run, which="uniform-30-0.safetensors", device="cpu")
    assert np.array_equal(load(file, device="cpu").features(test), other.features(test))
    assert model.classes == ("lying", "standing", "slanted")


def test_what_a_run_does_not_hold_is_told(run, tmp_path):
    sentence = "no model in this run 'prune4rel-60-1'. Did you mean 'prune4rel-60-0'.* uniform-60-0"
    with pytest.raises(UnknownName, match=sentence):
        load(run, which="prune4rel-60-1")
    with pytest.raises(InputError, match="holds no models/.*Give the folder of a run that trained"):
        load(tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="which='x' names a model of a run, but .* is one file"):
        load(run / "models" / "uniform-30-0.safetensors", which="x")
    shutil.copytree(run / "models", tmp_path / "models")
    with pytest.raises(
        InputError, match="holds several models; say which: prune4rel-30-0, prune4rel-60-0, uniform-30-0"
    ):
        load(tmp_path)
    for path in list((tmp_path / "models").iterdir())[1:]:
        path.unlink()
    assert load(tmp_path, device="cpu").classes == ("lying", "standing", "slanted")
