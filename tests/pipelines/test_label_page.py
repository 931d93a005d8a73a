"""A labelling run behind its page: what the page is told, and what it may call."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from goodgrain.annotate import drive
from goodgrain.annotate.page import make_app
from goodgrain.pipelines.label_page import Reporting, backing, kept_token
from goodgrain.pipelines.label_page import begin as first_round
from pipelines.label_toys import annotator, begin, by_head, pictures

TOKEN = "a token of more than sixteen"


@pytest.fixture
def run(tmp_path):
    pool = pictures()
    with begin(pool, tmp_path / "run", **by_head(pool, budget=12)) as labeling:
        yield labeling


def test_each_step_is_a_share_of_its_training():
    # 2 epochs of 4 steps: after step 1 of epoch 0 an eighth is done, after the last step everything
    said = []
    monitor = Reporting(lambda stage, share: said.append((stage, share)))
    monitor.stage("choosing")
    after = monitor.training("training", 2)
    after(0, 0, 4, {"loss": 1.0})
    after(1, 3, 4, {})
    assert said == [("choosing", 0.0), ("training", 0.0), ("training", 1 / 8), ("training", 1.0)]


def test_the_page_asks_is_told_and_trains(run):
    pool = pictures()
    oracle = annotator(pool)
    with TestClient(make_app(backing(run), token=TOKEN), base_url="http://127.0.0.1") as page:
        page.headers["X-Goodgrain-Token"] = TOKEN
        first = page.post("/api/ask", json={"annotator": "ana", "n": 3}).json()["ids"]
        shown = Image.open(io.BytesIO(page.get("/api/image", params={"id": first[0]}).content))
        place = pool.ids.tolist().index(first[0])
        assert np.array_equal(np.asarray(shown), pool.images([place])[0, ..., 0])
        assert page.get("/api/guess", params={"id": first[0]}).json() == {"guess": None}
        drive(run.session, oracle)
        for name in first:
            page.post("/api/tell", json={"annotator": "ana", "id": name, "answer": oracle(name)})
        assert page.post("/api/advance", json={"round": 0}).status_code == 200
        deadline = time.monotonic() + 60
        while page.get("/api/state").json()["job"]["running"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        state = page.get("/api/state").json()
        assert (state["job"]["error"], state["round"]["number"], state["round"]["strategy"]) == ("", 1, "mqnet")
        assert page.get("/api/guess", params={"id": first[0]}).json()["guess"] in run.session.classes
        drawn = page.get("/api/pictures").json()
        assert [row["round"] for row in drawn["rounds"]] == [0, 1]


def test_what_advance_refuses_is_said_on_the_page(run):
    run.session.ask(1)
    with TestClient(make_app(backing(run), token=TOKEN), base_url="http://127.0.0.1") as page:
        page.headers["X-Goodgrain-Token"] = TOKEN
        page.post("/api/advance", json={"round": 0})
        deadline = time.monotonic() + 60
        while page.get("/api/state").json()["job"]["running"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "nothing was answered in round 0 yet" in page.get("/api/state").json()["job"]["error"]
    assert run.session.round.state == "open"


def test_the_first_round_is_the_models_where_known_labels_train_one(tmp_path):
    pool = pictures()
    names = pool.ids.tolist()
    one, two = ({names[row]: annotator(pool)(names[row]) for row in rows} for rows in ([0, 3], [0, 1, 3, 4]))
    strategies = []
    for folder, known in (("none", None), ("one class", one), ("two classes", two)):
        with begin(pool, tmp_path / folder, **by_head(pool, known=known)) as run:
            first_round(run)
            first_round(run)  # a second time changes nothing
            strategies.append(run.session.round and (run.session.round.number, run.session.round.strategy))
    assert strategies == [None, None, (0, "mqnet")]


def test_the_pages_secret_stays_and_is_for_its_owner_alone(tmp_path):
    token = kept_token(tmp_path)
    assert len(token) >= 32
    assert kept_token(tmp_path) == token
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert kept_token(tmp_path / "other") != token
