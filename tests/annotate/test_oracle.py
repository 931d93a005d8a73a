from collections import Counter

import pytest

from goodgrain.annotate import OOD, SKIP, UNSURE, Costs, Session, SimulatedOracle, drive
from goodgrain.errors import InputError

TRUTH = {f"row {i}": ("cat", "dog", "fork")[i % 3] for i in range(3000)}


def test_without_errors_it_tells_the_truth():
    oracle = SimulatedOracle({**TRUTH, "x": OOD}, ood={"fork"})
    assert [oracle(f"row {i}") for i in range(4)] == ["cat", "dog", OOD, "cat"]
    assert oracle("x") == OOD


def test_rates_are_kept_and_errors_fall_on_every_other_answer():
    oracle = SimulatedOracle(TRUTH, ood={"fork"}, error_rate=0.3, unsure_rate=0.1)
    said = Counter((TRUTH[item], oracle(item)) for item in TRUTH)
    for truth, right, wrong in (("cat", "cat", ("dog", OOD)), ("fork", OOD, ("cat", "dog"))):
        assert said[truth, right] / 1000 == pytest.approx(0.6, abs=0.05)  # 3 standard deviations of 1000 draws
        assert said[truth, UNSURE] / 1000 == pytest.approx(0.1, abs=0.03)
        assert [said[truth, other] / 1000 for other in wrong] == pytest.approx([0.15, 0.15], abs=0.035)


def test_the_same_id_gets_the_same_answer_in_any_order():
    first, second = (SimulatedOracle(TRUTH, ood={"fork"}, error_rate=0.5, seed=4) for _ in range(2))
    forwards = {item: first(item) for item in TRUTH}
    assert {item: second(item) for item in reversed(TRUTH)} == forwards
    other = SimulatedOracle(TRUTH, ood={"fork"}, error_rate=0.5, seed=5)
    assert {item: other(item) for item in TRUTH} != forwards


def test_what_it_cannot_be():
    with pytest.raises(InputError, match="0 or more, and at most 1 together; 0.7 and 0.4 came"):
        SimulatedOracle(TRUTH, error_rate=0.7, unsure_rate=0.4)
    with pytest.raises(InputError, match="does not know the truth of 'nobody'"):
        SimulatedOracle(TRUTH)("nobody")


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_it_drives_a_session_like_people_do(tmp_path, batch):
    oracle = SimulatedOracle(TRUTH, ood={"fork"})
    with Session.create(tmp_path, list(TRUTH), ["cat", "dog"], budget=60, costs=Costs(1, 3), seed=1) as session:
        told = drive(session, oracle, batch=batch, annotator="simulated")
        assert session.answers() == {item: oracle(item) for item in session.answers()}
        assert told == len(session.answers()) == len(session.history())
        assert 60 - 3 < session.spent <= 60  # not one more could be asked for
        session.close_round()
        with pytest.raises(InputError, match="round 0 is closed"):
            drive(session, oracle)


def test_skips_end_the_drive(tmp_path):
    with Session.create(tmp_path, ["a", "b"], ["cat"], budget=9) as session:
        assert drive(session, lambda _: SKIP) == 2
        assert session.spent == 0.0
