"""The page's server killed at random moments: what it acknowledged is there, once, and the next query is the same."""

import random
import threading
import time

import httpx
import pytest

from goodgrain.annotate import OOD, Session
from goodgrain.annotate.page_security import PROOF_HEADER
from page_server import CLASSES, TOKEN, ServerProcess, new

SIZE = 4000


def label_through(server, stop, acknowledged, queried):
    """A scripted annotator: asks for three, answers, and sends again whatever was not acknowledged."""
    with httpx.Client(headers={PROOF_HEADER: TOKEN}, timeout=10) as client:

        def send(path, body):
            while True:
                try:
                    reply = client.post(f"http://127.0.0.1:{server.port}/api/{path}", json={"annotator": "ann", **body})
                except httpx.TransportError:
                    time.sleep(0.01)
                    continue
                assert reply.status_code == 200, reply.text
                return reply.json()

        while not stop.is_set():
            for item in send("ask", {"n": 3})["ids"]:
                queried.append(item)
                send("tell", {"id": item, "answer": truth(item)})
                acknowledged.append(item)


def truth(item):
    return [*CLASSES, OOD][int(item) % 4]


def answers_until(count, acknowledged, annotator):
    while len(acknowledged) < count and annotator.is_alive():
        time.sleep(0.001)


def drill(folder, kills, seed):
    ids = [str(i) for i in range(SIZE)]
    new(folder / "killed", budget=SIZE, ids=ids).close()
    draw, stop, acknowledged, queried = random.Random(seed), threading.Event(), [], []
    server = ServerProcess(folder / "killed")
    server.start()
    annotator = threading.Thread(target=label_through, args=(server, stop, acknowledged, queried))
    annotator.start()
    for _ in range(kills):
        answers_until(len(acknowledged) + draw.randint(0, 8), acknowledged, annotator)
        time.sleep(draw.uniform(0.0, 0.02))  # anywhere in the way of an answer
        server.kill()
        server.start()
    answers_until(len(acknowledged) + 1, acknowledged, annotator)
    stop.set()
    annotator.join(timeout=60)
    assert not annotator.is_alive()
    server.kill()
    assert acknowledged == queried
    with Session.open(folder / "killed") as session, new(folder / "whole", budget=SIZE, ids=ids) as whole:
        undisturbed = []
        while len(undisturbed) < len(queried):
            for item in whole.ask(3, annotator="ann").ids:
                whole.tell(item, truth(item), annotator="ann")
                undisturbed.append(item)
        assert queried == undisturbed
        assert [(row.id, row.answer) for row in session.history()] == [(item, truth(item)) for item in undisturbed]
        assert session.spent == whole.spent
        assert session.ask(5, annotator="ann").ids == whole.ask(5, annotator="ann").ids
    return len(acknowledged)


def test_killed_ten_times(tmp_path):
    assert drill(tmp_path, 10, seed=0) > 10


@pytest.mark.soak
def test_killed_two_hundred_times(tmp_path):
    assert drill(tmp_path, 200, seed=1) > 400


def test_a_full_disk_is_507_and_then_the_same_is_taken(tmp_path):
    new(tmp_path / "session", 400, budget=400).close()
    with ServerProcess(tmp_path / "session") as server, httpx.Client(headers={PROOF_HEADER: TOKEN}) as client:
        base = f"http://127.0.0.1:{server.port}/api"
        ids = client.post(f"{base}/ask", json={"annotator": "ann", "n": 300}).json()["ids"]
        kept = []
        with server.full_disk():
            for item in ids:
                body = {"annotator": "ann", "id": item, "answer": "circle"}
                reply = client.post(f"{base}/tell", json=body)
                if reply.status_code != 200:
                    break
                kept.append(item)
            assert reply.status_code == 507
            assert "Make room, and repeat it" in reply.json()["error"]
            assert client.get(f"{base}/state").json()["round"]["in_distribution"] == len(kept)
        assert client.post(f"{base}/tell", json=body).json()["new"]
    with Session.open(tmp_path / "session") as session:
        assert [row.id for row in session.history()] == [*kept, item]
