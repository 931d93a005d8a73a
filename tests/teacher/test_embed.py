"""Embeddings by the same client: batches, the order, the cache, and replies that are none."""

import json

import numpy as np
import pytest

from goodgrain.errors import CostCapReached, InputError, TeacherUnavailable
from goodgrain.teacher import AnswerCache, Client, CostCap, Prices
from teacher_server import Time, serving

TEXTS = [f"text {i}" for i in range(10)]


def vector(text):
    return [float(len(text)), float(sum(map(ord, text))), 0.5]


def reply(body, **more):
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
    return {"data": data[::-1], "usage": {"prompt_tokens": 2 * len(data)}} | more


def client(server, **more):
    clock = Time()
    return Client(server.url, "embedder", api_key_env=None, clock=clock.clock, sleep=clock.sleep, **more)


def test_vectors_come_in_the_order_of_the_texts_and_each_text_is_sent_once(tmp_path):
    texts, told = [*TEXTS, "text 3"], []
    with serving(lambda _, body: reply(body)) as server:
        for _ in range(2):
            with AnswerCache(tmp_path / "cache.db") as cache, client(server, cache=cache, concurrency=1) as teacher:
                found = teacher.embed(texts, batch=4, on_batch=lambda *done: told.append(done))
                np.testing.assert_array_equal(found, [vector(text) for text in texts])
                assert found.dtype == np.float32
                assert teacher.ledger.input_tokens == 20
    assert [len(body["input"]) for body in server.bodies] == [4, 4, 2]
    assert server.bodies[0]["encoding_format"] == "float"
    assert set(server.paths) == {"/v1/embeddings"}
    assert told == [(5, 11), (9, 11), (11, 11)]


@pytest.mark.parametrize(
    "broken",
    [
        {"data": []},
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [float("nan")]}]},
        {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
        {"data": [{"index": i, "embedding": [1.0]} for i in range(3)]},
        {"data": "none"},
        {"data": [{"index": "x", "embedding": [1.0]}]},
        [],
    ],
    ids=str,
)
def test_replies_that_are_no_embeddings_are_asked_for_again(broken):
    script = lambda place, body: (200, {}, json.dumps(broken)) if place == 0 else reply(body)  # noqa: E731
    with serving(script) as server, client(server) as teacher:
        np.testing.assert_array_equal(teacher.embed(TEXTS[:2]), [vector(text) for text in TEXTS[:2]])
    assert len(server.bodies) == 2


def test_a_text_that_is_refused_is_named():
    script = lambda *_: (400, {}, '{"error": {"message": "input is too long"}}')  # noqa: E731
    sentence = "400: input is too long. It came for 1 texts from 'text 0' on"
    with serving(script) as server, client(server) as teacher, pytest.raises(TeacherUnavailable, match=sentence):
        teacher.embed(TEXTS[:1])


def test_the_cap_holds_for_embeddings_too():
    cap = CostCap(0.000050)  # 50 tokens; a batch of two texts may take 2 x (6 bytes + 8) and takes 4
    texts = [f"text {letter}" for letter in "abcdefghijklmnopqrst"]
    with serving(lambda _, body: reply(body)) as server:
        teacher = client(server, prices=Prices(1), cap=cap, concurrency=1)
        with teacher, pytest.raises(CostCapReached, match="is reached: 12 of 20 requests have an answer"):
            teacher.embed(texts, batch=2)
    assert cap.spent_usd == Prices(1).of(24, 0)  # 24 + 28 are more than 50


@pytest.mark.parametrize(("texts", "came"), [([], "none came"), (["a", " "], "text 1 is empty")])
def test_texts_that_are_refused(texts, came):
    with pytest.raises(InputError, match=f"texts should be at least one text, each with content; {came}"):
        Client("http://localhost:1", "embedder", api_key_env=None).embed(texts)
