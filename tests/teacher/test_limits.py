"""Rates: never more in any minute than allowed, and never slower than that needs."""

import email.utils
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.teacher.limits import RateLimit, full_jitter, retry_after
from oracles_teacher import sent_within_a_minute
from teacher_server import Time


def sending_times(limit, clock, tokens):
    times = []
    for size in tokens:
        while wait := limit.take(size):
            clock.sleep(wait)
        times.append(clock.now)
    return times


def test_by_hand():
    clock = Time()
    limit = RateLimit(2, 100, clock=clock.clock)
    # 60 goes; 50 would make 110, so it waits for the first; 40 fits beside 50; a third in that minute does not.
    assert sending_times(limit, clock, [60, 50, 40, 1]) == [1000.0, 1060.0, 1060.0, 1120.0]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30)), max_size=30),
    st.one_of(st.none(), st.integers(1, 6)),
    st.one_of(st.none(), st.integers(1, 100)),
)
def test_no_minute_has_more_than_allowed_and_nobody_waits_in_vain(steps, requests, tokens):
    clock = Time()
    limit = RateLimit(requests, tokens, clock=clock.clock)
    sent = []
    for size, pause in steps:
        clock.now += pause
        while wait := limit.take(size):
            recent = [(at, spent) for at, spent in sent if clock.now - 60 < at]
            full = requests is not None and len(recent) >= requests
            dear = tokens is not None and sum(spent for _, spent in recent) + size > tokens
            assert recent
            assert full or dear
            clock.sleep(wait)
        recent = [spent for at, spent in sent if clock.now - 60 < at]
        assert requests is None or sent_within_a_minute([at for at, _ in sent], clock.now) < requests
        assert tokens is None or sum(recent) + size <= tokens or not recent
        sent.append((clock.now, size))


def test_a_request_larger_than_a_minute_goes_alone():
    clock = Time()
    limit = RateLimit(None, 10, clock=clock.clock)
    assert sending_times(limit, clock, [5, 500, 5]) == [1000.0, 1060.0, 1120.0]


def test_a_hold_stops_everything_and_the_longest_counts():
    clock = Time()
    limit = RateLimit(clock=clock.clock)
    limit.hold(30)
    limit.hold(5)
    assert limit.take(1) == 30
    clock.sleep(30)
    assert limit.take(1) == 0


def test_limits_that_are_refused():
    with pytest.raises(InputError, match="tokens_per_minute should be a whole number, at least 1; 0 came"):
        RateLimit(None, 0)


@pytest.mark.parametrize("failures", [1, 2, 5, 7, 2000])
def test_full_jitter_is_uniform_below_a_doubling_bound(failures):
    most = min(60.0, 2.0 ** (failures - 1)) if failures < 10 else 60.0
    draw = random.Random(0)
    waits = [full_jitter(failures, draw) for _ in range(2000)]
    assert 0 <= min(waits) < 0.01 * most
    assert 0.99 * most < max(waits) <= most
    assert abs(sum(waits) / 2000 - most / 2) < 0.03 * most
    assert full_jitter(failures, random.Random(7)) == full_jitter(failures, random.Random(7))


NOW = 1_000_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Nov 2026 99:99:99 GMT"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": email.utils.formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, 0.0),
    ],
)
def test_retry_after(headers, expected):
    assert retry_after(headers, now=NOW) == expected


@given(st.text(max_size=40))
def test_any_header_can_be_read(text):
    wait = retry_after({"retry-after": text}, now=NOW)
    assert wait is None or wait >= 0
