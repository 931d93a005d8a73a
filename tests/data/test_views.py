import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, strong, to_pixels, weak, weak_with_boxes

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


def rectangles(n, size, seed):
    """One bright rectangle each, and the box around it in shares of the image."""
    rng = np.random.default_rng(seed)
    pixels, boxes = torch.zeros(n, 1, *size), torch.zeros(n, 4)
    for image, box in zip(pixels, boxes, strict=True):
        top, bottom = np.sort(rng.choice(size[0] + 1, 2, replace=False))
        left, right = np.sort(rng.choice(size[1] + 1, 2, replace=False))
        image[0, top:bottom, left:right] = 1
        box[:] = torch.tensor([left / size[1], top / size[0], right / size[1], bottom / size[0]])
    return pixels, boxes


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("size", [(16, 16), (24, 32), (9, 8)])
def test_boxes_go_where_the_pixels_go(size, flip):
    pixels, boxes = rectangles(400, size, 0)
    views, moved = weak_with_boxes(size, flip=flip)(pixels, boxes, 5)
    assert torch.equal(views, weak(size, flip=flip)(pixels, 5))
    gone = 0
    scale = np.array([size[1], size[0], size[1], size[0]])
    for view, box in zip(views[:, 0].numpy(), moved.numpy() * scale, strict=True):
        rows, columns = np.flatnonzero(view.any(axis=1)), np.flatnonzero(view.any(axis=0))
        if len(rows):
            assert box == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=1e-4)
        else:  # one pixel, or a row of pixels, at the border that it went over
            gone += 1
            assert (box[2:] - box[:2]).min() == pytest.approx(1, abs=1e-4)
            assert (box[:2] <= 1e-4).any() or (box[2:] >= scale[2:] - 1e-4).any()
    assert 0 < gone < 100


def test_boxes_by_hand_move_with_flip_and_shift():
    """Of 8 pixels the shift is -1, 0 or 1: a box of pixels 2 to 4 lies in 6 places, mirrored or not."""
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    view = weak_with_boxes((8, 8))
    places = {tuple((8 * view(torch.zeros(1, 1, 8, 8), box, seed)[1]).round().int()[0].tolist()) for seed in range(200)}
    spans = [(1, 3), (2, 4), (3, 5)], [(3, 5), (4, 6), (5, 7)]  # (left, right) as it was, and mirrored; rows never are
    expected = {(left, top, right, bottom) for left, right in spans[0] + spans[1] for top, bottom in spans[0]}
    assert places == expected


@given(seed=st.integers(0, 1000), width=st.floats(0.001, 0.2), flip=st.booleans())
def test_no_box_gets_empty_or_leaves_the_image(seed, width, flip):
    edges = np.random.default_rng(seed).uniform(0, 1 - width, (10, 2)).clip(0, 1)
    edges[:4] = [[0, 0], [0, 1 - width], [1 - width, 0], [1 - width, 1 - width]]
    boxes = torch.from_numpy(np.concatenate([edges, edges + width], axis=1).clip(0, 1)).float()
    moved = weak_with_boxes((16, 16), flip=flip)(torch.zeros(10, 1, 16, 16), boxes, seed)[1]
    assert moved.min() >= 0
    assert moved.max() <= 1
    sides = moved[:, 2:] - moved[:, :2]
    assert sides.min() >= min(width, 1 / 16) - 1e-6
    assert sides.max() <= width + 1e-6


def test_boxes_repeat_by_the_seed_and_unknown_ones_stay_unknown():
    pixels, boxes = rectangles(30, (16, 16), 1)
    boxes[::3] = torch.nan
    before = boxes.clone(), pixels.clone()
    state = torch.random.get_rng_state()
    view = weak_with_boxes((16, 16))
    first = view(pixels, boxes, 3)
    view(pixels, boxes, 4)
    for one, again, other in zip(
        first, weak_with_boxes((16, 16))(pixels, boxes, 3), view(pixels, boxes, 4), strict=True
    ):
        assert torch.equal(one.nan_to_num(9), again.nan_to_num(9))
        assert not torch.equal(one.nan_to_num(9), other.nan_to_num(9))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(pixels, before[1])
    torch.testing.assert_close(boxes, before[0], rtol=0, atol=0, equal_nan=True)
    assert bool(first[1][::3].isnan().all())
    assert bool(first[1][1::3].isfinite().all())
