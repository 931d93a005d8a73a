"""A selection of instructions from file to file: what is kept, what it costs, and what survives a kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

import tiny_llama
from goodgrain import instruct
from goodgrain.errors import CostCapReached, InputError, TeacherUnavailable, UnknownName
from goodgrain.pipelines.instruct_config import METHODS
from goodgrain.pipelines.monitor import Silent
from goodgrain.teacher import Answer, Failure
from teacher_server import by_quality, chat, serving

N, SIDES = 60, 12


def row(i):
    wrong = " WRONG" if i % 7 == 3 else ""
    return {"instruction": f"Task {i} of kind {i % SIDES}", "output": f"Done, quality {(i * 13) % 29}{wrong}", "n": i}


def space(n=N):
    """Rows of one kind lie near each other."""
    rng = np.random.default_rng(0)
    return np.eye(SIDES)[np.arange(n) % SIDES] + 0.05 * rng.normal(size=(n, SIDES))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps([row(i) for i in range(N)]))
    return path


def expected():
    """The best of each kind that is not wrong."""
    kinds = {}
    for i in range(N):
        if i % 7 != 3:
            kinds.setdefault(i % SIDES, []).append(((i * 13) % 29, -i))
    return sorted(-max(one)[1] for one in kinds.values())


class ByQuality:
    """A teacher in memory that keeps count."""

    def __init__(self):
        self.asked = []

    def ask(self, requests, on_answer=None):
        answers = []
        for place, request in enumerate(requests):
            self.asked.append(request.messages[-1].content)
            body = {"messages": [{"role": m.role, "content": m.content} for m in request.messages]}
            answers.append(Answer(by_quality(body)))
            if on_answer:
                on_answer(place, answers[-1])
        return answers


def select(data, folder, **asked):
    told = {"teacher": ByQuality(), "embeddings": space(), "keep": SIDES, "max_size": 6, **asked}
    return instruct(data, output=folder, **told)


def test_the_best_of_each_cluster_is_kept(data, tmp_path):
    result = select(data, tmp_path / "run", compare=("random", "longest"))
    assert sorted(result.positions) == expected()
    kept = json.loads(result.kept.read_text())
    assert kept == [row(i) for i in expected()], "whole rows, in the order of the file"
    table = pq.read_table(tmp_path / "run" / "selection.parquet").to_pydict()
    assert np.flatnonzero(table["kept"]).tolist() == expected()
    for i in range(N):
        cluster = [j for j in range(N) if table["cluster"][j] == table["cluster"][i]]
        assert {j % SIDES for j in cluster} == {i % SIDES}
        if i in expected():
            assert (table["rank"][i], table["reason"][i]) == (1, "ranked first of 5")
        elif i % 7 == 3:
            assert (table["rank"][i], table["reason"][i]) == (0, "left out by the teacher")
        else:
            assert table["reason"][i] == f"ranked {table['rank'][i]} of 5"
    metrics = result.metrics
    assert (metrics["rows"], metrics["kept"], metrics["dropped"]) == (N, SIDES, N - SIDES)
    assert metrics["clusters"]["ranked"] == SIDES
    assert sum(metrics["answers"]["winning_places"]) == SIDES
    assert metrics["others"]["random"]["kept"] == SIDES
    assert metrics["cost"] is None
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    assert result.report.read_text().startswith("<!doctype html>")


def test_the_same_call_continues_and_another_is_refused(data, tmp_path):
    first = select(data, tmp_path / "run")
    again = select(data, tmp_path / "run")
    assert (first.positions == again.positions).all()
    with pytest.raises(InputError, match="holds another run: its instruct.max_size is 6, this one asks for 10"):
        select(data, tmp_path / "run", max_size=10)
    with pytest.raises(InputError, match="its fingerprint.embeddings is"):
        select(data, tmp_path / "run", embeddings=space() + 1)


def test_exact_copies_are_neither_kept_nor_asked_about(tmp_path):
    path = tmp_path / "set.jsonl"
    rows = [row(i % 30) for i in range(N)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    teacher = ByQuality()
    x = space()
    x[30:] = x[:30]
    result = select(path, tmp_path / "run", teacher=teacher, embeddings=x)
    assert result.positions.max() < 30
    assert sum(prompt.count(" END <") for prompt in teacher.asked) == 30
    reasons = pq.read_table(tmp_path / "run" / "selection.parquet").to_pydict()["reason"]
    assert reasons[30].startswith("says the same as ")
    assert result.metrics["exact_copies"] == 30
    assert len(select(path, tmp_path / "all", drop_copies=False, embeddings=x).ids) == SIDES


class Says:
    """The same words to every question."""

    def __init__(self, *words):
        self.words = words

    def ask(self, requests, on_answer=None):
        return [Answer(self.words[place % len(self.words)]) for place in range(len(requests))]


def test_what_stands_for_a_cluster_whose_answer_cannot_be_read(data, tmp_path):
    medoid = select(data, tmp_path / "medoid", teacher=Says("I like all of them."))
    assert medoid.metrics["clusters"]["medoid"] == SIDES == medoid.metrics["kept"]
    assert medoid.metrics["answers"]["malformed_at_first"] == SIDES == medoid.metrics["answers"]["malformed"]
    x = space()
    for kind in range(SIDES):
        own = np.arange(kind, N, SIDES)
        away = np.linalg.norm(x[own].astype(np.float32) - x[own].astype(np.float32).mean(axis=0), axis=1)
        assert own[away.argmin()] in medoid.positions
    skip = select(data, tmp_path / "skip", teacher=Says("no idea", "[1]"), malformed="skip")
    assert skip.metrics["clusters"]["skipped"] + skip.metrics["kept"] == SIDES
    nothing = select(data, tmp_path / "none", teacher=Says("none"))
    assert (nothing.metrics["kept"], nothing.metrics["clusters"]["dropped"]) == (0, SIDES)
    assert json.loads(nothing.kept.read_text()) == []


def test_clusters_without_an_answer_stop_the_run(data, tmp_path):
    class Gone:
        def ask(self, requests, on_answer=None):
            return [Failure("the server said no.") for _ in requests]

    with pytest.raises(TeacherUnavailable, match="12 of 12 clusters have no answer. The first failed with: the server"):
        select(data, tmp_path / "run", teacher=Gone())
    assert not (tmp_path / "run" / "selection.parquet").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method, data, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Task 3 of kind 3\nnobody\nTask 50 of kind 2\n")
    asked = {"method": method, "keep": 20}
    if method in ("ifd", "perplexity"):
        asked |= {"model": str(tiny_llama.build(tmp_path / "llama", seed=4)), "device": "cpu"}
    if method == "list":
        asked |= {"names": names, "keep": None}
    if method == "sample_wise":
        asked |= {"teacher": Says("Score: 4", "Score: 5", "Score: 1")}
    result = select(data, tmp_path / "run", **asked)
    assert len(set(result.positions.tolist())) == len(result.positions) == result.metrics["kept"]
    if method == "list":
        assert result.positions.tolist() == [3, 50]
    elif method == "sample_wise":
        assert result.positions.tolist() == list(range(1, N, 3)), "the twenty that scored 5"
    elif method == "cluster":
        assert 0 < len(result.positions) <= 20
    elif method == "ifd":
        scores = np.array(pq.read_table(tmp_path / "run" / "selection.parquet").to_pydict()["score"], dtype=float)
        assert np.nanmax(scores) <= 1
        assert (scores[result.positions] >= np.sort(scores[~np.isnan(scores)])[-20:].min()).all()
    else:
        assert len(result.positions) == 20
    if method == "longest":
        lengths = [len(row(i)["output"]) for i in range(N)]
        assert sorted(lengths[i] for i in result.positions) == sorted(lengths)[-20:]


def test_rows_that_a_language_model_cannot_read_whole_are_told(tmp_path):
    rows = [row(i) for i in range(600)]  # two parts of losses
    for i in (3, 550):
        rows[i]["output"] *= 40
    path = tmp_path / "set.json"
    path.write_text(json.dumps(rows))
    said = []

    class Told(Silent):
        def stage(self, sentence):
            said.append(sentence)

    model = str(tiny_llama.build(tmp_path / "llama", seed=4))
    again = {"method": "perplexity", "keep": 20, "model": model, "device": "cpu", "monitor": Told(), "embeddings": None}
    first = select(path, tmp_path / "run", **again)
    sentence = "2 rows are longer than the model can read, and are judged by their beginning"
    assert said.count(sentence) == 1
    parts = sorted((tmp_path / "run" / "losses").iterdir())
    assert len(parts) == 2
    kept = parts[0].read_bytes()
    parts[1].unlink()
    (tmp_path / "run" / "selection.parquet").unlink()
    assert select(path, tmp_path / "run", **again).positions.tolist() == first.positions.tolist()
    assert parts[0].read_bytes() == kept
    assert said.count(sentence) == 2, "those of parts that were there count too"


def test_a_threshold_of_scores(data, tmp_path):
    result = select(
        data, tmp_path / "run", method="sample_wise", keep=None, teacher=Says("4", "4.5", "5"), least_score=4.5
    )
    assert result.metrics["kept"] == 40
    with pytest.raises(InputError, match="no score by the teacher reaches 4.5"):
        select(data, tmp_path / "none", method="sample_wise", keep=None, teacher=Says("1"))


def test_truth_for_the_report(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps([{**row(i), "bad": "yes" if i % 7 == 3 else "no"} for i in range(N)]))
    metrics = select(path, tmp_path / "run", truth="bad").metrics
    assert metrics["hallucinated"] == {"before": sum(i % 7 == 3 for i in range(N)) / N, "kept": 0.0}
    with pytest.raises(InputError, match="column 'n' should hold yes or no, true or false, 1 or 0; '2' came"):
        select(path, tmp_path / "other", truth="n")


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"teacher": None}, InputError, "there is no teacher to rank the rows."),
        ({"teacher": "http://localhost:1"}, InputError, "needs the name of a model"),
        ({"teacher": "https://api.example.org/v1", "model": "m"}, InputError, "api.example.org may charge"),
        ({"teacher": "http://localhost:1", "model": "m", "budget_usd": 1}, InputError, "a budget needs prices"),
        ({"teacher": "local"}, InputError, "base_url should look like"),
        ({"teacher": "ifd"}, InputError, "a language model has to score the rows"),
        ({"method": "cluser"}, UnknownName, "Did you mean 'cluster'?"),
        ({"method": "random", "keep": None}, InputError, "method random needs keep"),
        ({"method": "list", "keep": None}, InputError, "method list needs a list"),
        ({"keep": 5}, InputError, "5 clusters of at most 6 rows hold 30 rows; there are 60. Keep at least 10"),
        ({"keep": 61}, InputError, "60"),
        ({"criteria": ("clarty",)}, UnknownName, "Did you mean 'clarity'?"),
        ({"compare": ("ifd",)}, UnknownName, "method to compare with"),
        ({"least_score": 6}, InputError, "least_score should be from 0 to 5; 6 came"),
        ({"keeep": 6}, UnknownName, "Did you mean 'keep'?"),
        ({"dry_run": True}, InputError, "a dry run tells what a server would take"),
        ({"embeddings": np.full((N, 2), np.nan)}, InputError, "embeddings has NaN or infinite values"),
        ({"embeddings": np.ones((3, 2))}, InputError, "embeddings has 3 rows, but there are 60 examples"),
        ({"truth": "bad"}, InputError, "there is no column 'bad'. The columns: instruction, output, n."),
        ({"method": "sample_wise", "teacher": "length"}, InputError, "sample_wise asks a server"),
    ],
)
def test_what_cannot_work_is_said_first(asked, error, sentence, data, tmp_path):
    with pytest.raises(error) as told:
        select(data, tmp_path / "run", **asked)
    assert sentence in str(told.value)


def test_one_row(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps([row(0)]))
    result = instruct(path, output=tmp_path / "run", teacher=ByQuality(), embeddings=[[1.0, 0.0]])
    assert result.positions.tolist() == [0]
    reasons = pq.read_table(tmp_path / "run" / "selection.parquet").to_pydict()["reason"]
    assert reasons == ["alone in its cluster, and not left out"]


SERVED = {"model": "scripted", "api_key_env": None, "input_usd": 1.0, "output_usd": 2.0}


def test_a_dry_run_sends_nothing(data, tmp_path):
    with serving(lambda place, body: chat(by_quality(body))) as server:
        other = select(data, tmp_path / "run", teacher=server.url, dry_run=True, max_tokens=64, **SERVED).metrics
        told = select(data, tmp_path / "run", teacher=server.url, dry_run=True, **SERVED).metrics
        assert other["most_usd"] < told["most_usd"], "what is asked may change as long as nothing was"
        assert server.bodies == []
        assert (told["requests"], told["cached"]) == (SIDES, 0)
        assert 0 < told["likely_usd"] < told["most_usd"]
        prompts = (tmp_path / "run" / "prompts.jsonl").read_text().splitlines()
        assert len(prompts) == SIDES
        result = select(data, tmp_path / "run", teacher=server.url, budget_usd=1, **SERVED)
        assert sorted(result.positions) == expected()
        sent = {body["messages"][-1]["content"] for body in server.bodies}
        assert {json.loads(line)["messages"][-1]["content"] for line in prompts} == sent
        assert result.metrics["cost"]["paid_calls"] == SIDES
        assert result.metrics["cost"]["spent_usd"] == pytest.approx(SIDES * (40 + 2 * 8) / 1e6)


def test_a_budget_that_is_too_small_and_then_larger(data, tmp_path):
    with serving(lambda place, body: chat(by_quality(body))) as server:
        asked = {"teacher": server.url, "max_tokens": 64, "concurrency": 1, **SERVED}
        most = select(data, tmp_path / "run", dry_run=True, **asked).metrics["most_usd"]
        enough_for_some = most / SIDES + 4 * (40 + 2 * 8) / 1e6
        with pytest.raises(CostCapReached) as reached:
            select(data, tmp_path / "run", budget_usd=enough_for_some, **asked)
        assert 0 < reached.value.done < SIDES == reached.value.asked
        result = select(data, tmp_path / "run", budget_usd=1, **asked)
        assert sorted(result.positions) == expected()
        assert max(Counter(json.dumps(body) for body in server.bodies).values()) == 1


def test_servers_that_are_not_there_or_refuse(data, tmp_path):
    with pytest.raises(TeacherUnavailable, match="run again"):
        select(data, tmp_path / "a", teacher="http://127.0.0.1:9/v1", attempts=1, **SERVED)
    with (
        serving(lambda place, body: (401, {}, '{"error": {"message": "wrong key"}}')) as server,
        pytest.raises(TeacherUnavailable, match="wrong key"),
    ):
        select(data, tmp_path / "b", teacher=server.url, **SERVED)


def drill(data, tmp_path, kills):
    """Kill the command line at random moments until it ends by itself."""
    answered = Counter()

    def script(place, body):
        time.sleep(0.01)
        answered[json.dumps(body, sort_keys=True)] += 1
        return chat(by_quality(body))

    draw = random.Random(0)
    with serving(script) as server:
        whole = select(data, tmp_path / "whole", teacher=server.url, embeddings=None, embedder="tfidf", **SERVED)
        answered.clear()
        line = [sys.executable, "-m", "goodgrain", "instruct", "select", str(data), "--teacher", server.url]
        line += ["--model", "scripted", "--api-key-env", "none", "--clusters", str(SIDES), "--max-size", "6"]
        line += ["--embedder", "tfidf", "-o", str(tmp_path / "run"), "--concurrency", "2"]
        for _ in range(kills):
            process = subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
            try:
                process.wait(draw.uniform(1.0, 5.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        done = subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    tables = [pq.read_table(tmp_path / name / "selection.parquet").to_pydict() for name in ("whole", "run")]
    assert tables[0] == tables[1]
    assert (tmp_path / "run" / "kept.json").read_bytes() == whole.kept.read_bytes()
    # an answer under way at the moment of a kill is lost; nothing else is asked for again
    assert sum(count - 1 for count in answered.values()) <= 2 * kills
    assert len(answered) == SIDES


def test_kills_change_nothing(data, tmp_path):
    drill(data, tmp_path, 3)


@pytest.mark.soak
def test_many_kills_change_nothing(data, tmp_path):
    drill(data, tmp_path, 20)
