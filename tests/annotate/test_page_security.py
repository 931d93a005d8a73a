"""Requests that no page of ours would make: refused with a sentence, never with a fault of the server."""

import json

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from goodgrain.annotate.page import Backing, make_app
from goodgrain.annotate.page_security import MOST_BYTES, PROOF_HEADER
from goodgrain.annotate.serve import serving
from page_server import TOKEN, new, png

PROOF = {PROOF_HEADER: TOKEN}
ASKING = {"annotator": "ann", "n": 1}
NOTHING_TO_BREAK = [(GenerationMode.NEGATIVE, "/api/state"), (GenerationMode.NEGATIVE, "/api/pictures")]


@pytest.fixture(scope="module")
def backing(tmp_path_factory):
    with new(tmp_path_factory.mktemp("page") / "session", 10) as session:
        yield Backing(session, png)


@pytest.fixture(scope="module")
def client(backing):
    with serving(backing, token=TOKEN) as address, httpx.Client(base_url=address.split("/?")[0]) as client:
        yield client


def refused(reply, status, sentence):
    assert reply.status_code == status, reply.text
    assert sentence in reply.json()["error"]


@pytest.mark.parametrize("headers", [{}, {PROOF_HEADER: ""}, {PROOF_HEADER: TOKEN + "x"}, {PROOF_HEADER: "ä" * 20}])
def test_without_the_token_nothing_is_told(client, headers):
    coded = {key: value.encode("latin-1") for key, value in headers.items()}
    for path in ("session", "state", "image?id=drawing 0001.png", "guess?id=drawing 0001.png", "pictures", "nothing"):
        refused(client.get(f"/api/{path}", headers=coded), 401, "the token is missing or wrong. Open the address")
    for path in ("ask", "tell", "undo", "advance"):
        refused(client.post(f"/api/{path}", json=ASKING, headers=coded), 401, "the token is missing or wrong")
    refused(client.get("/api/session", params={"token": TOKEN}, headers=coded), 401, "the token")


def test_a_token_sent_twice_is_refused(client):
    headers = [(PROOF_HEADER, TOKEN), (PROOF_HEADER, TOKEN)]
    refused(client.get("/api/state", headers=headers), 401, "the token is missing or wrong")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost@evil", "[::1]:80", ""])
def test_another_name_of_this_machine_is_refused(client, host):
    for path in ("/", "/page.js", "/api/state"):
        sentence = "this server is not called so. Open it as 127.0.0.1 or localhost"
        refused(client.get(path, headers={**PROOF, "Host": host}), 403, sentence)


def test_localhost_is_this_machine(client):
    assert client.get("/api/state", headers={**PROOF, "Host": "LOCALHOST:8000"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://{host}", "http://{host}.evil", "http://localhost"]
)
def test_another_site_is_refused(client, origin):
    headers = {**PROOF, "Origin": origin.format(host=client.base_url.netloc.decode())}
    refused(client.post("/api/ask", json=ASKING, headers=headers), 403, "the request comes from another site")


def test_the_page_itself_is_let_through(client):
    origin = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/api/ask", json=ASKING, headers={**PROOF, **origin}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_a_form_could_send_is_refused(client, kind):
    headers = {**PROOF, "Content-Type": kind}
    refused(client.post("/api/ask", content=json.dumps(ASKING), headers=headers), 400, "the body should be JSON")


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(client):
    body = json.dumps({"annotator": "a" * MOST_BYTES, "n": 1}).encode()
    headers = {**PROOF, "Content-Type": "application/json"}
    for content in (body, iter([body[:1000], body[1000:]])):
        refused(client.post("/api/ask", content=content, headers=headers), 413, f"{MOST_BYTES} bytes are the most")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"NaN",
        b"\xff\xfe{}",
        b"[" * 30_000,
        b'{"annotator": "a", "n": NaN}',
        b'{"annotator": "a", "n": Infinity}',
        b'{"annotator": "a", "n": 1e400}',
        b'{"annotator": "a", "n": ' + b"9" * 5000 + b"}",
        b'{"annotator": "a", "n": -1}',
        b'{"annotator": "a", "n": true}',
        b'{"annotator": "a", "n": "1"}',
        b'{"annotator": "a", "n": 1.0}',
        b'{"annotator": null, "n": 1}',
        b'{"annotator": "\\ud800", "n": 1}',
        b'{"annotator": "\\u0000", "n": 1}',
        b'{"annotator": "a", "n": 1, "path": "../x"}',
        b'{"n": 1}',
    ],
)
def test_a_malformed_body_is_refused_in_a_sentence(client, body):
    reply = client.post("/api/ask", content=body, headers={**PROOF, "Content-Type": "application/json"})
    assert reply.status_code in (400, 422), reply.text
    assert reply.json()["error"]


