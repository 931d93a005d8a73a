import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import goodgrain
from conftest import QUICK, own_observations, results_of, shapes
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.observations import Observations


@pytest.fixture(scope="module")
def finished(pools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    train, test = pools
    return goodgrain.prune(
        train, test=test, keep=[0.2, 20, 0.5], output=folder, compare=("uniform", "all"), threshold="auto", **QUICK
    )


def test_one_order_serves_every_budget(finished):
    assert finished.counts == (30, 20, 75)
    table = pq.read_table(finished.folder / "selection.parquet").to_pydict()
    order = {name: place for name, place in zip(table["id"], table["order"], strict=True) if place is not None}
    assert sorted(order, key=order.get) == finished.ids.tolist()
    assert sum(table["picked"]) == 75
    assert finished.pool.ids[finished.positions].tolist() == finished.ids.tolist()
    first = table["id"].index(finished.ids[0])
    assert table["reason"][first] == "picked as number 1, within the budget of 20"
    np.testing.assert_allclose(table["confidence"][first], max(table["confidence"]))  # nothing overlaps yet


def test_balanced_picks_and_metrics_are_those_of_the_files(finished):
    metrics = json.loads((finished.folder / "metrics.json").read_text())
    assert metrics == finished.metrics
    train = finished.pool
    for entry in metrics["budgets"]:
        part = finished.positions[: entry["count"]]
        assert entry["kept_per_class"] == np.bincount(train.labels[part]).tolist()
        assert max(entry["kept_per_class"]) - min(entry["kept_per_class"]) <= 1
        assert entry["noise_share"] == pytest.approx((train.labels[part] != train.clean_labels[part]).mean())
    assert metrics["noise_share"] == pytest.approx(0.3)
    assert [entry["method"] for entry in metrics["compared"]] == ["uniform"] * 3 + ["all data"]
    found = pq.read_table(finished.folder / "suspects.parquet").to_pydict()
    clean = dict(zip(train.ids.tolist(), train.clean_labels.tolist(), strict=True))
    wrong = [clean[name] != given for name, given in zip(found["id"], found["given_label"], strict=True)]
    assert metrics["suspects"]["precision"] == pytest.approx(np.mean(wrong))
    assert found["confidence"] == sorted(found["confidence"], reverse=True)


def test_the_reported_accuracy_is_that_of_the_saved_model(finished, pools):
    from goodgrain.learn import Standard, fit, predict
    from goodgrain.learn.streams import stream_seed

    train, test = pools
    learner = Standard("small", flip=False)
    fit(learner, train.subset(np.sort(finished.positions)), epochs=2, seed=stream_seed(0, "final", 0), device="cpu")
    reached = float((predict(learner, test)[0].argmax(axis=1) == test.labels).mean())
    assert finished.metrics["budgets"][2]["accuracy"] == [reached]
    loaded = goodgrain.load(finished.folder, which="prune4rel-75-0", device="cpu")
    assert loaded.classes == ("lying", "standing", "slanted")
    named = np.array(test.classes)[test.labels]
    assert float((loaded.predict(test) == named).mean()) == reached


def test_the_same_call_continues_and_the_same_seed_gives_the_same_bits(finished, pools, tmp_path):
    before = results_of(finished.folder)
    train, test = pools
    arguments = {"test": test, "keep": [0.2, 20, 0.5], "compare": ("uniform", "all"), "threshold": "auto", **QUICK}
    again = goodgrain.prune(train, output=finished.folder, **arguments)
    assert results_of(again.folder) == before
    fresh = goodgrain.prune(train, output=tmp_path / "fresh", **arguments)
    assert results_of(fresh.folder) == before


def test_another_seed_or_other_data_is_another_run(finished, pools):
    train, test = pools
    arguments = {"test": test, "keep": [0.2, 20, 0.5], "compare": ("uniform", "all"), "threshold": "auto", **QUICK}
    with pytest.raises(InputError, match=r"holds another run: its prune.seed is 0, this one asks for 1"):
        goodgrain.prune(train, output=finished.folder, seed=1, **arguments)
    relabeled = train.with_labels((train.labels + 1) % 3)
    with pytest.raises(InputError, match=r"holds another run: its fingerprint.data is"):
        goodgrain.prune(relabeled, output=finished.folder, **arguments)


def test_observations_of_any_model_need_no_images(tmp_path):
    result = goodgrain.prune(observations=own_observations(), keep=[0.1, 0.3], output=tmp_path / "run")
    assert result.counts == (6, 18)
    assert result.ids.dtype.kind == "U"
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    with pytest.raises(InputError, match="without images"):
        result.torch_subset()


def test_observations_meet_images_by_id(pools, tmp_path):
    train, _ = pools
    rng = np.random.default_rng(0)
    shuffle = rng.permutation(150)
    features = rng.normal(size=(150, 4))
    seen = Observations(
        ids=train.ids[shuffle], features=features[shuffle], probabilities=rng.dirichlet([1] * 3, size=150)
    )
    result = goodgrain.prune(train, observations=seen, keep=10, output=tmp_path / "run", method="k_center", epochs=0)
    direct = goodgrain.select.k_center(features, 10)
    assert result.positions.tolist() == direct.positions.tolist()
    with pytest.raises(InputError, match="the observations lack 1 of the 150 images, the first is 'picture 0.png'"):
        goodgrain.prune(train, observations=seen.rows(np.flatnonzero(shuffle != 0)), keep=10, output=tmp_path / "other")


def test_repeats_and_unusable_files_are_written_down(tmp_path):
    from PIL import Image

    pool = shapes(60, 0)
    for part, numbers in (("train", range(60)), ("test", [4, 5, 6])):
        for i in numbers:
            place = tmp_path / part / pool.classes[pool.labels[i]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pool.images([i])[0, ..., 0]).save(place / f"{i:02}.png")
    (tmp_path / "train" / "lying" / "broken.png").write_bytes(b"no picture")
    again = Image.open(tmp_path / "train" / "lying" / "00.png")
    again.save(tmp_path / "train" / "standing" / "again.png")
    goodgrain.prune(
        tmp_path / "train", test=tmp_path / "test", keep=9, output=tmp_path / "run", max_bad=0.1, near=1.0, **QUICK
    )
    repeats = pq.read_table(tmp_path / "run" / "duplicates.parquet").to_pylist()
    assert [(row["id"], row["repeats"], row["of"], row["conflicts"]) for row in repeats] == [
        ("standing/again.png", "lying/00.png", "data", True),
        ("lying/06.png", "lying/06.png", "test", False),
        ("slanted/05.png", "slanted/05.png", "test", False),
        ("standing/04.png", "standing/04.png", "test", False),
    ]
    bad = pq.read_table(tmp_path / "run" / "quarantine.parquet").to_pylist()
    assert [row["id"] for row in bad] == ["lying/broken.png"]


def test_keep_drop_quota_and_suspects_by_name(pools, tmp_path):
    train, _ = pools
    base = goodgrain.prune(train, keep=30, output=tmp_path / "base", **{**QUICK, "epochs": 0})
    suspect = set(pq.read_table(tmp_path / "base" / "suspects.parquet")["id"].to_pylist())
    assert suspect & set(base.ids.tolist())
    ruled = goodgrain.prune(
        train,
        keep=30,
        output=tmp_path / "ruled",
        must_keep=("picture 3.png",),
        must_drop=(base.ids[0], base.ids[1]),
        quotas={"lying": 5},
        drop_suspects=True,
        **{**QUICK, "epochs": 0},
    )
    assert ruled.ids[0] == "picture 3.png"
    assert not {base.ids[0], base.ids[1]} & set(ruled.ids.tolist())
    assert not suspect & set(ruled.ids[1:].tolist())
    assert (train.labels[ruled.positions] == 0).sum() <= 5
    reasons = dict(
        zip(
            *(pq.read_table(tmp_path / "ruled" / "selection.parquet")[c].to_pylist() for c in ("id", "reason")),
            strict=True,
        )
    )
    assert reasons["picture 3.png"] == "must keep"
    assert reasons[base.ids[0]] == "must drop"
    assert "its label looks wrong" in reasons.values()


def test_a_test_set_may_lack_a_class(pools, tmp_path):
    train, test = pools
    some = test.subset(np.flatnonzero(test.labels != 0))
    fewer = Pool.from_arrays(some.images(np.arange(len(some))), some.labels - 1, classes=["standing", "slanted"])
    whole = goodgrain.prune(train, test=some, keep=20, output=tmp_path / "whole", **QUICK)
    again = goodgrain.prune(train, test=fewer, keep=20, output=tmp_path / "again", **QUICK)
    assert again.metrics["budgets"] == whole.metrics["budgets"]


def test_numbered_classes_get_names(pools, tmp_path):
    train, test = (Pool.from_arrays(pool.images(np.arange(len(pool))), pool.labels) for pool in pools)
    names = ["lying", "standing", "slanted"]
    quick = {**QUICK, "epochs": 0}
    goodgrain.prune(train, test=test, keep=9, output=tmp_path / "run", class_names=names, quotas={"lying": 2}, **quick)
    table = pq.read_table(tmp_path / "run" / "selection.parquet").to_pydict()
    picked = [name for name, there in zip(table["class"], table["picked"], strict=True) if there]
    assert picked.count("lying") == 2
    assert set(table["class"]) == set(names)
    with pytest.raises(InputError, match="class_names has 2 names for 3 classes"):
        goodgrain.prune(train, keep=9, output=tmp_path / "other", class_names=names[:2], **quick)


def test_grand_uses_ten_models(pools, tmp_path):
    train, _ = pools
    small = train.subset(np.arange(36))
    goodgrain.prune(small, keep=5, output=tmp_path / "run", method="grand", warmup_epochs=1, epochs=0, flip=False)
    norms = Observations.read(tmp_path / "run" / "observations").gradient_norms
    assert norms.shape == (10, 36)
    assert len({row.tobytes() for row in norms}) == 10


@pytest.mark.parametrize("kind", ["copy", "huggingface"])
def test_the_kept_part_in_other_forms(pools, tmp_path, kind):
    from goodgrain.data.read import read

    train, _ = pools
    result = goodgrain.prune(train, keep=20, output=tmp_path / "run", export=kind, **{**QUICK, "epochs": 0})
    back = read(tmp_path / "run" / "export" / "keep-20" / ("data" if kind == "huggingface" else ""), max_bad=0.5)
    kept = train.images(result.positions)
    assert sorted(image.tobytes() for image in back.images(np.arange(20))) == sorted(image.tobytes() for image in kept)
    subset = result.torch_subset(7)
    assert subset.indices == result.positions[:7].tolist()


@pytest.mark.parametrize("compare", [(), ("prune4rel",)])
def test_auto_may_meet_any_method(tmp_path, compare):
    arguments = {"method": "uniform", "threshold": "auto", "compare": compare}
    result = goodgrain.prune(observations=own_observations(), keep=9, output=tmp_path / "run", **arguments)
    assert len(result.ids) == 9


def test_ordinary_types_of_python_and_numpy_are_taken(tmp_path):
    rng = np.random.default_rng(0)
    seen = Observations(
        ids=np.arange(30),
        labels=np.arange(30) % 3,
        features=rng.normal(size=(30, 4)),
        probabilities=rng.dirichlet([1] * 3, size=30),
    )

    def picks(name, **arguments):
        return goodgrain.prune(observations=seen, output=tmp_path / name, **arguments)

    assert picks("array", keep=np.array([0.1, 0.2])).counts == (3, 6)
    assert picks("int64", keep=np.int64(5)).counts == (5,)
    assert picks("float32", keep=np.float32(0.5)).counts == (15,)
    assert picks("compare", keep=5, compare="uniform", must_drop=None).counts == (5,)
    assert picks("ids", keep=5, must_keep=np.array([7, 3])).ids[:2].tolist() == [7, 3]
    assert (seen.labels[picks("quota", keep=9, quotas={0: 1}).positions] == 0).sum() == 1
    for keep in ("0.2", True, None):
        with pytest.raises(InputError, match="keep"):
            picks("bad", keep=keep)
