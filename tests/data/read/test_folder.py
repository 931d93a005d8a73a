import os

import numpy as np
import pytest
from PIL import Image

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import class_folders, encoded, picture, pixels


def test_pixels_labels_and_ids(tmp_path):
    pool = read(class_folders(tmp_path, ("dog", "cat", "ape"), each=2))
    assert pool.ids.tolist() == ["ape/0.png", "ape/1.png", "cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    assert pool.classes == ("ape", "cat", "dog")
    assert pool.labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(pool.images(np.arange(6)), [pixels(seed) for seed in (20, 21, 10, 11, 0, 1)])
    assert pool.rejected == ()


@pytest.mark.parametrize(
    ("name", "kind"), [("A.JPG", "JPEG"), ("A.JPEG", "JPEG"), ("A.PNG", "PNG"), ("a.BMP", "BMP"), ("a.WebP", "WEBP")]
)
def test_capitals_in_the_name_do_not_matter(tmp_path, name, kind):
    data = encoded(picture(7), kind)
    (class_folders(tmp_path) / "cat" / name).write_bytes(data)
    pool = read(tmp_path)
    place = pool.ids.tolist().index(f"cat/{name}")
    (tmp_path / "copy").write_bytes(data)
    np.testing.assert_array_equal(pool.images([place])[0], np.asarray(Image.open(tmp_path / "copy").convert("RGB")))


def test_a_name_may_lie_about_the_format(tmp_path):
    (class_folders(tmp_path) / "cat" / "0.png").write_bytes(encoded(picture(3), "BMP"))
    np.testing.assert_array_equal(read(tmp_path).images([0])[0], pixels(3))


def test_hidden_folders_are_no_classes(tmp_path):
    class_folders(tmp_path)
    class_folders(tmp_path / ".git")
    class_folders(tmp_path / "cat" / ".cache")
    pool = read(tmp_path)
    assert pool.classes == ("cat", "dog")
    assert len(pool) == 8


def test_what_is_no_image_of_a_class_is_ignored_or_listed(tmp_path):
    class_folders(tmp_path / "photos")
    for name in (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "cat/notes.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    for file in (tmp_path / "secret.png", tmp_path / "photos" / "stray.png"):
        picture(9).save(file)
    (tmp_path / "photos" / "cat" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "photos" / "cat" / "near.png").symlink_to(tmp_path / "photos" / "dog" / "0.png")
    pool = read(tmp_path / "photos", max_bad=0.5)
    assert {bad.id: bad.reason for bad in pool.rejected} == {
        "cat/link.png": "it is a link that leaves the folder",
        "cat/notes.txt": "its name does not end like an image's",
        "stray.png": "it lies beside the class folders and so has no label",
    }
    assert "cat/near.png" in pool.ids


@pytest.mark.parametrize("clutter", [(), (".hidden.png",), ("Thumbs.db",), ("notes.txt",)])
def test_a_class_without_images_is_refused(tmp_path, clutter):
    (class_folders(tmp_path) / "empty").mkdir()
    for name in clutter:
        (tmp_path / "empty" / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"class 'empty' has no images\. Remove the empty folder or put"):
        read(tmp_path, max_bad=1)


def test_a_class_that_is_a_link_is_not_followed(tmp_path):
    class_folders(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "more").symlink_to(class_folders(tmp_path / "elsewhere") / "cat")
    pool = read(tmp_path / "photos", max_bad=0.2)
    assert [(bad.id, bad.reason) for bad in pool.rejected] == [
        ("cat/more", "it is a link to a folder, and such links are not followed")
    ]
    (tmp_path / "photos" / "ape").symlink_to(tmp_path / "elsewhere" / "dog")
    with pytest.raises(InputError, match="class 'ape' has no images"):
        read(tmp_path / "photos", max_bad=1)


def test_links_that_lead_nowhere_or_in_circles_are_rejected(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "cat" / "circle.png").symlink_to("circle.png")
    (tmp_path / "cat" / "nowhere.png").symlink_to("gone.png")
    (tmp_path / "circle").symlink_to("circle")
    pool = read(tmp_path, max_bad=0.3)
    assert {bad.id for bad in pool.rejected} == {"cat/circle.png", "cat/nowhere.png"}
    assert len(pool) == 8


def test_a_folder_that_is_itself_a_link_is_read(tmp_path):
    class_folders(tmp_path / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    assert read(tmp_path / "link").fingerprint() == read(tmp_path / "photos").fingerprint()


def test_gray_pictures_among_coloured_ones_become_gray_in_colour(tmp_path):
    picture(50, mode="L").save(class_folders(tmp_path) / "cat" / "0.png")
    pool = read(tmp_path)
    assert pool.image_shape == (12, 10, 3)
    np.testing.assert_array_equal(pool.images([0])[0], np.repeat(pixels(50, mode="L"), 3, axis=2))
    np.testing.assert_array_equal(pool.images([1])[0], pixels(1))


def test_the_most_common_size_wins_and_the_others_are_resized(tmp_path):
    picture(50, size=(30, 20)).save(class_folders(tmp_path) / "cat" / "0.png")
    pool = read(tmp_path)
    assert pool.image_shape == (12, 10, 3)
    resized = np.asarray(picture(50, size=(30, 20)).resize((10, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pool.images([0])[0], resized)
    np.testing.assert_array_equal(pool.images([1])[0], pixels(1))


@pytest.mark.parametrize(("asked", "shape"), [(5, (5, 5, 3)), ((6, 7), (6, 7, 3)), (np.int64(9), (9, 9, 3))])
def test_a_size_may_be_asked_for(tmp_path, asked, shape):
    pool = read(class_folders(tmp_path), image_size=asked)
    assert pool.image_shape == shape
    resized = np.asarray(picture(0).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pool.images([0])[0], resized)


def test_without_a_size_images_come_at_64_pixels_at_most(tmp_path):
    for file in class_folders(tmp_path).rglob("*.png"):
        picture(1, size=(256, 128)).save(file)
    assert read(tmp_path).image_shape == (64, 32, 3)


@pytest.mark.parametrize("asked", [0, -3, 8.5, (8, 0), (8, 8, 3), "8", True])
def test_a_size_that_is_none_is_refused(tmp_path, asked):
    with pytest.raises(InputError, match="image_size should be"):
        read(class_folders(tmp_path), image_size=asked)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    flat = Image.new("P", (10, 12), 1)
    flat.putpalette([0, 0, 0, 200, 100, 50])
    flat.save(class_folders(tmp_path) / "cat" / "0.png", transparency=bytes([0, 128]))
    assert (read(tmp_path).images([0])[0] == (200, 100, 50)).all()


def test_classes_may_be_named_in_any_script(tmp_path):
    pool = read(class_folders(tmp_path, ("²", "³", "ß ü")))
    assert pool.classes == ("²", "³", "ß ü")
    assert pool.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    digits = read(class_folders(tmp_path / "digits", ("²", "³")))
    assert digits.classes == ("²", "³")


def test_bytes_that_are_no_text_are_written_out(tmp_path):
    class_folders(tmp_path)
    os.rename(os.fsencode(tmp_path / "cat" / "0.png"), os.fsencode(tmp_path / "cat") + b"/\xff.png")
    pool = read(tmp_path)
    assert r"cat/\xff.png" in pool.ids
    pool.fingerprint().encode()


def test_splits_are_folders_of_class_folders(tmp_path):
    """As ImageNet has them: train/n01440764/*.JPEG, val/n01440764/*.JPEG."""
    for split, each in (("train", 3), ("val", 2)):
        for j, wnid in enumerate(("n01440764", "n01443537")):
            folder = tmp_path / split / wnid
            folder.mkdir(parents=True)
            for i in range(each):
                (folder / f"{wnid}_{i}.JPEG").write_bytes(encoded(picture(10 * j + i), "JPEG"))
    train, val = read(f"{tmp_path}#train"), read(f"{tmp_path}#val")
    assert train.classes == val.classes == ("n01440764", "n01443537")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0] * 3 + [1] * 3, [0] * 2 + [1] * 2)
    assert val.ids[0] == "n01440764/n01440764_0.JPEG"
    assert read(tmp_path).fingerprint() == read(tmp_path / "train").fingerprint() == train.fingerprint()
    with pytest.raises(InputError, match=r"holds the splits train, val. Name one of them: '.*#SPLIT'"):
        read(f"{tmp_path}#test")
    (tmp_path / "devkit").mkdir()
    assert read(f"{tmp_path}#val").fingerprint() == val.fingerprint()
    with pytest.raises(InputError, match="class 'devkit' has no images"):
        read(tmp_path)


def test_a_split_may_have_a_table_of_its_own(tmp_path):
    (class_folders(tmp_path / "test") / "labels.csv").write_text("file,label\ncat/0.png,dog\ndog/0.png,cat\n")
    assert read(f"{tmp_path}#test").labels.tolist() == [1, 0]
    with pytest.raises(InputError, match="holds the splits test. Name one of them"):
        read(tmp_path)


def test_a_class_may_be_called_test(tmp_path):
    assert read(class_folders(tmp_path, ("exam", "test"))).classes == ("exam", "test")


def test_columns_and_splits_mean_nothing_here(tmp_path):
    class_folders(tmp_path / "photos")
    with pytest.raises(InputError, match="has no columns, so 'kind' means nothing"):
        read(tmp_path / "photos", label_column="kind")
    with pytest.raises(InputError, match="has no splits, so '#test' means nothing"):
        read(f"{tmp_path}/photos#test")
