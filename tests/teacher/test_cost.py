"""Money: exact prices, bounds that hold, and a cap that threads cannot overspend together."""

import random
import threading
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.teacher import ChatRequest, CostCap, Message, Prices
from goodgrain.teacher.cost import NothingLeft, text_bound, token_bound, token_estimate


def test_prices_by_hand():
    # 1,500 tokens at 3 dollars and 200 at 15 dollars per million: 0.0045 + 0.003.
    assert Prices(3, 15).of(1500, 200) == Decimal("0.0075")
    assert Prices(0.1).of(3, 100) == Decimal("0.0000003")  # in floats 0.1 * 3 is more


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), True, "much", None])
def test_amounts_that_are_refused(amount):
    with pytest.raises(InputError, match="input_usd should be a number of US dollars, 0 or more"):
        Prices(amount)
    with pytest.raises(InputError, match="budget_usd should be a number of US dollars"):
        CostCap(amount)


@given(st.text(max_size=200))
def test_bounds_hold_for_a_byte_level_tokenizer(text):
    tokens = len(text.encode("utf-8", "replace"))  # the worst that one can do: a token for each byte
    assert tokens <= text_bound(text)
    assert token_estimate(text) <= max(1, text_bound(text))
    request = ChatRequest((Message("system", text), Message("user", text)))
    assert token_bound(request) >= 2 * tokens + len("system") + len("user") + 2 * 16


def test_the_estimate_by_hand():
    assert token_estimate("abcde") == 2
    assert token_estimate("\u00e9\u00e9") == 2
    assert token_estimate("") == 0


def test_what_does_not_fit_is_refused_when_nothing_is_under_way():
    cap = CostCap(1)
    with pytest.raises(NothingLeft, match=r"\$1.5 do not fit into the \$1 that are left"):
        cap.reserve(Decimal("1.5"))
    cap.reserve(Decimal(1)).lose()
    assert (cap.spent_usd, cap.lost_usd, cap.left_usd) == (0, 1, 0)
    cap.reserve(Decimal(0)).release()  # what is free fits into nothing
    with pytest.raises(NothingLeft):
        cap.reserve(Decimal("0.0001"))


def test_a_reservation_waits_for_what_calls_under_way_free():
    cap = CostCap(1)
    first = cap.reserve(Decimal("0.9"))
    threading.Timer(0.1, lambda: first.settle(Decimal("0.1"))).start()
    started = time.monotonic()
    cap.reserve(Decimal("0.9")).release()
    assert time.monotonic() - started > 0.05
    assert cap.spent_usd == Decimal("0.1")


def test_earlier_runs_count_once():
    cap = CostCap(1)
    cap.carry("a model", Decimal("0.4"), Decimal("0.1"))
    cap.carry("a model", Decimal("0.4"), Decimal("0.1"))
    cap.carry("another", Decimal("0.2"), Decimal(0))
    assert (cap.spent_usd, cap.lost_usd, cap.left_usd) == (Decimal("0.6"), Decimal("0.1"), Decimal("0.3"))


cents = st.integers(0, 100).map(lambda n: Decimal(n) / 100)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(cents, cents, st.sampled_from(["settle", "release", "lose"])), max_size=60), cents, st.integers()
)
def test_threads_never_overspend_together(calls, budget, seed):
    cap = CostCap(float(budget))
    turn, todo = threading.Lock(), list(calls)
    billed, refused, seen = [], [], []
    draw = random.Random(seed)

    def work():
        while True:
            with turn:
                if not todo:
                    return
                most, share, end = todo.pop()
            try:
                reservation = cap.reserve(most)
            except NothingLeft:
                refused.append(most)
                continue
            seen.append(cap.left_usd)
            time.sleep(draw.random() / 1000)
            paid = {"settle": most * share, "release": Decimal(0), "lose": most}[end]
            billed.append(paid)
            reservation.settle(paid) if end == "settle" else getattr(reservation, end)()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert sum(billed) <= budget
    assert all(left >= 0 for left in seen)
    assert cap.reserved_usd == 0
    assert cap.spent_usd + cap.lost_usd == sum(billed)
    assert len(billed) + len(refused) == len(calls)
    assert all(most > budget - sum(billed) for most in refused)  # refused only where it could not fit any more
