import pytest

from goodgrain.errors import InputError
from goodgrain.pipelines.learning_curve import where_more_stops_paying


def test_a_rising_curve_still_pays():
    # From 1,000 to 2,000 is one doubling: 5 points, far above two standard errors of sqrt(2) x 0.5 points.
    text = where_more_stops_paying([2000, 1000], [0.65, 0.60], [0.005, 0.005])
    assert text.startswith("More data still pays: from 1,000 to 2,000 examples accuracy rises by 5.0 points")


def test_a_flat_end_stops_where_it_begins():
    text = where_more_stops_paying([100, 200, 400, 800], [0.5, 0.6, 0.602, 0.604], [0.002] * 4)
    assert text.startswith("More data stops paying at 200 examples: from there to 800, accuracy changes by +0.2 points")


def test_a_rise_within_its_error_does_not_count():
    assert "stops paying at 100 examples" in where_more_stops_paying([100, 200], [0.50, 0.53], [0.02, 0.02])


def test_a_late_rise_counts():
    assert "still pays" in where_more_stops_paying([100, 200, 400], [0.5, 0.5, 0.6], [0.005] * 3)


def test_falling_accuracy_is_said_as_it_is():
    assert "changes by -5.0 points" in where_more_stops_paying([100, 200], [0.6, 0.55], [0.005] * 2)


@pytest.mark.parametrize(("counts", "accuracy"), [([100], [0.5]), ([100, 100], [0.5, 0.6]), ([100, 200], [0.5])])
def test_too_few_budgets(counts, accuracy):
    with pytest.raises(InputError, match="two or more different budgets"):
        where_more_stops_paying(counts, accuracy, [0.01] * len(counts))
