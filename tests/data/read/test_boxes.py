"""Boxes out of tables and archives, whatever the layout."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.data.read import read
from goodgrain.data.read.boxes import boxes_of_corners, in_shares
from goodgrain.errors import InputError
from pictures import class_folders, encoded, picture

CORNERS = [[0, 0, 9, 11], [2, 3, 2, 5], [5, 6, 9, 11]]  # in images of 10 x 12: all of it, one column, a corner
SHARES = [[0, 0, 1, 1], [0.2, 3 / 12, 0.3, 6 / 12], [0.5, 0.5, 1, 1]]
NAMES = ("x0", "y0", "x1", "y1")


def parquet(folder, corners, names=NAMES):
    columns = {name: [row[place] for row in corners] for place, name in enumerate(names)}
    images = pa.array([encoded(picture(i)) for i in range(len(corners))], pa.binary())
    pq.write_table(
        pa.table({"image": images, "label": [i % 2 for i in range(len(corners))], **columns}), folder / "a.parquet"
    )
    return folder / "a.parquet"


def csv(folder, corners, names=NAMES):
    (folder / "photos").mkdir()
    lines = [f"file,label,{','.join(names)}"]
    for i, row in enumerate(corners):
        picture(i).save(folder / "photos" / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},{','.join('' if value is None else str(value) for value in row)}")
    (folder / "photos" / "labels.csv").write_text("\n".join(lines))
    return folder / "photos"


def npz(folder, corners):
    images = np.stack([np.asarray(picture(i)) for i in range(len(corners))])
    boxes = np.array([[np.nan if value is None else value for value in row] for row in corners])
    np.savez(folder / "a.npz", x=images, y=np.arange(len(corners)) % 2, boxes=boxes)
    return folder / "a.npz"


@pytest.mark.parametrize("write", [parquet, csv, npz])
def test_corners_count_the_last_pixel_in(tmp_path, write):
    path = write(tmp_path, CORNERS)
    pool = read(path)
    np.testing.assert_allclose(pool.boxes, SHARES, rtol=1e-6)
    assert pool.boxes.dtype == np.float32
    np.testing.assert_array_equal(read(path, image_size=6).boxes, pool.boxes)


@pytest.mark.parametrize("write", [parquet, csv, npz])
def test_rows_without_a_box_are_nan(tmp_path, write):
    pool = read(write(tmp_path, [CORNERS[0], [None] * 4]))
    np.testing.assert_array_equal(pool.boxes, [[0, 0, 1, 1], [np.nan] * 4])


@pytest.mark.parametrize("write", [parquet, csv, npz])
def test_a_frame_of_another_size_than_the_images(tmp_path, write):
    path = write(tmp_path, [[0, 0, 63, 63], [16, 0, 31, 31]])
    np.testing.assert_array_equal(read(path, box_frame=(64, 64)).boxes, [[0, 0, 1, 1], [0.25, 0, 0.5, 0.5]])
    np.testing.assert_array_equal(read(path, box_frame=(128, 64)).boxes, [[0, 0, 0.5, 1], [0.125, 0, 0.25, 0.5]])
    with pytest.raises(InputError, match=r"= 0, 0, 64, 64 in a frame of 32 x 64\) reaches beyond it; 1 boxes are so"):
        read(path, box_frame=(32, 64))


@pytest.mark.parametrize("write", [parquet, csv, npz])
def test_boxes_in_an_unknown_frame_are_left_out_with_a_warning(tmp_path, write):
    path = write(tmp_path, [[0, 0, 9, 11], [0, 0, 12, 9]])
    with pytest.warns(
        UserWarning, match=r"boxes are left out: the box of image .*1.* = 0, 0, 13, 10 .* Say with box_frame"
    ):
        pool = read(path)
    assert pool.boxes is None
    assert len(pool) == 2


@pytest.mark.parametrize("write", [parquet, csv, npz])
@pytest.mark.parametrize(("bad", "sentence"), [([5, 5, 4, 9], "is empty"), ([5, None, 6, 9], "lacks some of its four")])
def test_a_damaged_box_is_refused(tmp_path, write, bad, sentence):
    with pytest.raises(InputError, match=f"the box of image .*1.*{sentence}"):
        read(write(tmp_path, [[0, 0, 9, 11], bad]))


def test_boxes_follow_the_images_that_are_left(tmp_path):
    path = csv(tmp_path, CORNERS)
    (path / "0.png").write_bytes(b"no image")  # found when headers are looked at
    (path / "1.png").write_bytes(encoded(picture(1, size=(40, 40)))[:-100])  # found when all is decoded
    pool = read(path, max_bad=0.7)
    assert pool.ids.tolist() == ["2.png"]
    np.testing.assert_allclose(pool.boxes, SHARES[2:], rtol=1e-6)


def test_each_image_is_its_own_frame(tmp_path):
    path = csv(tmp_path, [[0, 0, 4, 5], [0, 0, 4, 5]])
    picture(1, size=(24, 40)).save(path / "1.png")
    np.testing.assert_allclose(read(path).boxes, [[0, 0, 0.5, 0.5], [0, 0, 5 / 40, 6 / 24]], rtol=1e-6)


def test_what_is_no_box_column_is_none(tmp_path):
    assert read(parquet(tmp_path, CORNERS, names=("x0", "y0", "x1", "z"))).boxes is None
    texts = [[str(value) for value in row] for row in CORNERS]
    assert read(parquet(tmp_path, texts)).boxes is None
    assert read(csv(tmp_path, CORNERS, names=("x0", "y0", "x1", "z"))).boxes is None
    assert read(class_folders(tmp_path / "folders")).boxes is None
    np.testing.assert_allclose(
        read(parquet(tmp_path, CORNERS, names=("X0", "Y0", "X1", "Y1"))).boxes, SHARES, rtol=1e-6
    )


def test_a_box_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"labels.csv, row 2: y1 should be a number; 'low' came"):
        read(csv(tmp_path, [CORNERS[0], [1, 2, 3, "low"]]))


def test_the_boxes_of_a_split_stand_beside_its_images(tmp_path):
    images, labels = np.zeros((3, 12, 10), np.uint8), [0, 1, 0]
    np.savez(
        tmp_path / "a.npz",
        x_train=images,
        y_train=labels,
        boxes_train=CORNERS,
        x_test=images,
        y_test=labels,
        boxes=CORNERS[::-1],
    )
    np.testing.assert_allclose(read(tmp_path / "a.npz").boxes, SHARES, rtol=1e-6)
    assert read(f"{tmp_path}/a.npz#test").boxes is None
    for wrong in (CORNERS[:2], [["a"] * 4] * 3, [row[:3] for row in CORNERS]):
        np.savez(tmp_path / "b.npz", x=images, y=labels, boxes=wrong)
        with pytest.raises(
            InputError, match=r"boxes should be numbers of shape \(3, 4\), x0, y0, x1, y1 of each image"
        ):
            read(tmp_path / "b.npz")


def test_a_frame_that_means_nothing_is_refused(tmp_path):
    folder = class_folders(tmp_path)
    with pytest.raises(InputError, match=r"has no boxes, so box_frame means nothing"):
        read(folder, box_frame=(64, 64))
    for wrong, sentence in (((64,), "width and height"), (64, "width and height"), ((64, 0), "box_frame's height")):
        with pytest.raises(InputError, match=sentence):
            read(folder, box_frame=wrong)


@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_shares_times_the_frame_are_the_pixels_of_the_box(width, height, data):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0, width - 1)), data.draw(st.integers(y0, height - 1))
    inside = np.zeros((height, width), bool)
    inside[y0 : y1 + 1, x0 : x1 + 1] = True  # pixel by pixel
    boxes = boxes_of_corners(np.array([[x0, y0, x1, y1]], float))
    left, top, right, bottom = in_shares(boxes, np.array([[width, height]], float), ["a"], stated=True)[0]
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    np.testing.assert_array_equal((y > top)[:, None] & (y < bottom)[:, None] & (x > left) & (x < right), inside)


def test_the_boxes_of_tiny_imagenet(real_data):
    file = real_data / "tiny_imagenet32_val10k.parquet"
    pool = read(file, box_frame=(64, 64))
    assert (len(pool), pool.boxes.shape) == (10_000, (10_000, 4))
    table = pq.read_table(file, columns=["x0", "y0", "x1", "y1"]).to_pylist()
    expected = [[row["x0"] / 64, row["y0"] / 64, (row["x1"] + 1) / 64, (row["y1"] + 1) / 64] for row in table]
    np.testing.assert_array_equal(pool.boxes, expected)
    assert (pool.boxes == [0, 0, 1, 1]).all(
        axis=1
    ).sum() == 572  # x1, y1 = 63, 63: were they outside, none would fill it
    with pytest.warns(UserWarning, match="boxes are left out"):
        assert read(file).boxes is None
