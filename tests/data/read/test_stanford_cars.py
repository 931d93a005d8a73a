import numpy as np
import pytest
from numpy.lib.recfunctions import drop_fields
from scipy.io import savemat

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import pixels
from published import CARS, car_records, stanford_cars


def test_both_splits_with_boxes_as_shares(tmp_path):
    folder = stanford_cars(tmp_path / "cars")
    for pool, split, start in ((read(folder), "train", 0), (read(f"{folder}#test"), "test", 10)):
        assert pool.ids.tolist() == [f"cars_{split}/0000{i}.jpg" for i in (1, 2, 3)]
        assert pool.classes == CARS
        assert pool.labels.tolist() == [2, 0, 1]
        np.testing.assert_array_equal(pool.images([0, 2]), [pixels(start), pixels(start + 2)])
        # MATLAB counts from 1: x 1..10 and y 2..12 of 10 x 12 pixels are all columns, and all rows but the first
        expected = [[0, 1 / 12, 1, 1], [0.1, 2 / 12, 1, 1], [0.2, 3 / 12, 1, 1]]
        np.testing.assert_allclose(pool.boxes, expected, rtol=1e-6)


def test_the_annotations_with_labels_may_lie_in_the_devkit(tmp_path):
    folder = stanford_cars(tmp_path / "cars")
    before = read(f"{folder}#test").fingerprint()
    (folder / "cars_test_annos_withlabels.mat").rename(folder / "devkit" / "cars_test_annos_withlabels.mat")
    assert read(f"{folder}#test").fingerprint() == before


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        (car_records([(1, 1, 5, 5)], [4], ["00001.jpg"]), "has class 4; cars_meta.mat names the classes 1 to 3"),
        (car_records([(1, 1, 5, 5)], [0], ["00001.jpg"]), "has class 0"),
        (
            car_records([(1, 1, 12, 5)], [1], ["00001.jpg"]),
            r"'cars_train/00001.jpg' .* 0, 0, 12, 5 .* reaches beyond it",
        ),
        (car_records([(6, 1, 5, 5)], [1], ["00001.jpg"]), r"'cars_train/00001.jpg' .* is empty"),
        (car_records([((1, 2), 1, 5, 5)], [1], ["00001.jpg"]), "should hold one number per field and image"),
        (car_records([(1, 1, 5, 5)] * 2, [1, 1], ["a.jpg"] * 2), "'cars_train/a.jpg' comes 2 times"),
        (
            drop_fields(car_records([(1, 1, 5, 5)], [1], ["00001.jpg"]), "class"),
            "have no field 'class'. They should be those with labels",
        ),
        (np.zeros(3), "have no field 'bbox_x1'"),
    ],
)
def test_annotations_of_another_form_are_refused(tmp_path, annotations, sentence):
    folder = stanford_cars(tmp_path / "cars")
    savemat(folder / "devkit" / "cars_train_annos.mat", {"annotations": annotations})
    with pytest.raises(InputError, match=sentence):
        read(folder)


def test_what_is_missing_is_told(tmp_path):
    folder = stanford_cars(tmp_path / "cars")
    with pytest.raises(InputError, match="holds the splits train, test. Name one of them"):
        read(f"{folder}#val")
    (folder / "cars_train" / "00002.jpg").unlink()
    pool = read(folder, max_bad=0.5)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [("cars_train/00002.jpg", "the file is missing")]
    (folder / "devkit" / "cars_meta.mat").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="cars_meta.mat is no MATLAB file"):
        read(folder)
    (folder / "devkit" / "cars_meta.mat").unlink()
    with pytest.raises(InputError, match=r"cars_meta.mat cannot be read"):
        read(folder)
