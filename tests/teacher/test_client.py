"""The client against a real server that misbehaves: what is sent, tried again, given up, paid and kept."""

import email.utils
import json
import logging
import threading
import time
from dataclasses import replace

import pytest

from goodgrain.errors import CostCapReached, InputError, TeacherUnavailable
from goodgrain.teacher import Answer, AnswerCache, ChatRequest, Client, CostCap, Failure, Prices, Requests
from teacher_server import INPUT_TOKENS, OUTPUT_TOKENS, Time, chat, echo, serving

PRICES = Prices(1.0, 10.0)
ONE = float(PRICES.of(INPUT_TOKENS, OUTPUT_TOKENS))  # dollars for an answer of the scripted server
KEY = "sk-very-secret-0123456789"


def requests(n, **more):
    return [ChatRequest.of("user", f"question {i}", max_tokens=32, **more) for i in range(n)]


def client(server, **more):
    clock = more.pop("time", None) or Time()
    given = {"api_key_env": None, "clock": clock.clock, "sleep": clock.sleep, "timeout": 5.0, **more}
    return Client(server if isinstance(server, str) else server.url, "tiny", **given)


def texts(answers):
    return [answer.text if isinstance(answer, Answer) else answer for answer in answers]


def test_answers_come_back_in_the_order_asked_and_are_told_as_they_come():
    def slow_first(place, body):
        time.sleep(0.3 if "question 0" in echo(body).lower() else 0.0)
        return echo(body)

    told = []
    with serving(slow_first) as server, client(server, concurrency=3) as teacher:
        answers = teacher.ask(requests(6), lambda place, answer: told.append((place, answer)))
    assert texts(answers) == [f"QUESTION {i}" for i in range(6)]
    assert sorted(place for place, _ in told) == list(range(6))
    assert told[-1][0] == 0
    assert all(answers[place] == answer for place, answer in told)
    assert server.most_busy <= 3
    assert set(server.paths) == {"/v1/chat/completions"}


def test_what_is_sent():
    request = ChatRequest(requests(1)[0].messages, max_tokens=7, temperature=0.5, seed=3)
    with serving(lambda *_: "yes") as server:
        with client(server, options={"top_p": 0.5}, length_field="max_completion_tokens") as teacher:
            teacher.ask([request])
        with client(server) as teacher:
            teacher.ask([ChatRequest(request.messages, temperature=None)])
    messages = [{"role": "user", "content": "question 0"}]
    sent = {"model": "tiny", "messages": messages, "max_completion_tokens": 7, "temperature": 0.5, "seed": 3}
    assert server.bodies == [sent | {"top_p": 0.5}, {"model": "tiny", "messages": messages, "max_tokens": 512}]


def test_the_same_request_is_paid_once(tmp_path):
    twice = requests(3) + requests(3)
    with (
        serving(lambda _, body: echo(body)) as server,
        AnswerCache(tmp_path / "cache.db") as cache,
        client(server, cache=cache) as teacher,
    ):
        first = teacher.ask(twice)
        again = teacher.ask(twice)
        other = teacher.ask([ChatRequest(request.messages, seed=1) for request in requests(1)])
    assert len(server.bodies) == 4
    assert texts(first) == texts(again)
    assert [answer.from_cache for answer in again] == [True] * 6
    assert not other[0].from_cache


def test_requests_made_when_asked_for_are_those_of_a_list():
    plain = requests(5)
    made = Requests(5, lambda i: requests(5)[i])
    assert (len(made), list(made), made[-1], made[1:4:2]) == (5, plain, plain[4], plain[1:4:2])
    with pytest.raises(IndexError):
        made[5]
    with serving(lambda _, body: echo(body)) as server, client(server) as teacher:
        assert texts(teacher.ask(made)) == texts(teacher.ask(plain)) == [f"QUESTION {i}" for i in range(5)]
    assert len(server.bodies) == 5


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {}, "oh"),
        (503, {}, ""),
        (429, {}, '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'),
        (200, {}, ""),
        (200, {}, '{"choices": [{"mess'),
        (200, {}, "<html>busy</html>"),
        (200, {}, '{"choices": []}'),
        (200, {}, "[" * 100_000),
        "drop",
        "cut",
        "hang",
        "drip",
    ],
    ids=lambda trouble: str(trouble)[:40],
)
def test_trouble_passes(trouble, tmp_path):
    clock = Time()
    script = lambda place, body: trouble if place < 2 else echo(body)  # noqa: E731
    with serving(script) as server, client(server, time=clock, timeout=0.4) as teacher:
        assert texts(teacher.ask(requests(1))) == ["QUESTION 0"]
        book = teacher.ledger
    assert len(server.bodies) == 3
    assert 0 <= clock.slept[0] <= 1
    assert 0 <= clock.slept[1] <= 2
    assert (book.paid_calls, book.input_tokens, book.output_tokens) == (1, INPUT_TOKENS, OUTPUT_TOKENS)
    surely_free = isinstance(trouble, tuple) and trouble[0] != 200
    assert book.lost_calls == (0 if surely_free else 2)  # a call that broke off may have been billed


