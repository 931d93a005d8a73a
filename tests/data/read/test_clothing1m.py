import numpy as np
import pytest

from goodgrain.data.read import read
from goodgrain.errors import InputError
from pictures import picture, pixels

KEYS = [f"images/{i}/7/{i},{i}.jpg" for i in range(8)]
LISTS = {
    "noisy_train_key_list.txt": KEYS[:3],
    "clean_train_key_list.txt": KEYS[3:5],
    "clean_val_key_list.txt": KEYS[5:6],
    "clean_test_key_list.txt": KEYS[6:],
    "noisy_label_kv.txt": [f"{key} {label}" for key, label in zip(KEYS[:4], (13, 0, 1, 2), strict=True)],
    "clean_label_kv.txt": [f"{key} {label}" for key, label in zip(KEYS[3:], (5, 6, 7, 8, 9), strict=True)],
    "category_names_eng.txt": [f"Garment {i}" for i in range(14)],
}


@pytest.fixture(params=["", "annotations"])
def clothing(tmp_path, request):
    home = tmp_path / request.param
    home.mkdir(exist_ok=True)
    for name, lines in LISTS.items():
        (home / name).write_text("\n".join(lines) + "\n")
    for i, key in enumerate(KEYS):
        (tmp_path / key).parent.mkdir(parents=True)
        picture(i).save(tmp_path / key, format="PNG")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "rows", "labels"),
    [
        ("", [0, 1, 2], [13, 0, 1]),
        ("#train", [0, 1, 2], [13, 0, 1]),
        ("#clean-train", [3, 4], [5, 6]),
        ("#val", [5], [7]),
        ("#test", [6, 7], [8, 9]),
    ],
)
def test_each_list_with_its_labels(clothing, split, rows, labels):
    pool = read(f"{clothing}{split}")
    assert pool.ids.tolist() == [KEYS[row] for row in rows]
    assert pool.labels.tolist() == labels
    assert pool.classes == tuple(f"Garment {i}" for i in range(14))
    np.testing.assert_array_equal(pool.images(np.arange(len(rows))), [pixels(row) for row in rows])


def test_images_may_lie_without_their_folder(clothing):
    expected = read(clothing).fingerprint()
    for folder in (clothing / "images").iterdir():
        folder.rename(clothing / folder.name)
    (clothing / "images").rmdir()
    assert read(clothing).fingerprint() == expected


def test_what_is_missing_is_told(clothing):
    home = clothing if (clothing / "noisy_label_kv.txt").is_file() else clothing / "annotations"
    (home / "noisy_label_kv.txt").write_text(f"{KEYS[0]} 13\n{KEYS[2]} 1\n")
    (clothing / KEYS[2]).unlink()
    pool = read(clothing, max_bad=0.7)
    assert {bad.id: bad.reason for bad in pool.rejected} == {
        KEYS[1]: "it has no label",
        KEYS[2]: "the file is missing",
    }
    (home / "category_names_eng.txt").unlink()
    assert read(clothing, max_bad=0.7).classes == tuple(str(i) for i in range(14))
    with pytest.raises(InputError, match="holds the splits train, clean-train, val, test. Name one of them"):
        read(f"{clothing}#noisy")
    (home / "noisy_label_kv.txt").write_text("a b c\n")
    with pytest.raises(InputError, match="noisy_label_kv.txt should hold lines that read FILE LABEL"):
        read(clothing)
