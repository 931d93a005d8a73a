import numpy as np
import pytest
from PIL import Image

from goodgrain.data.export import copy_tree, hugging_face, torch_subset
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.data.read import read
from goodgrain.errors import InputError

EVIL = ["../../evil.png", "/etc/passwd", "a/b.png", "a_b.png", "A_B.png", "..", "\u2028name", "x" * 300]


def pool(classes=("cat", "dog")):
    images = np.random.default_rng(0).integers(0, 256, (8, 10, 12, 3), dtype=np.uint8)
    return Pool.from_arrays(images, np.arange(8) % 2, classes=classes, ids=EVIL)


@pytest.fixture
def files(tmp_path):
    """A pool that was read from JPEG files."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            picture = np.random.default_rng(i).integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "photos" / name / f"{i}.jpg")
    return read(tmp_path / "photos")


def test_no_name_leaves_the_folder_and_none_is_lost(tmp_path):
    tree = copy_tree(pool(("../cat", "c/d")), np.arange(8), tmp_path / "deep" / "kept")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 8
    assert all(tree.resolve() in path.resolve().parents for path in written)
    back = read(tree)
    assert sorted(i.tobytes() for i in back.images(np.arange(8))) == sorted(
        i.tobytes() for i in pool().images(np.arange(8))
    )


def test_files_are_copied_byte_for_byte_or_linked(files, tmp_path):
    copied = copy_tree(files, [0, 4], tmp_path / "copied")
    assert sorted(path.name for path in copied.iterdir()) == ["cat", "dog"]
    originals = {path.read_bytes() for path in (tmp_path / "photos").rglob("*.jpg")}
    assert all(path.read_bytes() in originals for path in copied.rglob("*.jpg"))
    linked = copy_tree(files, [0, 4], tmp_path / "linked", link=True)
    links = list(linked.rglob("*.jpg"))
    assert len(links) == 2
    assert all(path.stat().st_nlink == 2 and path.read_bytes() in originals for path in links)


def test_what_exists_is_never_overwritten(files, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("x")
    for write in (copy_tree, hugging_face):
        with pytest.raises(InputError, match="Nothing is overwritten: choose another name"):
            write(files, [0], tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.txt"]


def test_a_failure_in_the_middle_leaves_nothing(files, tmp_path):
    (tmp_path / "photos" / "dog" / "1.jpg").unlink()
    with pytest.raises(OSError, match=r"1\.jpg"):
        copy_tree(files, np.arange(6), tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_images_without_a_class_have_a_place_of_their_own(tmp_path):
    tree = copy_tree(pool().with_labels([UNLABELED, OOD, *[0] * 6]), np.arange(8), tmp_path / "kept")
    assert sorted(path.name for path in tree.iterdir()) == ["cat", "out_of_distribution", "unlabeled"]


def test_the_hub_layout_is_read_back_with_pixels_labels_and_order(tmp_path):
    hugging_face(pool(), [5, 0, 2], tmp_path / "hub")
    back = read(tmp_path / "hub")
    assert back.classes == ("cat", "dog")
    assert back.labels.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(back.images([0, 1, 2]), pool().images([5, 0, 2]))


def test_the_library_of_the_hub_reads_it(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    path = hugging_face(files, [3, 1], tmp_path / "hub") / "data" / "train-00000-of-00001.parquet"
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["cat", "dog"]
    assert loaded["label"] == [1, 0]
    np.testing.assert_array_equal(np.asarray(loaded[0]["image"]), files.images([3])[0])


def test_the_torch_subset_gives_pixels_and_labels():
    subset = torch_subset(pool(), [6, 1])
    pixels, label = subset[1]
    assert len(subset) == 2
    assert label == 1
    np.testing.assert_allclose(pixels.permute(1, 2, 0).numpy() * 255, pool().images([1])[0], atol=1e-4)


def test_the_library_of_the_hub_loads_the_folder_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    noisy = pool().with_labels([1, -1, 0, 1, 0, 1, 0, 1], clean_labels=np.arange(8) % 2)
    folder = hugging_face(noisy, [5, 1, 2], tmp_path / "hub")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded["id"][:] == [EVIL[5], EVIL[1], EVIL[2]]
    assert loaded["label"][:] == [1, -1, 0]
    assert loaded["clean_label"][:] == [1, 1, 0]
    assert loaded.features["clean_label"].names == ["cat", "dog"]
    for row, position in enumerate([5, 1, 2]):
        np.testing.assert_array_equal(np.asarray(loaded[row]["image"]), pool().images([position])[0])


def test_the_hub_layout_keeps_ids_and_both_labels(tmp_path):
    noisy = pool().with_labels([1, -1, -2, 1, 0, 1, 0, 1], clean_labels=np.arange(8) % 2)
    back = read(hugging_face(noisy, np.arange(8), tmp_path / "hub"))
    assert back.ids.tolist() == noisy.ids.tolist()
    assert back.labels.tolist() == noisy.labels.tolist()
    assert back.clean_labels.tolist() == noisy.clean_labels.tolist()
    assert back.fingerprint() == noisy.fingerprint()


def test_more_images_than_one_block_of_rows_keep_their_order(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (600, 4, 4), dtype=np.uint8)
    order = np.random.default_rng(1).permutation(600)
    many = Pool.from_arrays(images, np.arange(600) % 2)
    back = read(hugging_face(many, order, tmp_path / "hub"))
    assert back.ids.tolist() == [str(i) for i in order]
    np.testing.assert_array_equal(back.images(np.arange(600)), many.images(order))


def test_encoded_bytes_of_a_table_stay_as_they_are(files, tmp_path):
    table = read(hugging_face(files, [0, 4], tmp_path / "hub"))
    tree = copy_tree(table, [0, 1], tmp_path / "tree")
    written = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    photos = tmp_path / "photos"
    assert written == {
        "cat/0.jpg": (photos / "cat" / "0.jpg").read_bytes(),
        "dog/1.jpg": (photos / "dog" / "1.jpg").read_bytes(),
    }


def test_a_tree_of_a_noisy_pool_is_read_back_with_its_labels(files, tmp_path):
    relabeled = files.with_labels([1, 0, 0, 1, 1, 0])
    back = read(copy_tree(relabeled, np.arange(6), tmp_path / "tree"))
    assert back.classes == ("cat", "dog")
    assert np.bincount(back.labels).tolist() == [3, 3]
    for label in (0, 1):
        ours = sorted(image.tobytes() for image in relabeled.images(np.flatnonzero(relabeled.labels == label)))
        assert sorted(image.tobytes() for image in back.images(np.flatnonzero(back.labels == label))) == ours


def test_classes_whose_names_become_alike_stay_apart(tmp_path):
    names = ("a/b", "a_b", "A_B", "unlabeled")
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    tree = copy_tree(Pool.from_arrays(images, [0, 1, 2, 3, -1], classes=names), np.arange(5), tmp_path / "tree")
    assert len({path.name.lower() for path in tree.iterdir()}) == 5
    assert all(len(list(folder.iterdir())) == 1 for folder in tree.iterdir())


def test_links_are_made_to_what_a_link_leads_to(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), "red").save(tmp_path / "photos" / name / "0.png")
    (tmp_path / "photos" / "cat" / "near.png").symlink_to("../dog/0.png")
    photos = read(tmp_path / "photos")
    tree = copy_tree(photos, np.arange(3), tmp_path / "tree", link=True)
    near = tree / "cat" / "near.png"
    assert not near.is_symlink()
    assert near.samefile(tmp_path / "photos" / "dog" / "0.png")


@pytest.mark.parametrize("write", [copy_tree, hugging_face, lambda pool, rows, _: torch_subset(pool, rows)])
@pytest.mark.parametrize(
    ("positions", "sentence"), [([8], r"positions should be 0..7; 8 is not"), ([1, 1], "names a position twice")]
)
def test_positions_outside_are_refused_before_anything_is_written(tmp_path, write, positions, sentence):
    with pytest.raises(InputError, match=sentence):
        write(pool(), positions, tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_the_torch_subset_goes_through_a_loader():
    from torch.utils.data import DataLoader

    ((pixels, labels),) = DataLoader(torch_subset(pool(), [6, 1, 4]), batch_size=3)
    assert labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(pixels.permute(0, 2, 3, 1).numpy() * 255, pool().images([6, 1, 4]), atol=1e-4)