def in_two_minutes():
    return email.utils.formatdate(time.time() + 120, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 8),
        ({"Retry-After-Ms": "1500"}, 1.5, 2.5),
        ({"Retry-After": in_two_minutes}, 60, 121),
        ({"Retry-After": lambda: email.utils.formatdate(0, usegmt=True)}, 0, 1),
        ({"Retry-After": "when I am ready"}, 0, 1),
    ],
)
def test_the_server_says_how_long_to_wait(headers, least, most):
    clock = Time()
    headers = {name: value() if callable(value) else value for name, value in headers.items()}
    script = lambda place, body: echo(body) if place else (429, headers, "")  # noqa: E731
    with serving(script) as server, client(server, time=clock) as teacher:
        teacher.ask(requests(1))
    assert least <= sum(clock.slept) <= most


def test_a_wait_of_hours_is_not_waited_for():
    with (
        serving(lambda *_: (429, {"Retry-After": "7200"}, "")) as server,
        client(server) as teacher,
        pytest.raises(TeacherUnavailable, match="the server asks to wait for 7200 seconds"),
    ):
        teacher.ask(requests(1))


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, {"error": {"message": "bad field"}}, "400: bad field"),
        (401, {"error": {"message": "no key"}}, r"the server refused a call without a key \(None\); 401: no key"),
        (403, {"detail": "not you"}, "403: not you"),
        (400, {"detail": "Server is pinned to 'a'; requested 'b'."}, "400: Server is pinned to 'a'; requested 'b'"),
        (404, {"error": "no such model"}, r"/chat/completions answered 404: no such model; check .* model's name"),
        (405, {}, "/v1/chat/completions answered 405; check the address"),
        (302, {}, "302: the address leads elsewhere"),
        (429, {"error": {"message": "pay first", "code": "insufficient_quota"}}, "429: pay first .* no money or quota"),
        (429, {"error": {"message": "pay first", "type": "insufficient_quota"}}, "429: pay first .* no money or quota"),
        (402, {}, "402 .* no money or quota"),
    ],
)
def test_what_cannot_pass_stops_at_once(status, body, sentence):
    with (
        serving(lambda *_: (status, {"Location": "http://x"}, json.dumps(body))) as server,
        client(server, concurrency=1) as teacher,
        pytest.raises(TeacherUnavailable, match=sentence),
    ):
        teacher.ask(requests(5))
    assert len(server.bodies) == 1


def test_one_prompt_that_is_too_long_fails_alone():
    too_long = {"error": {"message": "This model's maximum context length is 9 tokens", "code": 400}}
    script = lambda _, body: (400, {}, json.dumps(too_long)) if "N 1" in echo(body) else echo(body)  # noqa: E731
    with serving(script) as server, client(server) as teacher:
        answers = teacher.ask(requests(3))
        assert texts(answers)[::2] == ["QUESTION 0", "QUESTION 2"]
        assert answers[1] == Failure("400: This model's maximum context length is 9 tokens.")
        teacher.ask(requests(3))
    assert len(server.bodies) == 4  # the failure is not in the cache


def test_a_request_that_always_fails_is_given_up_and_asked_again_by_the_next_run():
    broken = True
    script = lambda _, body: (500, {}, "no") if "N 1" in echo(body) and broken else echo(body)  # noqa: E731
    with serving(script) as server, client(server, attempts=4, concurrency=1) as teacher:
        assert teacher.ask(requests(3))[1] == Failure("500: no, after 4 attempts.")
        assert len(server.bodies) == 6
        broken = False
        assert texts(teacher.ask(requests(3)))[1] == "QUESTION 1"
    assert len(server.bodies) == 7


