import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.metrics import ood_metrics


def oracle(inside, outside):
    """Pairs for AUROC; every threshold in turn for the others."""
    wins = [1.0 if low < high else 0.5 if low == high else 0.0 for low in outside for high in inside]
    thresholds = sorted({*inside, *outside})
    precision, area, before = 0.0, 0.0, 0.0
    for threshold in thresholds:  # everything at or below is called OOD
        found, false = sum(x <= threshold for x in outside), sum(x <= threshold for x in inside)
        precision, recall = found / (found + false), found / len(outside)
        area, before = area + precision * (recall - before), recall
    kept = max(t for t in thresholds if sum(x >= t for x in inside) >= 0.95 * len(inside))
    return np.mean(wins), area, sum(x >= kept for x in outside) / len(outside)


@given(st.integers(0, 400))
def test_equals_the_slow_oracle(seed):
    rng = np.random.default_rng(seed)
    inside = rng.normal(1, 1, int(rng.integers(1, 50))).round(int(rng.integers(0, 3)))  # ties within and across
    outside = rng.normal(0, 1, int(rng.integers(1, 50))).round(1)
    found = ood_metrics(inside, outside)
    np.testing.assert_allclose([found["auroc"], found["aupr_out"], found["fpr95"]], oracle(inside, outside))


def test_by_hand():
    # 19 of 20 in-distribution scores have to be kept: the threshold is 1, which one of two OOD scores reaches
    found = ood_metrics([0.0, *range(1, 20)], [0.5, 1.0])
    assert found["fpr95"] == 0.5
    assert ood_metrics([2, 3], [0, 1]) == {"auroc": 1.0, "aupr_out": 1.0, "fpr95": 0.0}
    assert ood_metrics([1, 1], [1, 1]) == {"auroc": 0.5, "aupr_out": 0.5, "fpr95": 1.0}


def test_only_the_order_counts():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, 40), rng.normal(0, 1, 30)
    assert ood_metrics(inside, outside) == ood_metrics(np.exp(inside) * 3, np.exp(outside) * 3)


def test_refusals():
    with pytest.raises(InputError, match="purity_out"):
        ood_metrics([1.0], [])
    with pytest.raises(InputError, match="purity_in has NaN"):
        ood_metrics([np.nan], [1.0])
