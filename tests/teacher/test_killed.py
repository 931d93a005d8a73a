"""Killed runs, and two at once, with one cache: what the server answered and what was asked again, counted there."""

import random
import signal
import subprocess
import sys
import time

import pytest

from goodgrain.teacher import AnswerCache, Client, CostCap, Prices, rank_clusters
from teacher_server import INPUT_TOKENS, OUTPUT_TOKENS, by_quality, serving

CONCURRENCY = 4
SCRIPT = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background passes on that it is ignored
from goodgrain.teacher import AnswerCache, Client, CostCap, Prices, rank_clusters
sys.path.insert(0, sys.argv[4])
from teacher.test_killed import clusters
with AnswerCache(sys.argv[2]) as cache:
    prices, cap = Prices(1, 10), CostCap(5)
    with Client(sys.argv[1], "tiny", cache=cache, prices=prices, cap=cap, concurrency=4, api_key_env=None) as teacher:
        print("open", flush=True)
        found = rank_clusters(clusters(int(sys.argv[3])), teacher)
        print([cluster.winner for cluster in found.clusters])
"""


def clusters(n):
    return [[(f"request {i}", f"quality {(7 * i + 3 * j) % 10}") for j in range(4)] for i in range(n)]


def start(server, path, n):
    here = __file__.rsplit("/", 2)[0]
    command = [sys.executable, "-c", SCRIPT, server.url, str(path), str(n), here]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


def answering(server, process, more):
    """Wait until the server has answered so many more, or nothing is left to ask."""
    before = sum(server.answered.values())
    while sum(server.answered.values()) < before + more and process.poll() is None:
        time.sleep(0.002)


def slowly(_, body):
    time.sleep(0.01)
    return by_quality(body)


def kill_drill(tmp_path, n, kills, seed):
    draw = random.Random(seed)
    path = tmp_path / "cache.db"
    with serving(slowly) as server:
        for _ in range(kills):
            with start(server, path, n) as process:
                answering(server, process, 1)
                time.sleep(draw.uniform(0.0, 0.2))
                process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
        while server.busy:  # it still answers, and charges, calls of a client that is gone
            time.sleep(0.01)
        before = sum(server.answered.values())
        with AnswerCache(path) as cache:
            cap = CostCap(5)
            with Client(server.url, "tiny", cache=cache, prices=Prices(1, 10), cap=cap, api_key_env=None) as teacher:
                kept = teacher.ledger.paid_calls
                found = rank_clusters(clusters(n), teacher)
                book = teacher.ledger
        answered = server.answered
    with serving(slowly) as server, Client(server.url, "tiny", api_key_env=None) as teacher:
        assert found.clusters == rank_clusters(clusters(n), teacher).clusters  # as if nobody had disturbed it
    # An answer that was under way when the kill came is asked again: at most one for each call at a time and kill.
    assert before - kept <= CONCURRENCY * kills
    assert len(answered) == n
    assert sum(answered.values()) - n <= CONCURRENCY * kills
    assert sum(answered.values()) - n == before - kept
    # The ledger: what is kept was paid once; what was lost counts at its worst against the cap.
    assert (book.paid_calls, book.input_tokens, book.output_tokens) == (n, n * INPUT_TOKENS, n * OUTPUT_TOKENS)
    assert before - kept <= book.lost_calls <= CONCURRENCY * kills
    charged = Prices(1, 10).of(INPUT_TOKENS, OUTPUT_TOKENS) * sum(answered.values())
    assert charged <= cap.spent_usd + cap.lost_usd <= 5
    return before


def test_killed_three_times(tmp_path):
    assert kill_drill(tmp_path, 150, 3, seed=0) > 0


@pytest.mark.soak
def test_killed_twenty_times(tmp_path):
    assert kill_drill(tmp_path, 1500, 20, seed=1) > 0


def test_ctrl_c_waits_for_what_is_under_way_and_keeps_it(tmp_path):
    path = tmp_path / "cache.db"
    with serving(slowly) as server:
        with start(server, path, 2000) as process:
            answering(server, process, 20)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        assert "KeyboardInterrupt" in said
        with AnswerCache(path) as cache:
            book = cache.ledger(server.url, "tiny")
        assert 0 < book.paid_calls == sum(server.answered.values()) < 2000
        assert book.lost_calls == 0


def test_two_processes_with_one_cache_end_the_same_and_a_third_pays_nothing(tmp_path):
    n, path, draw = 300, tmp_path / "cache.db", random.Random(0)

    def moody(_, body):  # never the same answer twice, as of a model that samples
        time.sleep(0.005)
        return " > ".join(f"[{number}]" for number in draw.sample(range(1, 5), 4))

    with serving(moody) as server:
        with start(server, path, n) as one, start(server, path, n) as other:
            said = [process.communicate(timeout=60) for process in (one, other)]
            assert [one.returncode, other.returncode] == [0, 0]
        assert said[0] == said[1]
        assert said[0][1] == ""
        paid = sum(server.answered.values())
        assert len(server.answered) == n <= paid <= 2 * n  # what both ask at the same time is paid by both
        with (
            AnswerCache(path) as cache,
            Client(server.url, "tiny", cache=cache, api_key_env=None) as teacher,
        ):
            assert teacher.ledger.paid_calls == paid
            assert teacher.ledger.lost_calls == 0
            third = rank_clusters(clusters(n), teacher)
        assert f"{[cluster.winner for cluster in third.clusters]}\n" == said[0][0]
        assert sum(server.answered.values()) == paid


def test_a_process_sends_nothing_that_another_has_had_answered_since_it_began(tmp_path):
    path = tmp_path / "cache.db"

    def first_then_rest(place, body):
        if place == 0:  # while this one is under way, another process has all answered
            with AnswerCache(path) as cache, Client(server.url, "tiny", cache=cache, api_key_env=None) as another:
                rank_clusters(clusters(20), another)
        return by_quality(body)

    with serving(first_then_rest) as server:
        with (
            AnswerCache(path) as cache,
            Client(server.url, "tiny", cache=cache, concurrency=1, api_key_env=None) as teacher,
        ):
            from_cache = []
            rank_clusters(clusters(20), teacher, on_answer=lambda _, answer: from_cache.append(answer.from_cache))
        assert sum(server.answered.values()) == 21  # the first is asked by both
        assert from_cache == [False] + [True] * 19