def test_a_server_that_fails_on_and_on_is_not_asked_for_everything():
    script = lambda place, body: echo(body) if place == 0 else (500, {}, "")  # noqa: E731
    with (
        serving(script) as server,
        client(server, attempts=2, concurrency=1) as teacher,
        pytest.raises(TeacherUnavailable, match="500, after 2 attempts. What was paid for is kept"),
    ):
        teacher.ask(requests(50))
    assert len(server.bodies) == 7  # one answer, then three requests in a row that fail twice


def test_a_server_that_never_answers_may_not_know_the_model():
    hint = "500: oh, after 2 attempts. It answered nothing: see its log, and check the model's name, tiny."
    with (
        serving(lambda *_: (500, {}, "oh")) as server,
        client(server, attempts=2, concurrency=1) as teacher,
        pytest.raises(TeacherUnavailable, match=hint),
    ):
        teacher.ask(requests(50))
    assert len(server.bodies) == 6


def test_a_server_that_is_not_there():
    with serving(lambda *_: "") as server:
        url = server.url
    clock = Time()
    with client(url, time=clock, concurrency=1) as teacher:
        with pytest.raises(TeacherUnavailable, match=r"127.0.0.1:\d+/v1 cannot be reached .* after 3 attempts"):
            teacher.ask(requests(5))
        assert teacher.ledger.lost_calls == 0
    assert sum(clock.slept) <= 3


def test_a_reply_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr("goodgrain.teacher.server._LARGEST_REPLY", 1000)
    with serving(lambda *_: "x" * 2000) as server, client(server, attempts=1) as teacher:
        assert "the reply is larger than" in teacher.ask(requests(1))[0].reason


def test_one_request_that_always_fails_does_not_stop_a_run_that_has_all_others(tmp_path):
    script = lambda _, body: (500, {}, "no") if "N 1" in echo(body) else echo(body)  # noqa: E731
    with serving(script) as server, client(server, attempts=2) as teacher:
        for _ in range(2):
            assert teacher.ask(requests(3))[1] == Failure("500: no, after 2 attempts.")


def test_answers_in_unusual_forms():
    parts = [{"type": "text", "text": "[1]"}, {"type": "text", "text": " > [2]"}]
    odd = [chat(parts), chat(None, "length"), chat("x", None), chat("y", usage={}), chat("z", usage=None)]
    with serving(lambda place, _: odd[place]) as server, client(server, concurrency=1) as teacher:
        answers = teacher.ask(requests(5))
    assert texts(answers) == ["[1] > [2]", "", "x", "y", "z"]
    assert [answer.truncated for answer in answers] == [False, True, False, False, False]
    assert [answer.output_tokens for answer in answers] == [8, 8, 8, None, None]


# --- rates


def test_requests_per_minute():
    clock = Time()
    with (
        serving(lambda _, body: echo(body)) as server,
        client(server, time=clock, requests_per_minute=5, concurrency=1) as teacher,
    ):
        teacher.ask(requests(12))
    assert clock.now == 1120.0  # 5, 5 and 2: two whole minutes were waited for
    assert len(server.bodies) == 12


def test_tokens_per_minute():
    clock = Time()  # "question 0" is 3 tokens, 4 for its role, and 32 may come back: 39, so that 100 take two
    with serving(lambda _, body: echo(body)) as server:
        teacher = client(server, time=clock, tokens_per_minute=100, concurrency=1)
        with teacher:
            teacher.ask(requests(5))
    assert clock.now == 1120.0


def test_one_request_that_is_told_to_wait_holds_back_all():
    clock = Time()
    script = lambda place, body: (429, {"Retry-After": "30"}, "") if place == 0 else echo(body)  # noqa: E731
    with serving(script) as server, client(server, time=clock, concurrency=1) as teacher:
        teacher.ask(requests(2))
    assert clock.now >= 1030
    assert teacher._limit.take(1) == 0.0


# --- money


