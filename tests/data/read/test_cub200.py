import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import pixels
from published import CUB_CLASSES, cub200


def rewrite(file, old, new):
    file.write_text(file.read_text().replace(old, new))


def test_the_published_split_with_boxes_as_shares(tmp_path):
    folder = cub200(tmp_path / "cub")
    train, test = read(folder), read(f"{folder}#test")
    assert train.ids.tolist() == [f"{CUB_CLASSES[0]}/Bird_0000.jpg", f"{CUB_CLASSES[1]}/Bird_0002.jpg"]
    assert test.ids.tolist() == [f"{CUB_CLASSES[0]}/Bird_0001.jpg", f"{CUB_CLASSES[1]}/Bird_0003.jpg"]
    assert train.classes == test.classes == CUB_CLASSES
    assert train.labels.tolist() == test.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(train.images([0, 1]), [pixels(0), pixels(2)])
    # 2, 3, 6, 6 of 10 x 12 pixels: from 2 to 8 of 10, from 3 to 9 of 12
    np.testing.assert_allclose(train.boxes, [[0.2, 0.25, 0.8, 0.75], [0.1, 2 / 12, 0.4, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(test.boxes, [[0, 0, 1, 1], [0.4, 5 / 12, 1, 1]], rtol=1e-6)


def test_shares_stay_when_images_become_squares(tmp_path):
    folder = cub200(tmp_path / "cub")
    np.testing.assert_array_equal(read(folder, image_size=8).boxes, read(folder).boxes)


def test_lines_may_come_in_any_order_and_boxes_may_lack(tmp_path):
    folder = cub200(tmp_path / "cub")
    before = read(folder)
    for name in ("image_class_labels", "train_test_split", "bounding_boxes"):
        lines = (folder / f"{name}.txt").read_text().splitlines()
        (folder / f"{name}.txt").write_text("\n".join(lines[::-1]))
    assert read(folder).fingerprint() == before.fingerprint()
    rewrite(folder / "bounding_boxes.txt", "1 2.0 3.0 6.0 6.0", "")
    np.testing.assert_array_equal(np.isnan(read(folder).boxes), [[True] * 4, [False] * 4])
    (folder / "bounding_boxes.txt").unlink()
    assert read(folder).boxes is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-1.0, 0.0, 12.0, 12.0), [0, 0, 1, 1]),  # from -1 to 11 of 10: one pixel too far on both sides
        ((4.0, 6.0, 7.0, 7.0), [0.4, 0.5, 1, 1]),
    ],
)
def test_a_pixel_beyond_the_border_is_cut_off(tmp_path, box, expected):
    np.testing.assert_allclose(read(cub200(tmp_path / "cub", [box])).boxes, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        (
            (4.0, 6.0, 7.5, 4.0),
            r"the box of image '.*/Bird_0000.jpg' \(left, top, right, bottom = 4, 6, 11.5, 10 in a frame of 10 x 12\) "
            r"reaches beyond it; 1 boxes are so",
        ),
        ((1.0, 1.0, 0.0, 5.0), r"\(left, top, right, bottom = 1, 1, 1, 6 in a frame of 10 x 12\) is empty"),
        ((1.0, 1.0, 5.0, -2.0), "is empty"),
        ((10.0, 1.0, 1.0, 5.0), "lies beside it"),
        (("nan", 1.0, 1.0, 5.0), "lacks some of its four numbers"),
        (("inf", 1.0, 1.0, 5.0), "is empty"),
        ((1.0, 1.0, 5.0), r"should hold lines that read ID X Y WIDTH HEIGHT; 1 1.0 1.0 5.0 came"),
        ((1.0, 1.0, 5.0, "wide"), "should hold lines that read ID X Y WIDTH HEIGHT"),
    ],
)
def test_a_box_outside_its_image_is_refused(tmp_path, box, sentence):
    with pytest.raises(InputError, match=sentence):
        read(cub200(tmp_path / "cub", [box]))


def test_half_a_percent_of_a_large_frame_is_cut_off_and_more_is_not(tmp_path):
    folder = cub200(tmp_path / "cub", [(0.0, 0.0, 1005.0, 1000.0)])  # 0.5% of 1000, as if the original were so large
    np.testing.assert_array_equal(read(folder, box_frame=(1000, 1000)).boxes, [[0, 0, 1, 1]])
    rewrite(folder / "bounding_boxes.txt", "1005.0", "1005.1")
    with pytest.raises(InputError, match="1005.1, 1000 in a frame of 1000 x 1000.* reaches beyond it"):
        read(folder, box_frame=(1000, 1000))


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("train_test_split", "2 0", "2 7", r"should say 1 or 0 for image 2; '7' came"),
        ("train_test_split", "2 0\n", "", r"should say 1 or 0 for image 2; None came"),
        ("image_class_labels", "3 2", "3 9", r"has class '9', which classes.txt does not know"),
        ("image_class_labels", "3 2", "3", r"should hold lines that begin with a number and go on; '3' came"),
        ("images", "3 ", "1 ", r"'1' comes 2 times in images.txt"),
        ("classes", CUB_CLASSES[1], CUB_CLASSES[0], "classes should have different names"),
    ],
)
def test_lists_that_contradict_each_other_are_refused(tmp_path, name, old, new, sentence):
    folder = cub200(tmp_path / "cub")
    rewrite(folder / f"{name}.txt", old, new)
    with pytest.raises(InputError, match=sentence):
        read(folder)


def test_what_is_missing_is_told(tmp_path):
    folder = cub200(tmp_path / "cub")
    with pytest.raises(InputError, match="holds the splits train, test. Name one of them"):
        read(f"{folder}#val")
    (folder / "images" / CUB_CLASSES[0] / "Bird_0000.jpg").unlink()
    rewrite(folder / "image_class_labels.txt", "2 1\n", "")
    pool = read(folder, max_bad=0.5)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [
        (f"{CUB_CLASSES[0]}/Bird_0000.jpg", "the file is missing")
    ]
    np.testing.assert_allclose(pool.boxes, [[0.1, 2 / 12, 0.4, 0.5]], rtol=1e-6)  # that of the image that is left
    assert [bad.reason for bad in read(f"{folder}#test", max_bad=0.5).rejected] == ["it has no label"]


def test_files_outside_of_the_folder_are_not_read(tmp_path):
    folder = cub200(tmp_path / "cub")
    rewrite(folder / "images.txt", f"{CUB_CLASSES[0]}/Bird_0000.jpg", "../../secret.png")
    assert [bad.reason for bad in read(folder, max_bad=0.5).rejected] == ["the file is outside the folder"]
