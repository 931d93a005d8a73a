import itertools
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from goodgrain.annotate import OOD, SKIP, UNSURE, Session
from goodgrain.annotate.page import Backing, make_app
from goodgrain.annotate.page_security import PROOF_HEADER
from goodgrain.annotate.serve import serve, serving
from goodgrain.errors import DiskFull, InputError, MissingExtra
from page_server import CLASSES, TOKEN, new, png


@contextmanager
def page(folder, **more):
    """A client of a page over ten drawings, and the session."""
    options = {key: more.pop(key) for key in ("budget", "classes", "ids") if key in more}
    with (
        new(folder / "session", 10, **options) as session,
        serving(Backing(session, **{"image": png, **more}), token=TOKEN) as address,
        httpx.Client(base_url=address.split("/?")[0], headers={PROOF_HEADER: TOKEN}) as client,
    ):
        yield client, session


def ask(client, n=3, annotator="ann"):
    return client.post("/api/ask", json={"annotator": annotator, "n": n}).json()


def tell(client, item, answer, annotator="ann"):
    return client.post("/api/tell", json={"annotator": annotator, "id": item, "answer": answer})


def undo(client, item, answer, annotator="ann"):
    return client.post("/api/undo", json={"annotator": annotator, "id": item, "answer": answer}).json()


def error(reply, status):
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    return reply.json()["error"]


def test_a_round_by_hand(tmp_path):
    with page(tmp_path, budget=3) as (client, session):
        described = client.get("/api/session", params={"annotator": "ann"}).json()
        assert described["classes"] == list(CLASSES)
        assert described["answers"] == {"ood": OOD, "unsure": UNSURE, "skip": SKIP}
        assert (described["can_advance"], described["last"], described["state"]["round"]) == (False, None, None)
        first, second, third = ask(client)["ids"]
        assert tell(client, first, "square").json()["new"]
        assert not tell(client, first, "square").json()["new"]
        assert tell(client, second, OOD).json()["round"] == {"number": 0, "state": "open", "spent": 2.0, "left": 1.0}
        assert tell(client, third, SKIP).json()["round"]["left"] == 1.0
        (fourth,) = ask(client)["ids"]
        tell(client, fourth, UNSURE)
        after = ask(client)
        assert (after["ids"], after["short_of"]) == ([], "budget")
        row = after["state"]["round"]
        counts = [row[key] for key in ("in_distribution", "ood", "unsure", "skipped", "spent", "budget")]
        assert counts == [1, 1, 1, 1, 3.0, 3.0]
        assert session.answers() == {first: "square", second: OOD, third: SKIP, fourth: UNSURE}
        described = client.get("/api/session", params={"annotator": "ann"}).json()
        assert described["last"] == {"id": fourth, "answer": UNSURE, "round": 0}


def test_an_undo_means_one_answer_and_may_be_sent_twice(tmp_path):
    with page(tmp_path) as (client, session):
        first, second, _ = ask(client)["ids"]
        tell(client, first, "circle")
        tell(client, second, "square")
        for undone in (True, False, False):
            reply = undo(client, second, "square")
            assert (reply["undone"], reply["last"]) == (undone, {"id": first, "answer": "circle", "round": 0})
        assert session.answers() == {first: "circle"}
        assert ask(client)["ids"][0] == second


def test_an_undo_of_a_correction_sent_twice_keeps_what_was_there_before(tmp_path):
    with page(tmp_path) as (client, session):
        first = ask(client)["ids"][0]
        tell(client, first, "circle")
        tell(client, first, "square")
        assert [undo(client, first, "square")["undone"] for _ in range(2)] == [True, False]
        assert session.answers() == {first: "circle"}
        assert not undo(client, first, "circle", annotator="bob")["undone"]