def test_the_cap_is_never_passed_and_says_what_was_done(tmp_path):
    hundred = requests(200)[100:]  # all of one length
    most = float(PRICES.of(len("user" + "question 100") + 16 + 64, 32))  # 96 tokens in at most, 32 out
    budget = 10 * ONE + most
    with serving(lambda _, body: echo(body)) as server, AnswerCache(tmp_path / "cache.db") as cache:
        cap = CostCap(budget)
        with client(server, cache=cache, prices=PRICES, cap=cap, concurrency=8) as teacher:
            with pytest.raises(CostCapReached) as caught:
                teacher.ask(hundred)
            assert cap.reserved_usd == 0
            done = len(server.bodies)
            assert 10 <= done <= 13
            assert float(cap.spent_usd) == pytest.approx(done * ONE)
            assert float(cap.spent_usd) <= budget
            assert teacher.ledger.paid_calls == caught.value.done == done
    assert str(caught.value).startswith(f"the cost cap of ${budget:.4f} is reached: {done} of 100 requests have an")
    assert f"The other {100 - done} take about" in str(caught.value)
    assert caught.value.most_usd == pytest.approx((100 - done) * most)


def test_a_second_run_spends_the_rest_of_the_same_budget(tmp_path):
    with serving(lambda _, body: echo(body)) as server:
        for budget, done in ((20 * ONE, None), (20 * ONE, None), (1.0, 100)):
            with AnswerCache(tmp_path / "cache.db") as cache:
                cap = CostCap(budget)
                with client(server, cache=cache, prices=PRICES, cap=cap) as teacher:
                    if done is None:
                        with pytest.raises(CostCapReached):
                            teacher.ask(requests(100))
                    else:
                        assert len(teacher.ask(requests(100))) == done
                assert float(cap.spent_usd) <= budget
                assert float(cap.spent_usd) == pytest.approx(len(server.bodies) * ONE)
    assert set(server.answered.values()) == {1}


def test_calls_that_broke_off_count_against_the_cap():
    with serving(lambda *_: "cut") as server:
        cap = CostCap(0.001)
        with (
            client(server, prices=PRICES, cap=cap, concurrency=2) as teacher,
            pytest.raises(CostCapReached, match=r"0 of 1 requests .* up to \$0.0008 for calls that broke off"),
        ):
            teacher.ask(requests(1))
    assert len(server.bodies) == 2  # a third could have cost more than was left
    assert cap.spent_usd == 0
    assert 0 < float(cap.lost_usd) <= 0.001


def test_without_usage_the_worst_case_is_charged():
    with serving(lambda *_: chat("x", usage=None)) as server:
        cap = CostCap(1)
        with client(server, prices=PRICES, cap=cap) as teacher:
            teacher.ask(requests(1))
    assert cap.spent_usd == PRICES.of(94, 32)


def test_a_dry_run_sends_nothing():
    with serving(lambda _, body: echo(body)) as server, client(server, prices=PRICES) as teacher:
        teacher.ask(requests(1))
        found = teacher.estimate(requests(3))
        assert len(server.bodies) == 1
    assert (found.requests, found.cached) == (3, 1)
    assert (found.input_tokens, found.output_tokens) == (2 * (3 + 4), 64)  # "question 1": 10 characters, 3 tokens
    assert (found.most_input_tokens, found.most_output_tokens) == (2 * 94, 64)
    assert found.likely_usd == pytest.approx(14e-6 + 640e-6)
    assert found.most_usd == pytest.approx(188e-6 + 640e-6)


def test_a_dry_run_counts_what_comes_twice_once_and_takes_requests_one_by_one():
    with client("http://localhost:1", prices=PRICES) as teacher:
        once, twice = teacher.estimate(requests(3)), teacher.estimate(iter(requests(3) + requests(3)))
    assert twice == replace(once, requests=6)


def test_without_prices_there_is_no_price_and_no_cap():
    with client("http://localhost:1") as teacher:
        assert teacher.estimate(requests(1)).likely_usd is None
    with pytest.raises(InputError, match="a cost cap needs prices"):
        client("http://localhost:1", cap=CostCap(1))