@pytest.mark.parametrize("item", ["\\ud800", "\\u0000", "../../etc/passwd", "\\u202e", "a" * 7000])
@pytest.mark.parametrize("path", ["tell", "undo"])
def test_an_id_that_is_none_is_refused(client, path, item):
    body = f'{{"annotator": "a", "id": "{item}", "answer": "circle"}}'
    reply = client.post(f"/api/{path}", content=body, headers={**PROOF, "Content-Type": "application/json"})
    assert reply.status_code in (404, 422), reply.text
    assert reply.json()["error"]


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/..%2f..%2fpage.py", "/static/page.js", "/page.py", "//etc/passwd"]
)
def test_no_file_but_those_of_the_page_is_served(client, path):
    with httpx.Client() as raw:
        request = raw.build_request("GET", str(client.base_url).rstrip("/") + "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        assert raw.send(request).status_code == 404


def test_every_answer_tells_browsers_to_be_strict(client):
    replies = [
        client.get("/"),
        client.get("/page.js"),
        client.get("/api/state", headers=PROOF),
        client.get("/api/state"),
    ]
    for reply in replies:
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;" in policy
        assert "unsafe" not in policy
        assert not [name for name in reply.headers if name.startswith("access-control")]
    preflight = client.options("/api/ask", headers={"Origin": "http://evil.example"})
    assert (preflight.status_code, "access-control-allow-origin" in preflight.headers) == (403, False)


def test_the_page_is_one_site_without_scripts_of_its_own_text(client):
    text = client.get("/").text
    assert "http://" not in text
    assert "https://" not in text
    assert "<script>" not in text
    assert " on" not in " ".join(text.split('<script type="module"')[0].split("=")[:-1])
    for path in ("docs", "redoc", "openapi.json"):
        assert client.get(f"/{path}").status_code == 404


def test_no_script_makes_elements_from_text(client):
    for name in ("page", "api", "charts", "desk", "dom", "images", "outbox", "pause", "words"):
        script = client.get(f"/{name}.js")
        assert script.headers["content-type"].startswith("text/javascript")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in script.text


def fuzz(backing, client, examples):
    """Requests that fit the schema, and as many that break it, for every operation."""
    schema = schemathesis.openapi.from_dict(make_app(backing, token=TOKEN).openapi())
    statuses = []
    repeated = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )

    def holds(case):
        reply = case.call(base_url=str(client.base_url).rstrip("/"), headers=PROOF)
        statuses.append(reply.status_code)
        assert reply.status_code < 500, (case, reply.text)
        assert reply.status_code < 400 or reply.json()["error"]

    for found in schema.get_all_operations():
        for mode in GenerationMode:
            case = found.ok().as_strategy(generation_mode=mode)
            try:
                repeated(given(case=case)(holds))()
            except Unsatisfiable:
                assert (mode, found.ok().path) in NOTHING_TO_BREAK
    return statuses


def test_nothing_that_fits_or_breaks_the_schema_is_a_fault(backing, client):
    statuses = fuzz(backing, client, 20)
    assert len(statuses) >= 250
    assert {200, 404, 409, 422} <= set(statuses)


@pytest.mark.soak
def test_nothing_that_fits_or_breaks_the_schema_is_a_fault_ten_thousand_times(backing, client):
    assert len(fuzz(backing, client, 800)) >= 10_000
