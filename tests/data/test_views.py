import numpy as np
import pytest
import torch

from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, strong, to_pixels, weak

SIZES = [((8, 8), 1), ((32, 32), 3), ((28, 20), 1), ((64, 64), 3)]


def ramp(count, size, channels):
    """The same picture count times: a diagonal ramp, so that every shift and mirror image shows."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    return (0.2 + 0.5 * rows + 0.2 * columns).expand(count, channels, *size).contiguous()


@pytest.mark.parametrize("make", [weak, strong])
@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_a_view_repeats_by_its_seed_whatever_was_drawn_before(make, size, channels):
    pixels = ramp(6, size, channels)
    before = pixels.clone()
    view = make(size)
    first = view(pixels, 11)
    torch.rand(3)
    state = torch.random.get_rng_state()
    again = make(size)(pixels, 11)
    assert torch.equal(first, again)
    assert not torch.equal(first, view(pixels, 12))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(pixels, before)
    assert first.shape == pixels.shape
    assert first.is_contiguous()
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("make", [weak, strong])
def test_each_image_draws_its_own_changes(make):
    pixels = ramp(16, (32, 32), 3)
    views = make((32, 32))(pixels, 3)
    different = {view.numpy().tobytes() for view in views}
    assert len(different) > 12


def test_without_flip_no_image_is_mirrored():
    pixels = ramp(64, (32, 32), 1)

    def mirrored(views):  # the ramp rises to the right; a mirrored one falls
        inner = views[:, 0, 8:-8, 8:-8]
        return int((inner[:, :, -1] < inner[:, :, 0]).all(dim=1).sum())

    assert mirrored(weak((32, 32), flip=False)(pixels, 0)) == 0
    assert 20 < mirrored(weak((32, 32), flip=True)(pixels, 0)) < 44


def test_weak_is_a_crop_of_the_padded_image():
    pixels = torch.rand(20, 1, 8, 8)
    padded = torch.nn.functional.pad(pixels, (1, 1, 1, 1))
    views = weak((8, 8), flip=False)(pixels, 5)
    found = set()
    for image, view in zip(padded[:, 0], views[:, 0], strict=True):
        places = [(r, c) for r in range(3) for c in range(3) if torch.equal(image[r : r + 8, c : c + 8], view)]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) > 4


def test_strong_changes_colours_and_covers_a_patch():
    pixels = ramp(200, (32, 32), 3)
    views = strong((32, 32), flip=False)(pixels, 1)
    covered = (views == 0.5).all(dim=1).flatten(1).float().mean(dim=1)  # grey in all channels
    assert (covered > 0.04).float().mean() > 0.95
    assert 0.08 < covered.mean() < 0.25
    weak_levels = weak((32, 32), flip=False)(pixels, 1).flatten(1).mean(dim=1).std()
    assert views.flatten(1).mean(dim=1).std() > 2 * weak_levels


def test_pixels_by_hand():
    images = np.array([[[[0, 51, 255], [255, 0, 0]]]], dtype=np.uint8)  # one row of two RGB pixels
    expected = torch.tensor([[[[0.0, 1.0]], [[0.2, 0.0]], [[1.0, 0.0]]]])
    torch.testing.assert_close(to_pixels(images), expected)


def test_normalize_by_hand_and_by_numpy():
    images = np.zeros((2, 1, 1, 1), dtype=np.uint8)
    images[1] = 255
    layer = Normalize.of(Pool.from_arrays(images, [0, 1]))  # mean 1/2, deviation 1/2
    torch.testing.assert_close(layer(to_pixels(images)).flatten(), torch.tensor([-1.0, 1.0]))

    images = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    images[..., 2] = 7  # a flat channel is shifted, not blown up
    pool = Pool.from_arrays(images, np.arange(50) % 2)
    normal = Normalize.of(pool)(to_pixels(images)).numpy()
    np.testing.assert_allclose(normal.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=(0, 2, 3)), [1, 1, 0], atol=1e-4)