def test_a_server_that_fails_a_third_of_calls(tmp_path):
    trouble = [(500, {}, ""), (429, {"Retry-After": "1"}, ""), "drop", (200, {}, ""), (503, {}, "x")]
    script = lambda place, body: trouble[place // 3 % 5] if place % 3 == 1 else echo(body)  # noqa: E731
    cap = CostCap(5)
    with (
        serving(script) as server,
        AnswerCache(tmp_path / "cache.db") as cache,
        client(server, cache=cache, prices=PRICES, cap=cap, concurrency=8, attempts=20) as teacher,
    ):
        answers = teacher.ask(requests(300))
        book = teacher.ledger
    assert texts(answers) == [f"QUESTION {i}" for i in range(300)]
    assert len(server.answered) == 300
    assert set(server.answered.values()) == {1}
    assert book.paid_calls == 300
    assert book.input_tokens == 300 * INPUT_TOKENS
    assert cap.spent_usd == 300 * PRICES.of(INPUT_TOKENS, OUTPUT_TOKENS)
    assert cap.reserved_usd == 0
    assert cap.spent_usd + cap.lost_usd <= 5


# --- ends


def test_an_error_of_the_listener_ends_the_batch_and_what_was_paid_for_is_kept(tmp_path):
    def listen(place, answer):
        raise KeyboardInterrupt  # as Ctrl-C does, in the caller's thread

    with (
        serving(lambda _, body: echo(body)) as server,
        AnswerCache(tmp_path / "cache.db") as cache,
        client(server, cache=cache, concurrency=4) as teacher,
    ):
        with pytest.raises(KeyboardInterrupt):
            teacher.ask(requests(200), listen)
        paid = len(server.bodies)
        assert paid < 200
        assert teacher.ledger.paid_calls == paid
        assert teacher.ledger.lost_calls == 0
        assert threading.active_count() < 40
        teacher.ask(requests(200))
    assert len(server.bodies) == 200


def test_a_wait_ends_with_the_batch():
    def script(_, body):
        first = "N 0" in echo(body)
        time.sleep(0.3 if first else 0.8)
        return (429, {"Retry-After": "800"}, "") if first else (404, {}, "gone")

    started = time.monotonic()
    with (
        serving(script) as server,
        Client(server.url, "tiny", api_key_env=None, concurrency=2) as teacher,
        pytest.raises(TeacherUnavailable, match="404"),
    ):
        teacher.ask(requests(2))
    assert len(server.bodies) == 2
    assert time.monotonic() - started < 10


# --- the key


def test_the_key_comes_from_the_environment_and_stands_nowhere(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("TEACHER_KEY", KEY + "\n")
    caplog.set_level(logging.DEBUG)
    script = lambda place, _: f"your key is {KEY}" if place == 0 else (401, {}, f'{{"error": "bad key {KEY}"}}')  # noqa: E731
    with (
        serving(script) as server,
        AnswerCache(tmp_path / "cache.db") as cache,
        client(server, cache=cache, api_key_env="TEACHER_KEY", concurrency=1) as teacher,
    ):
        assert texts(teacher.ask(requests(1))) == ["your key is ***"]
        with pytest.raises(TeacherUnavailable) as caught:
            teacher.ask(requests(2))
        seen = f"{teacher!r} {teacher._server!r} {teacher._server._http.headers!r} {caught.value!r} {caplog.text}"
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "the server refused the key in TEACHER_KEY; 401: bad key ***" in str(caught.value)
    assert KEY not in seen
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_no_key_is_sent_where_none_is_set(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(lambda *_: "x") as server, Client(server.url, "tiny") as teacher:
        teacher.ask(requests(1))
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("url", "env", "key", "sentence"),
    [
        ("https://me:secret@host/v1", None, "", "base_url should hold no user name or password"),
        ("https://host/v1?key=secret", None, "", "base_url should end with its path"),
        ("ftp://host", None, "", "base_url should look like https"),
        ("http://my host", None, "", "base_url should look like https"),
        ("host:8000", None, "", "base_url should look like https"),
        ("http://host:99999", None, "", "base_url is no address"),
        ("http://api.example.org", "K", KEY, "the key in K would travel to api.example.org unencrypted"),
        ("https://host", "K", "", "the environment variable K is not set"),
        ("https://host", "K", "two words", "holds spaces or characters that no key has"),
    ],
)
def test_addresses_and_keys_that_are_refused(monkeypatch, url, env, key, sentence):
    monkeypatch.setenv("K", key)
    with pytest.raises(InputError, match=sentence) as caught:
        Client(url, "tiny", api_key_env=env)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"concurrency": 0}, "concurrency should be a whole number, at least 1"),
        ({"attempts": 0}, "attempts should be a whole number, at least 1"),
        ({"timeout": 0}, "timeout should be above 0"),
        ({"requests_per_minute": 0}, "requests_per_minute should be"),
    ],
)
def test_arguments_that_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        Client("http://localhost:1", "tiny", api_key_env=None, **arguments)
    with pytest.raises(InputError, match="model should be the name of a model"):
        Client("http://localhost:1", "", api_key_env=None)
    with pytest.raises(InputError, match="a request needs at least one message"):
        ChatRequest(())