def test_many_undos_of_the_same_answer_at_once_take_back_one(tmp_path):
    with page(tmp_path) as (client, session):
        ids = ask(client, 6)["ids"]
        for item in ids:
            tell(client, item, "circle")
        found = []
        threads = [threading.Thread(target=lambda: found.append(undo(client, ids[-1], "circle"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(reply["undone"] for reply in found) == 1
        assert set(session.answers()) == set(ids[:-1])


def test_two_annotators_never_hold_the_same_image(tmp_path):
    with page(tmp_path) as (client, session):
        seen = {"ann": [], "bob": []}
        for turn in itertools.count():
            got = {name: ask(client, 2, name)["ids"] for name in seen}
            assert not set(got["ann"]) & set(got["bob"])
            if not any(got.values()):
                break
            for name, ids in got.items():
                for item in ids[: 1 + turn % 2]:
                    tell(client, item, CLASSES[turn % 3], name)
                    seen[name].append(item)
        assert sorted(seen["ann"] + seen["bob"]) == sorted(session.answers())
        assert len(session.history()) == 10


def test_images_and_guesses_of_the_session_alone(tmp_path):
    with page(tmp_path, guess=lambda item: OOD if "3" in item else None) as (client, _):
        reply = client.get("/api/image", params={"id": "drawing 0003.png"})
        assert (reply.content, reply.headers["content-type"]) == (png("drawing 0003.png"), "image/png")
        assert client.get("/api/guess", params={"id": "drawing 0003.png"}).json() == {"guess": OOD}
        assert client.get("/api/guess", params={"id": "drawing 0004.png"}).json() == {"guess": None}
        for item in ("../session.db", "/etc/passwd", "session.db", "drawing 0003.png\0", "..%2fsession.db", ""):
            for what in ("image", "guess"):
                sentence = error(client.get(f"/api/{what}", params={"id": item}), 404)
                assert "no item" in sentence or "should be a string" in sentence or "no text" in sentence


def test_an_image_that_cannot_be_read_says_so(tmp_path):
    with page(tmp_path, image=lambda item: open("/no/such/file", "rb").read()) as (client, _):
        sentence = error(client.get("/api/image", params={"id": "drawing 0003.png"}), 404)
        assert sentence == "the image of 'drawing 0003.png' cannot be read: No such file or directory."


def test_refusals_say_what_was_wrong(tmp_path):
    with page(tmp_path) as (client, session):
        held = ask(client, 1)["ids"][0]
        assert "no item 'x' in this session" in error(tell(client, "x", "circle"), 404)
        other = "drawing 0000.png" if held != "drawing 0000.png" else "drawing 0001.png"
        assert "was never asked for" in error(tell(client, other, "circle"), 409)
        assert "Did you mean 'circle'?" in error(tell(client, held, "cirkle"), 422)
        assert "Input should be less than or equal to 500" in error(
            client.post("/api/ask", json={"annotator": "a", "n": 501}), 422
        )
        assert "GET /api/nothing: Not Found" in error(client.get("/api/nothing"), 404)
        assert "Method Not Allowed" in error(client.get("/api/tell"), 405)
        assert "nothing stands behind this page" in error(client.post("/api/advance", json={"round": 0}), 409)
        session.close_round()
        sentence = error(client.post("/api/ask", json={"annotator": "a", "n": 1}), 409)
        assert sentence == "round 0 is closed. The next one is not there yet."


def test_a_full_disk_is_told_apart(tmp_path, monkeypatch):
    def full(*_, **__):
        raise DiskFull("no room. Make room, and repeat it.")

    with page(tmp_path) as (client, _):
        item = ask(client)["ids"][0]
        with monkeypatch.context() as patch:
            patch.setattr(Session, "tell", full)
            assert error(tell(client, item, "circle"), 507) == "no room. Make room, and repeat it."
        assert tell(client, item, "circle").json()["new"]


def wait_for(client, condition):
    for _ in range(400):
        state = client.get("/api/state").json()
        if condition(state):
            return state
        threading.Event().wait(0.01)
    raise AssertionError(f"never came: {state}")


def test_training_shows_how_far_it_is_and_ends_in_the_next_round(tmp_path):
    go = threading.Event()

    def advance(report):
        session.close_round()
        report("Training", 0.25)
        go.wait(10)
        report("Scoring", float("nan"))
        session.propose(["drawing 0001.png"], [1.0], strategy="mqnet")

    with page(tmp_path, advance=advance) as (client, session):
        ask(client)
        assert client.post("/api/advance", json={"round": 0}).json()["job"]["running"]
        job = wait_for(client, lambda state: state["job"]["stage"])["job"]
        assert job == {"running": True, "stage": "Training", "share": 0.25, "error": ""}
        assert error(client.post("/api/advance", json={"round": 0}), 409) == (
            "the next round is being prepared already."
        )
        go.set()
        state = wait_for(client, lambda state: not state["job"]["running"])
        assert (state["round"]["number"], state["round"]["strategy"], state["job"]["error"]) == (1, "mqnet", "")
        assert "round 0 is not the last one" in error(client.post("/api/advance", json={"round": 0}), 409)
        assert ask(client)["ids"] == ["drawing 0001.png"]


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (InputError("one class only. Answer more."), "one class only. Answer more."),
        (ZeroDivisionError("by 0"), "an unexpected ZeroDivisionError: by 0. The server's log says more."),
    ],
)
def test_training_that_fails_says_why_and_can_be_tried_again(tmp_path, reason, sentence, caplog):
    reasons = [reason]

    def advance(report):
        if reasons:
            raise reasons.pop()

    with page(tmp_path, advance=advance) as (client, _):
        ask(client)
        for expected in (sentence, ""):
            client.post("/api/advance", json={"round": 0})
            assert wait_for(client, lambda state: not state["job"]["running"])["job"]["error"] == expected


def test_pictures_may_hold_arrays_and_unknown_numbers(tmp_path):
    pictures = {"rounds": [{"round": 1, "accuracy": float("nan")}], "plane": None, "hint": ""}
    with page(tmp_path, pictures=lambda: pictures) as (client, _):
        assert client.get("/api/pictures").json()["rounds"] == [{"round": 1, "accuracy": None}]


def test_a_fault_behind_the_page_is_a_sentence_too(tmp_path, caplog):
    def broken():
        raise ZeroDivisionError

    with page(tmp_path, pictures=broken) as (client, _):
        sentence = error(client.get("/api/pictures"), 500)
        assert sentence == "an unexpected ZeroDivisionError. The server's log says more."


def test_sessions_are_told_apart_even_if_they_ask_the_same(tmp_path):
    keys = []
    for name, ids in (("a", ["x", "y"]), ("b", ["x", "z"]), ("c", ["x", "y"])):
        with page(tmp_path / name, ids=ids) as (client, _):
            keys.append(client.get("/api/session").json()["key"])
    assert len(set(keys)) == 3, "answers that a browser kept for one must not go to another"
    with Session.open(tmp_path / "a" / "session") as again, serving(Backing(again, png), token=TOKEN) as address:
        proof = {PROOF_HEADER: TOKEN}
        assert httpx.get(f"{address.split('/?')[0]}/api/session", headers=proof).json()["key"] == keys[0]


def test_the_address_carries_the_token_and_a_taken_port_is_refused(tmp_path):
    with new(tmp_path / "session") as session:
        backing = Backing(session, png)
        with serving(backing) as address:
            found = httpx.URL(address)
            assert (found.host, len(found.params["token"])) == ("127.0.0.1", 43)
            sentence = f"port {found.port} of 127.0.0.1 cannot be used: Address already in use. Give another one."
            with pytest.raises(InputError, match=sentence), serving(backing, port=found.port):
                pass
        with pytest.raises(InputError, match="port.*65535"):
            serve(backing, port=65536)


@pytest.mark.parametrize("token", ["short", "no äscii, but long enough", 7])
def test_a_bad_token_is_refused(tmp_path, token):
    with new(tmp_path / "session") as session, pytest.raises(InputError, match="at least 16 characters of ASCII"):
        make_app(Backing(session, png), token=token)


def test_sessions_need_no_web_framework():
    script = "import sys, goodgrain.annotate, goodgrain.annotate.page, goodgrain.annotate.serve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "starlette", "uvicorn", "pydantic"} & set(loaded)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_without_the_extra_the_line_that_installs_it_is_said(tmp_path, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    sentence = rf"{package} is not installed. Install it with: pip install 'goodgrain\[label\]'"
    with new(tmp_path / "session") as session, pytest.raises(MissingExtra, match=sentence):
        serve(Backing(session, png))
