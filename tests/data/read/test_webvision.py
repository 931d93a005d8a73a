import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import picture, pixels


@pytest.fixture
def webvision(tmp_path):
    """Three images of mini WebVision and one of class 50; two of the validation set."""
    lists = {
        "train_filelist_google.txt": [
            ("google/q0001/a.jpg", 1),
            ("google/q0074/b.jpg", 49),
            ("google/q0075/c.jpg", 50),
        ],
        "val_filelist.txt": [("val000001.jpg", 0), ("val000002.jpg", 999), ("val000003.jpg", 49)],
    }
    (tmp_path / "info").mkdir()
    for i, (name, lines) in enumerate(lists.items()):
        (tmp_path / "info" / name).write_text("".join(f"{file} {label}\n" for file, label in lines))
        for j, (file, _) in enumerate(lines):
            path = tmp_path / ("val_images_256" if i else "") / file
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(10 * i + j).save(path, format="PNG")
    return tmp_path


def test_the_first_fifty_classes(webvision):
    train, val = read(webvision), read(f"{webvision}#val")
    assert train.ids.tolist() == ["google/q0001/a.jpg", "google/q0074/b.jpg"]
    assert train.labels.tolist() == [1, 49]
    assert val.ids.tolist() == ["val000001.jpg", "val000003.jpg"]
    assert val.labels.tolist() == [0, 49]
    assert train.classes == val.classes == tuple(str(i) for i in range(50))
    np.testing.assert_array_equal(train.images([0, 1]), [pixels(0), pixels(1)])
    np.testing.assert_array_equal(val.images([1])[0], pixels(12))
    assert read(f"{webvision}#train").fingerprint() == train.fingerprint()


def test_classes_are_called_by_their_wordnet_ids(webvision):
    lines = [f"n{i:08} some fish, other name\n" for i in range(1000)]
    (webvision / "info" / "synsets.txt").write_text("".join(lines))
    pool = read(webvision)
    assert len(pool.classes) == 50
    assert pool.classes[49] == "n00000049"


def test_what_is_missing_is_told(webvision):
    (webvision / "google" / "q0001" / "a.jpg").unlink()
    pool = read(webvision, max_bad=0.5)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [("google/q0001/a.jpg", "the file is missing")]
    with pytest.raises(InputError, match=r"holds the splits train, val. Name one of them"):
        read(f"{webvision}#test")
    with pytest.raises(InputError, match="has no columns, so 'label' means nothing"):
        read(webvision, label_column="label")
    (webvision / "info" / "val_filelist.txt").write_text("a.jpg 0\na.jpg 1\n")
    with pytest.raises(InputError, match=r"'a.jpg' comes 2 times in val_filelist.txt"):
        read(f"{webvision}#val")
    (webvision / "info" / "val_filelist.txt").unlink()
    with pytest.raises(InputError, match=r"val_filelist.txt cannot be read as a list"):
        read(f"{webvision}#val")
