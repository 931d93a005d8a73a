"""What a pruning run refuses, before it trains or claims a folder."""

import numpy as np
import pytest

import goodgrain
from conftest import own_observations
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError, UnknownName
from goodgrain.observations import Observations


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"keep": 0}, "keep should hold counts (whole numbers above 0) or shares (above 0, at most 1); 0 came"),
        ({"keep": 1.2}, "1.2 came"),
        ({"keep": 151}, "budget=151 is more than the 150 examples"),
        ({"keep": [0.2, 0.2]}, "keep names a budget twice"),
        ({"keep": [0.2, 30]}, "two budgets come to the same count: 30, 30 of 150"),
        ({"method": "prune4real"}, "no pruning method 'prune4real'. Did you mean 'prune4rel'?"),
        ({"gian": "own"}, "no argument of prune 'gian'. Did you mean 'gain'?"),
        ({"threshold": "automatic"}, 'threshold should be a number in (0, 1] or "auto"'),
        ({"must_keep": ("nobody",)}, "must_keep names 1 ids that the data lacks, the first is 'nobody'"),
        ({"quotas": {"lyin": 3}}, "there is a quota for class 'lyin', but the classes are lying, standing, slanted"),
        ({"export": "zip"}, "no export 'zip'"),
        ({"compare": ("everything",)}, "no pruning method to compare with 'everything'"),
        ({"epochs": -1}, "epochs should be a whole number of 0 or more; -1 came"),
        ({"model": "smal"}, "no network 'smal'. Did you mean 'small'?"),
    ],
)
def test_bad_arguments_are_said_and_leave_no_result(pools, tmp_path, arguments, sentence):
    with pytest.raises((InputError, UnknownName)) as error:
        goodgrain.prune(pools[0], **{"keep": 5, "output": tmp_path / "run", "warmup_epochs": 1, **arguments})
    assert sentence in str(error.value)
    assert not (tmp_path / "run" / "selection.parquet").exists()


def test_bad_data_is_said_before_any_training(pools, tmp_path):
    train, test = pools

    def refused(sentence, *args, **kwargs):
        with pytest.raises(InputError) as error:
            goodgrain.prune(*args, **{"keep": 5, "output": tmp_path / "run", **kwargs})
        assert sentence in str(error.value)
        assert not (tmp_path / "run").exists()

    refused("nothing to prune: give data, observations, or both")
    images = train.images(np.arange(9))
    refused("class 'c' is empty", Pool.from_arrays(images, np.arange(9) % 2, classes=["a", "b", "c"]))
    refused("there is only one class", Pool.from_arrays(images, np.zeros(9, int), classes=["a"]))
    refused("1 images have no class label", Pool.from_arrays(images, [0, 1, 0, 1, 0, 1, 0, 1, -1]))
    other = Pool.from_arrays(images, np.arange(9) % 3, classes=["x", "y", "z"])
    refused(
        "the test set has the class 'x', which the data lacks; its classes are lying, standing, slanted",
        train,
        test=other,
    )
    refused("1 test images have no class label", train, test=test.with_labels(np.r_[-1, test.labels[1:]]))
    wide = Pool.from_arrays(np.zeros((3, 12, 20), np.uint8), [0, 1, 2], classes=list(train.classes))
    refused("the test images come as (12, 20, 1) (height, width, channels), the data as (12, 12, 1)", train, test=wide)
    refused("a test set needs data to train on", observations=own_observations(), test=test)
    refused("class '2' is empty", observations=own_observations(labels=np.arange(60) % 2))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"must_keep": ["nope"]}, "must_keep names 1 ids that the data lacks"),
        ({"quotas": {"nope": 1}}, "there is a quota for class 'nope'"),
        ({"keep": 150, "must_drop": ["picture 1.png"]}, "budget=150 is more than the 149 examples left to pick"),
        (
            {"keep": [2, 9], "must_keep": ["picture 1.png", "picture 2.png", "picture 3.png"]},
            "the smallest budget is 2",
        ),
        ({"keep": 1}, "a part of 1 example cannot be trained on"),
        ({"quotas": {"lying": 1}, "balanced": False}, "so they cannot go with balanced=False"),
        ({"quotas": {"lying": 1.5}}, "the quota of class 'lying' should be a whole number of 0 or more; 1.5 came"),
    ],
)
def test_rules_that_cannot_be_met_are_refused_before_the_folder_is_claimed(pools, tmp_path, arguments, sentence):
    with pytest.raises(InputError) as error:
        goodgrain.prune(pools[0], **{"keep": 5, "output": tmp_path / "run", **arguments})
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists()


def test_missing_columns_are_refused_before_the_folder_is_claimed(tmp_path):
    seen = own_observations()
    strong = Observations(
        ids=seen.ids, labels=seen.labels, strong_features=seen.features, strong_probabilities=seen.probabilities
    )
    for arguments, sentence in (
        ({"observations": seen, "method": "aum"}, "the observations lack margin"),
        ({"observations": seen, "compare": ["small-loss"]}, "the observations lack losses"),
        ({"observations": strong, "drop_suspects": True}, "drop_suspects needs probabilities and labels"),
    ):
        with pytest.raises(InputError, match=sentence):
            goodgrain.prune(keep=9, output=tmp_path / "run", **arguments)
        assert not (tmp_path / "run").exists()
