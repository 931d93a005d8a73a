import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.observations import Observations


@pytest.fixture
def seen():
    rng = np.random.default_rng(0)
    return Observations(
        ids=[f"image {i}.png" for i in range(6)],
        labels=[0, 1, 2, 0, 1, 2],
        probabilities=rng.dirichlet([1, 1, 1], size=6).astype(np.float32),
        features=rng.normal(size=(6, 4)).astype(np.float32),
        strong_probabilities=rng.dirichlet([1, 1, 1], size=6),
        losses=rng.uniform(size=6),
        correct=rng.random((5, 6)) < 0.5,
        margin=rng.normal(size=(5, 6)).astype(np.float32),
        gradient_norms=rng.uniform(size=(10, 6)),
        self_supervised=rng.normal(size=(6, 3)),
    )


def same(a, b):
    assert a.columns == b.columns
    for name, values in a.items():
        np.testing.assert_array_equal(values, dict(b.items())[name])


@pytest.mark.parametrize("form", ["folder", "table.parquet", "archive.npz"])
def test_every_form_gives_back_what_was_written(seen, tmp_path, form):
    path = tmp_path / form
    if form == "folder":
        seen.save(path)
    elif form == "table.parquet":
        seen.to_parquet(path)
    else:
        np.savez(path, **dict(seen.items()))
    same(Observations.read(path), seen)


def test_a_saved_folder_is_mapped_not_loaded(seen, tmp_path):
    features = Observations.read(seen.save(tmp_path / "seen")).features
    while features.base is not None and not isinstance(features, np.memmap):
        features = features.base
    assert isinstance(features, np.memmap)


def test_saving_again_replaces_and_foreign_folders_are_left_alone(seen, tmp_path):
    seen.save(tmp_path / "seen")
    seen.rows([1, 3]).save(tmp_path / "seen")
    assert Observations.read(tmp_path / "seen").ids.tolist() == ["image 1.png", "image 3.png"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["seen"]
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="exists and holds no observations"):
        seen.save(tmp_path / "photos")


def test_anyones_parquet_is_understood(tmp_path):
    table = pa.table({"id": [7, 8], "label": [1, 0], "features": [[1.0, 2.0], [3.0, 4.0]]})
    pq.write_table(table, tmp_path / "clip.parquet")
    seen = Observations.read(tmp_path / "clip.parquet")
    assert seen.ids.tolist() == [7, 8]
    assert seen.features.tolist() == [[1, 2], [3, 4]]
    pq.write_table(table.select(["features"]), tmp_path / "bare.parquet")
    assert Observations.read(tmp_path / "bare.parquet").ids.tolist() == [0, 1]


def test_rows_follow_the_positions_and_the_epochs_stay(seen):
    part = seen.rows([4, 0])
    assert part.ids.tolist() == ["image 4.png", "image 0.png"]
    np.testing.assert_array_equal(part.margin, seen.margin[:, [4, 0]])
    assert part.correct.shape == (5, 2)


def test_the_fingerprint_tells_any_change(seen):
    assert seen.fingerprint() == seen.rows(np.arange(6)).fingerprint()
    changed = seen.features.copy()
    changed[3, 2] += 1e-6
    assert seen.with_columns(features=changed).fingerprint() != seen.fingerprint()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"labels": [0, 1]}, "labels has 2 rows, but there are 3 examples"),
        ({"labels": [0, 1, 2]}, "labels should be 0..1; 1 are not, the first is 2 at row 2"),
        ({"probabilities": [[0.5, 0.4]] * 3}, "each row of probabilities should sum to 1; 3 of 3 rows do not"),
        (
            {"features": [[1.0], [np.nan], [2.0]]},
            "features has NaN or infinite values in 1 of 3 rows; the first is row 1",
        ),
        ({"features": np.ones((2, 2))}, "features has 2 rows, but there are 3 examples"),
        ({"margin": np.ones((3, 2))}, "margin should be (epochs or models, 3); its shape is (3, 2)"),
        ({"strong_probabilities": [[0.2, 0.3, 0.5]] * 3}, "should agree on c; they have [2, 3]"),
        ({"ids": ["a", "b", "a"]}, "ids should be unique; a stands 2 times"),
    ],
)
def test_bad_columns_get_a_sentence(columns, sentence):
    good = {"ids": ["a", "b", "c"], "probabilities": [[0.5, 0.5]] * 3}
    with pytest.raises(InputError) as error:
        Observations(**{**good, **columns})
    assert sentence in str(error.value)


def test_bad_files_get_a_sentence(seen, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Observations.read(tmp_path / "nothing.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        Observations.read(tmp_path / "broken.parquet")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="is no observations"):
        Observations.read(tmp_path / "notes.txt")
    pq.write_table(pa.table({"id": [1], "featurs": [[1.0]]}), tmp_path / "typo.parquet")
    with pytest.raises(UnknownName, match="Did you mean 'features'"):
        Observations.read(tmp_path / "typo.parquet")
    pq.write_table(pa.table({"id": [1, 2], "features": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(InputError, match="should be equally long; they have 1 to 2"):
        Observations.read(tmp_path / "ragged.parquet")
    folder = seen.save(tmp_path / "seen")
    (folder / "features.npy").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        Observations.read(folder)
    schema = json.loads((folder / "schema.json").read_text())
    (folder / "schema.json").write_text(json.dumps({**schema, "version": 99}))
    with pytest.raises(InputError, match="version 99; this release reads"):
        Observations.read(folder)


def test_archives_and_tables_that_cannot_work(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="cannot be read as an NPZ archive"):
        Observations.read(path)
    np.savez(path, ids=np.array(["a", "b"], dtype=object))
    with pytest.raises(InputError, match="Save ids as text or integers"):
        Observations.read(path)
    np.savez(path, ids=[1, 2], losses=3.0)
    with pytest.raises(InputError, match="column losses of .* is a single value"):
        Observations.read(path)
    pictures = pa.table({"id": [1], "image": [{"bytes": b"x", "path": "y"}]})
    pq.write_table(pictures, tmp_path / "hub.parquet")
    with pytest.raises(UnknownName, match="no observations column 'image'"):
        Observations.read(tmp_path / "hub.parquet")
    pq.write_table(pa.table({"id": [1], "features": [{"a": 1.0}]}), tmp_path / "struct.parquet")
    with pytest.raises(InputError, match="column features holds struct"):
        Observations.read(tmp_path / "struct.parquet")
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="has no rows"):
        Observations.read(tmp_path / "empty.parquet")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"correct": [[1.0, np.nan]]}, "correct has NaN"),
        ({"correct": [[0.2, 3.0]]}, "correct should be True or False"),
        ({"labels": [[0], [1, 2]]}, "labels"),
        ({"ids": [["a"], ["b", "c"]]}, "ids should be one value per example"),
    ],
)
def test_columns_of_another_kind(columns, sentence):
    with pytest.raises(InputError, match=sentence):
        Observations(**{"ids": ["a", "b"], **columns})


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", ids=np.array([{"a": 1}, {"b": 2}], dtype=object))
    with pytest.raises(InputError, match="allow_pickle"):
        Observations.read(tmp_path / "evil.npz")
