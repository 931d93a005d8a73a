import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles_boxes as slow
from goodgrain.errors import InputError
from goodgrain.metrics import box_around, box_iou, gt_known_loc, mean_iou

TRUE = [[0, 0, 2, 2]] * 5
PREDICTED = [
    [0, 0, 2, 2],  # the same
    [1, 1, 3, 3],  # one cell of seven
    [0, 0, 4, 1],  # two cells of six
    [2, 0, 4, 2],  # touches
    [2, 2, 0, 0],  # the corners the wrong way round: empty
]
IOU = [1, 1 / 7, 1 / 3, 0, 0]


def problem(seed, n=6, size=7):
    """Whole boxes on a grid, the true ones not empty; the predicted ones may be, and may leave the grid."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, size - 1, (n, 2))
    true = np.concatenate([low, low + 1 + rng.integers(0, size - 1 - low)], axis=1)
    return true + rng.integers(-2, 3, (n, 4)), true


def test_overlap_by_hand():
    assert box_iou(PREDICTED, TRUE) == pytest.approx(IOU)
    assert mean_iou(PREDICTED, TRUE) == pytest.approx(31 / 105)  # (1 + 1/7 + 1/3) / 5
    assert gt_known_loc(PREDICTED, TRUE) == 0.2
    assert gt_known_loc(PREDICTED, TRUE, threshold=0.3) == 0.4


def test_an_overlap_of_the_threshold_counts_as_found():
    assert gt_known_loc([[0, 0, 2, 1]], [[0, 0, 2, 2]]) == 1.0
    assert gt_known_loc([[0, 0, 2, 2]], [[0, 0, 2, 2]], threshold=1) == 1.0


@given(seed=st.integers(0, 10_000))
def test_overlap_equals_counted_cells(seed):
    predicted, true = problem(seed)
    predicted = predicted.clip(0, 7)
    expected = [slow.counted_iou(p, t, 7) for p, t in zip(predicted, true, strict=True)]
    assert box_iou(predicted, true) == pytest.approx(expected)
    assert mean_iou(predicted, true) == pytest.approx(sum(expected) / len(expected))
    found = [overlap >= 0.5 for overlap in expected]
    assert gt_known_loc(predicted, true) == pytest.approx(sum(found) / len(found))


@given(seed=st.integers(0, 10_000))
def test_overlap_equals_exact_arithmetic(seed):
    predicted, true = problem(seed)
    rng = np.random.default_rng(seed)
    predicted, true = predicted + rng.uniform(-0.3, 0.3, predicted.shape), true + rng.uniform(-0.3, 0.3, true.shape)
    expected = [float(slow.iou(p, t)) for p, t in zip(predicted, true, strict=True)]
    assert box_iou(predicted, true) == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10_000), scale=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), shift=st.floats(-5, 5))
def test_overlap_is_the_same_in_pixels_and_in_shares(seed, scale, shift):
    predicted, true = problem(seed)
    factors = np.array([*scale, *scale])
    assert box_iou(predicted * factors + shift, true * factors + shift) == pytest.approx(
        box_iou(predicted, true), abs=1e-9
    )


CAM = [
    [0, 9, 0, 0, 0],
    [0, 0, 5, 0, 1],
    [0, 0, 0, 0, 0],
    [6, 6, 0, 4, 2],
]


def test_the_box_around_a_map_by_hand():
    # over 1.8: the diagonal of two, the pair below, and the other pair; the first from the top counts
    assert box_around(CAM).tolist() == [0.2, 0.0, 0.6, 0.5]
    # over .9 nothing joins them; over 3.6 the last pair is one point
    assert box_around(CAM, share=0.1).tolist() == [0.2, 0.0, 0.6, 0.5]
    # over 5.4 only the 9 and the 6, 6 are left, which are the larger part
    assert box_around(CAM, share=0.6).tolist() == [0.0, 0.75, 0.4, 1.0]


def test_a_point_at_the_threshold_is_not_bright():
    assert box_around([[1, 5, 1]], share=0.2).tolist() == [1 / 3, 0, 2 / 3, 1]


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_a_map_without_light_gives_the_whole_image(level):
    assert box_around(np.full((3, 4), level)).tolist() == [0, 0, 1, 1]


def test_the_brightest_point_is_always_bright():
    top = np.float32(1.7)
    assert box_around(np.array([[0, top]], np.float32), share=np.nextafter(1, 0)).tolist() == [0.5, 0, 1, 1]


@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.9]),
)
def test_the_box_equals_that_of_a_flood(seed, height, width, share):
    cam = np.random.default_rng(seed).integers(-8, 6, (height, width)).astype(float)  # many ties, mostly dark
    assert box_around(cam, share=share) == pytest.approx(slow.box_around(cam.tolist(), share))


@given(seed=st.integers(0, 10_000), factor=st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_box_does_not_depend_on_the_unit_of_the_map(seed, factor):
    cam = np.random.default_rng(seed).normal(size=(6, 5))
    assert np.array_equal(box_around(cam * factor), box_around(cam))


def test_refusals():
    with pytest.raises(InputError, match=r"predicted should be \(n, 4\), left, top, right and bottom.*\(1, 3\)"):
        box_iou([[0, 0, 1]], [[0, 0, 1, 1]])
    with pytest.raises(InputError, match="predicted has 2 rows, but there are 1 examples"):
        mean_iou([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]])
    with pytest.raises(InputError, match="true has NaN or infinite values in 1 of 1 rows"):
        gt_known_loc([[0, 0, 1, 1]], [[np.nan] * 4])
    with pytest.raises(InputError) as refused:
        box_iou([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1], [0, 1, 1, 1]])
    assert str(refused.value) == (
        "true boxes should be left < right and top < bottom; 1 are not, the first is [0.0, 1.0, 1.0, 1.0] at row 1."
    )
    with pytest.raises(InputError, match="threshold should be above 0 and at most 1; 0 came"):
        gt_known_loc([[0, 0, 1, 1]], [[0, 0, 1, 1]], threshold=0)
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match=f"share should be 0 or more and below 1; {share} came"):
            box_around([[1.0]], share=share)
    with pytest.raises(InputError, match=r"cam should be an \(h, w\) map of at least 1 point; its shape is \(2, 0\)"):
        box_around(np.zeros((2, 0)))
    with pytest.raises(InputError, match="cam should have 2 axes; its shape is"):
        box_around(np.zeros((1, 2, 2)))
