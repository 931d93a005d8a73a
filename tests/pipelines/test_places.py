"""No run may live among the images that it reads: its own pictures and models would become data."""

import numpy as np
import pytest
from PIL import Image

import goodgrain
from goodgrain.errors import InputError
from goodgrain.pipelines.compare_ood import compare_ood

CALLS = {
    "prune": lambda own, other, output: goodgrain.prune(own, keep=2, output=output),
    "prune, test": lambda own, other, output: goodgrain.prune(other, keep=2, test=own, output=output),
    "train": lambda own, other, output: goodgrain.train(own, ood=other, output=output),
    "train, test": lambda own, other, output: goodgrain.train(other, ood=other, test=own, output=output),
    "train, ood": lambda own, other, output: goodgrain.train(other, ood=[other, own], output=output),
    "compare_ood": lambda own, other, output: compare_ood(other, [other, own], output=output),
    "embed": lambda own, other, output: goodgrain.embed(own, model=lambda images: images.mean(axis=1), output=output),
}


def a_folder(place):
    for number, name in enumerate(["left", "right"] * 4):
        (place / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / name / f"{number}.png")
    return place


@pytest.mark.parametrize("name", CALLS)
def test_a_run_folder_among_the_images_is_refused_and_not_made(name, tmp_path):
    own, other = a_folder(tmp_path / "photos"), a_folder(tmp_path / "others")
    with pytest.raises(InputError, match=r"run lies within the data \(.*photos\), whose files it would become"):
        CALLS[name](own, other, own / "deep" / "run")
    assert sorted(one.name for one in own.iterdir()) == ["left", "right"]
