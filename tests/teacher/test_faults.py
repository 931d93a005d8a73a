"""Thousands of clusters through a server that fails: all ranked, none paid twice, never above the cap."""

import random
import re
import threading
from collections import Counter

import pytest

from goodgrain.errors import CostCapReached, TeacherUnavailable
from goodgrain.teacher import AnswerCache, Client, CostCap, Prices, rank_clusters
from teacher_server import INPUT_TOKENS, OUTPUT_TOKENS, Time, by_quality, serving

N = 2000
PRICES = Prices(1.0, 10.0)
ONE = PRICES.of(INPUT_TOKENS, OUTPUT_TOKENS)
FREE = [
    (429, {"Retry-After": "1"}, ""),
    (429, {}, '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'),
    (500, {}, "oh"),
    (503, {"Retry-After-Ms": "20"}, "<html>busy</html>"),
]
MAY_BE_BILLED = ["drop", "cut", "hang", (200, {}, ""), (200, {}, '{"choices": [{"mess'), (200, {}, "<html>hi</html>")]
CLUSTERS = [[(f"request {i}", f"quality {(7 * i + 3 * j) % 10}") for j in range(1 + i % 4)] for i in range(N)]
BEST = [max(range(len(rows)), key=lambda j: int(rows[j][1].split()[1])) for rows in CLUSTERS]


class Faulty:
    """Fails 30% of calls in every way, and answers one in twenty first prompts with words that rank nothing."""

    def __init__(self):
        self.turn, self.failed, self.unreadable = threading.Lock(), Counter(), 0

    def __call__(self, place, body):
        draw = random.Random(place)
        if draw.random() < 0.3:
            trouble = draw.choice(FREE + MAY_BE_BILLED)
            with self.turn:
                self.failed["free" if trouble in FREE else "may be billed"] += 1
            return trouble
        if draw.random() < 0.05 and "An earlier answer" not in body["messages"][-1]["content"]:
            with self.turn:
                self.unreadable += 1
            return "All of them are lovely."
        return by_quality(body)


def rank(server, path, cap, n=N):
    clock = Time()
    with (
        AnswerCache(path) as cache,
        Client(
            server.url, "tiny", cache=cache, prices=PRICES, cap=cap, api_key_env=None, timeout=0.5, attempts=20,
            clock=clock.clock, sleep=clock.sleep,
        ) as teacher,
    ):  # fmt: skip
        try:
            return rank_clusters(CLUSTERS[:n], teacher, max_tokens=64), teacher.ledger
        except (CostCapReached, TeacherUnavailable) as error:
            return error, teacher.ledger


def test_two_thousand_clusters_through_a_server_that_fails_three_of_ten_calls(tmp_path):
    faults, path = Faulty(), tmp_path / "cache.db"
    with serving(faults) as server:
        small, large = CostCap(0.5), CostCap(10)
        reached, early = rank(server, path, small)
        assert isinstance(reached, CostCapReached)
        assert 0 < reached.done == early.paid_calls == sum(server.answered.values()) < N
        most = ONE * (sum(server.answered.values()) + faults.failed["may be billed"])  # if the server charges them all
        assert most <= small.spent_usd + small.lost_usd <= small.budget_usd
        assert small.reserved_usd == 0

        found, book = rank(server, path, large)
        prompts = N + faults.unreadable
        assert [one.winner for one in found.clusters] == BEST
        assert {one.state for one in found.clusters} == {"ranked"}
        assert (found.malformed_at_first, found.malformed) == (faults.unreadable, 0)
        assert faults.unreadable > 50
        # None twice, and the ledger is the server's own count.
        assert len(server.answered) == sum(server.answered.values()) == prompts == book.paid_calls
        assert (book.input_tokens, book.output_tokens) == (prompts * INPUT_TOKENS, prompts * OUTPUT_TOKENS)
        assert book.lost_calls == faults.failed["may be billed"]
        assert large.spent_usd == ONE * prompts
        assert ONE * (prompts + book.lost_calls) <= large.spent_usd + large.lost_usd <= large.budget_usd
        assert sum(faults.failed.values()) > 0.25 * len(server.bodies)
        sent = len(server.bodies)
        again, _ = rank(server, path, large)
        assert again.clusters == found.clusters
        assert len(server.bodies) == sent


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ((401, {}, '{"error": "bad key"}'), "the server refused a call without a key .* 401: bad key"),
        ((402, {}, ""), "no money or quota left"),
        ((429, {}, '{"error": {"message": "pay", "code": "insufficient_quota"}}'), "no money or quota left"),
        ((400, {}, '{"error": "bad field"}'), "400: bad field"),
        ((500, {}, ""), "500, after 20 attempts"),
        ("drop", "the connection broke off .* after 20 attempts"),
    ],
    ids=["wrong key", "no money", "no quota", "bad request", "broken", "cut off"],
)
def test_what_was_paid_for_stays_when_the_server_refuses_from_some_moment_on(end, sentence, tmp_path):
    well = False
    script = lambda place, body: by_quality(body) if well or place < 100 else end  # noqa: E731
    with serving(script) as server:
        error, book = rank(server, tmp_path / "cache.db", CostCap(10), n=200)
        assert isinstance(error, TeacherUnavailable)
        assert re.search(sentence, str(error))
        assert "what was paid for is kept" in str(error).lower()
        assert book.paid_calls == sum(server.answered.values()) == 100
        well = True
        found, book = rank(server, tmp_path / "cache.db", CostCap(10), n=200)
        assert [one.winner for one in found.clusters] == BEST[:200]
        assert len(server.answered) == sum(server.answered.values()) == book.paid_calls == 200
