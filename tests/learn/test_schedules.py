import pytest

from goodgrain.learn.schedules import SCHEDULES, halfway, warm_cosine


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_rises_to_one_and_never_rises_again(name):
    factors = [SCHEDULES[name](step / 200, warmup=0.1) for step in range(201)]
    top = factors.index(max(factors))
    assert factors[20] == pytest.approx(1.0)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_by_hand():
    assert warm_cosine(0.5, warmup=0.0) == pytest.approx(0.5)
    assert warm_cosine(1.0, warmup=0.0) == pytest.approx(0.0)
    assert halfway(0.499, warmup=0.0) == 1.0
    assert halfway(0.5, warmup=0.0) == pytest.approx(0.1)
    assert halfway(0.05, warmup=0.1) == pytest.approx(0.5)
