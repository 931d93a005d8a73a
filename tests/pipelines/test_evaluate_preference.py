"""Two models' answers through a judge to verdicts, metrics and a report; killed, resumed, and with little money."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from goodgrain.data.alpaca_eval import ModelOutput, read_outputs, write_outputs
from goodgrain.errors import CostCapReached, InputError, UnknownName
from goodgrain.pipelines.evaluate_preference import evaluate_preference
from goodgrain.pipelines.monitor import Silent
from goodgrain.teacher import Answer, ChatRequest
from goodgrain.teacher.judging import JudgePrompt
from teacher_server import INPUT_TOKENS, OUTPUT_TOKENS, ROW, serving

FILES = ("annotations.json", "metrics.json", "report.html", "config.toml")


def good(text):
    return "good" in text


def judge(body):
    """Names the good answer; a tie where both or neither is."""
    first, second = (good(text) for _, _, text in ROW.findall(body["messages"][-1]["content"]))
    return "tie" if first == second else "[1]" if first else "[2]"


class Judge:
    """The same without a server, and how often it was asked."""

    def __init__(self, say=judge):
        self.say, self.asked = say, 0

    def ask(self, requests: list[ChatRequest], on_answer=None):
        self.asked += len(requests)
        answers = []
        for place, request in enumerate(requests):
            answers.append(Answer(self.say({"messages": [{"content": request.messages[-1].content}]})))
            if on_answer:
                on_answer(place, answers[-1])
        return answers


def model(name, *qualities, dataset="koala"):
    return [ModelOutput(f"question {i}", f"{q} answer of {name}", name, dataset) for i, q in enumerate(qualities)]


OURS = model("mine", "good", "good", "bad", "good", "bad", "good")
THEIRS = model("base", "bad", "bad", "good", "good", "bad", "bad")


@pytest.fixture
def files(tmp_path):
    paths = tmp_path / "ours.json", tmp_path / "theirs.json"
    for path, rows in zip(paths, (OURS, THEIRS), strict=True):
        write_outputs(path, rows)
    return paths


def test_a_comparison_by_hand(tmp_path):
    found = evaluate_preference(OURS, THEIRS, output=tmp_path, teacher=Judge())
    assert (found.rates.win, found.rates.tie, found.rates.loss) == (3 / 6, 2 / 6, 1 / 6)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == found.metrics
    assert (metrics["questions"], metrics["judged"]) == (6, 6)
    assert metrics["win_rate"]["share"] == pytest.approx(4 / 6)
    assert metrics["pairs"] == {"agreed": 6, "disagreed": 0, "identical": 0, "malformed": 0, "failed": 0}
    assert metrics["position"]["first_place_share"] == 0.5
    rows = json.loads(found.annotations.read_text())
    assert [row["preference"] for row in rows] == [2, 2, 1, 1.5, 1.5, 2]
    assert (rows[0]["generator_1"], rows[0]["output_1"]) == ("base", "bad answer of base")
    assert (rows[0]["generator_2"], rows[0]["annotator"]) == ("mine", "Judge")
    assert rows[0]["raw_completions"] == ["[1]", "[2]"]


def test_the_same_by_a_real_server_and_from_files(tmp_path, files):
    with serving(lambda _, body: judge(body)) as server:
        found = evaluate_preference(*files, output=tmp_path / "run", teacher=server.url, model="tiny", **NO_KEY)
        assert len(server.bodies) == 12
        before = {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
        evaluate_preference(*files, output=tmp_path / "run", teacher=server.url, model="tiny", **NO_KEY)
        assert len(server.bodies) == 12  # the second time nothing is asked
    assert {name: (tmp_path / "run" / name).read_bytes() for name in FILES} == before
    direct = evaluate_preference(OURS, THEIRS, output=tmp_path / "direct", teacher=Judge())
    assert found.judgements == direct.judgements
    assert found.metrics["cost"]["paid_calls"] == 12
    assert found.metrics["cost"]["input_tokens"] == 12 * INPUT_TOKENS
    assert found.metrics["cost"]["spent_usd"] is None


NO_KEY = {"api_key_env": None}
PRICED = {**NO_KEY, "input_usd": 1000.0, "output_usd": 2000.0}
EACH = (INPUT_TOKENS * 1000 + OUTPUT_TOKENS * 2000) / 1_000_000


def test_a_dry_run_asks_nothing_and_says_what_it_takes(tmp_path, files):
    with serving(lambda _, body: judge(body)) as server:
        arguments = {"output": tmp_path / "run", "teacher": server.url, "model": "tiny", **PRICED}
        found = evaluate_preference(*files, dry_run=True, **arguments)
        assert server.bodies == []
        assert (found.metrics["requests"], found.metrics["cached"]) == (12, 0)
        assert 0 < found.metrics["likely_usd"] < found.metrics["most_usd"]
        assert found.metrics["output_tokens"] == 12 * 4
        assert found.rates is None
        prompts = [json.loads(line) for line in (tmp_path / "run/prompts.jsonl").read_text().splitlines()]
        assert len(prompts) == 4
        assert "Which of the 2 responses" in prompts[0]["messages"][1]["content"]
        assert not found.report.exists()
        done = evaluate_preference(*files, **arguments)  # the same folder goes on
        assert done.metrics["cost"]["spent_usd"] == pytest.approx(12 * EACH)
        again = evaluate_preference(*files, dry_run=True, **arguments)
        assert (again.metrics["cached"], again.metrics["likely_usd"]) == (12, 0)


def test_too_little_money_keeps_what_was_paid_for(tmp_path, files):
    with serving(lambda _, body: judge(body)) as server:
        arguments = {
            "output": tmp_path / "run",
            "teacher": server.url,
            "model": "tiny",
            "max_tokens": 8,
            "concurrency": 1,
        }
        arguments |= {**NO_KEY, "input_usd": 1.0, "output_usd": 0.0}
        worst = evaluate_preference(*files, dry_run=True, **arguments).metrics["most_usd"] / 12
        enough_for_six = worst + 5.5 * INPUT_TOKENS / 1_000_000
        with pytest.raises(CostCapReached, match="is reached: 6 of 12 requests have an answer"):
            evaluate_preference(*files, budget_usd=enough_for_six, **arguments)
        assert len(server.bodies) == 6
        found = evaluate_preference(*files, budget_usd=1, **arguments)
    assert len(server.bodies) == 12
    assert found.metrics["judged"] == 6
    assert "cost" in found.metrics


KILLED = """
import sys
from goodgrain.pipelines.evaluate_preference import evaluate_preference
evaluate_preference(sys.argv[1], sys.argv[2], output=sys.argv[3], teacher=sys.argv[4], model="tiny", api_key_env=None,
                    concurrency=1)
"""


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(tmp_path, files):
    run = tmp_path / "run"
    process = None

    def script(place, body):
        if place == 5:
            process.kill()
            return "hang"
        return judge(body)

    with serving(script) as server:
        command = [sys.executable, "-c", KILLED, *map(str, files), str(run), server.url]
        process = subprocess.Popen(command)
        process.wait(timeout=60)
        assert len(server.bodies) == 6
        found = evaluate_preference(
            *files, output=run, teacher=server.url, model="tiny", concurrency=1, api_key_env=None
        )
        assert set(server.answered.values()) == {1}
        assert len(server.answered) == 12
    direct = evaluate_preference(OURS, THEIRS, output=tmp_path / "direct", teacher=Judge())
    assert found.judgements == direct.judgements
    assert found.metrics["cost"]["lost_calls"] == 1


def test_all_questions_are_accounted_for(tmp_path):
    """One of each fate: won, tied, lost, contradicted, the same words, unreadable, refused, unmatched."""
    fates = ["win", "tie", "loss", "place", "mute", "refused"]

    def script(_, body):
        text = body["messages"][-1]["content"]
        first = ROW.findall(text)[0][2].split()[0]
        fate = re.search(r"fate (\w+)", text)[1]
        if fate == "refused":
            return (400, {}, json.dumps({"error": {"code": "content_filter", "message": "no"}}))
        ours_first = first == "ours"
        return {"win": "[1]" if ours_first else "[2]", "tie": "tie", "loss": "[2]" if ours_first else "[1]",
                "place": "[1]", "mute": "hm"}[fate]  # fmt: skip

    def rows(name, *more):
        named = [ModelOutput(f"fate {fate}", f"{name} {fate}", name) for fate in fates]
        return [*named, ModelOutput("same", "alike", name), *(ModelOutput(text, "x", name) for text in more)]

    with serving(script) as server:
        found = evaluate_preference(
            rows("ours", "only 1"), rows("theirs", "only 2", "only 3"),
            output=tmp_path, teacher=server.url, model="tiny", **NO_KEY,
        )  # fmt: skip
    metrics = found.metrics
    assert metrics["pairs"] == {"agreed": 3, "disagreed": 1, "identical": 1, "malformed": 1, "failed": 1}
    assert sum(metrics["pairs"].values()) == metrics["questions"] == 7
    assert metrics["judged"] == 5
    assert metrics["unmatched"] == {"only_ours": 1, "only_theirs": 2}
    assert metrics["answers"] == {"malformed_at_first": 2, "malformed": 2, "truncated": 0}
    assert (metrics["win"]["share"], metrics["tie"]["share"], metrics["loss"]["share"]) == (0.2, 0.6, 0.2)
    assert metrics["position"]["first_place_share"] == pytest.approx(4 / 6)
    preferences = [row["preference"] for row in json.loads(found.annotations.read_text())]
    assert preferences == [2, 1.5, 1, 1.5, None, None, 1.5]
    page = found.report.read_text()
    assert "left out: a verdict could not be read, twice" in page
    assert "only 2" in page


def test_parts_of_the_set_are_shown_apart(tmp_path):
    ours = [*OURS, ModelOutput("other", "good", "mine", "vicuna")]
    theirs = [*THEIRS, ModelOutput("other", "bad", "base", "vicuna")]
    found = evaluate_preference(ours, theirs, output=tmp_path, teacher=Judge())
    parts = found.metrics["datasets"]
    assert {name: part["judged"] for name, part in parts.items()} == {"koala": 6, "vicuna": 1}
    assert parts["vicuna"]["win"]["share"] == 1.0


def test_one_order_alone_shows_the_bias_that_both_remove(tmp_path):
    found = evaluate_preference(OURS, THEIRS, output=tmp_path, teacher=Judge(lambda _: "[1]"))
    position = found.metrics["position"]
    assert (position["win_rate_ours_first"], position["win_rate_theirs_first"]) == (1.0, 0.0)
    assert position["first_place_share"] == 1.0
    assert found.metrics["win_rate"]["share"] == 0.5
    assert found.metrics["pairs"]["disagreed"] == 6
    assert "neither model is surely preferred" in found.report.read_text()


def test_a_judge_that_says_nothing_leaves_nothing(tmp_path):
    found = evaluate_preference(OURS, THEIRS, output=tmp_path, teacher=Judge(lambda _: "hm"))
    assert (found.rates, found.metrics["judged"], found.metrics["win_rate"]) == (None, 0, None)
    assert "None of the 6 questions has an outcome." in found.report.read_text()


def test_models_of_one_name_are_told_apart(tmp_path):
    found = evaluate_preference(model("m", "good"), model("m", "bad"), output=tmp_path, teacher=Judge())
    assert (found.metrics["ours"], found.metrics["theirs"]) == ("m (ours)", "m (theirs)")


def test_progress_is_told(tmp_path):
    said = []

    class Told(Silent):
        def stage(self, sentence):
            said.append(sentence)

    evaluate_preference(OURS, THEIRS[:4], output=tmp_path, teacher=Judge(), monitor=Told())
    assert said == [
        "reading the answers",
        "4 questions have both answers; 2 have only ours and 0 only theirs, and count nowhere",
        "asking the judge 8 times: each pair in both orders",
        "writing the verdicts and the report",
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"teacher": "length"}, InputError, "base_url should look like https://api.example.org/v1; 'length' came."),
        ({"teacher": "http://127.0.0.1:9"}, InputError, "the teacher at http://127.0.0.1:9 needs the name of a model."),
        ({"teacher": "https://api.example.org", "model": "m"}, InputError, "api.example.org may charge"),
        ({"budget_usd": 1, "teacher": "http://127.0.0.1:9", "model": "m"}, InputError, "a budget needs prices"),
        ({"dry_run": True}, InputError, "a dry run tells what a server would take."),
        ({"budget": 1}, UnknownName, "no argument 'budget'. Did you mean 'budget_usd'?"),
        ({"our_model": "x"}, InputError, "model 'x' can only be chosen from a file."),
        ({"resamples": 0}, InputError, "resamples should be a whole number, at least 1; 0 came."),
    ],
)
def test_what_is_refused_before_anything_is_asked(tmp_path, arguments, error, sentence):
    asked = Judge()
    with pytest.raises(error, match=re.escape(sentence)):
        evaluate_preference(OURS, THEIRS, output=tmp_path / "run", **{"teacher": asked, **arguments})
    assert asked.asked == 0
    assert not (tmp_path / "run").exists()


def test_another_question_needs_another_folder(tmp_path):
    evaluate_preference(OURS, THEIRS, output=tmp_path, teacher=Judge())
    with pytest.raises(InputError, match="holds another run: its prompt.criteria is"):
        evaluate_preference(OURS, THEIRS, output=tmp_path, teacher=Judge(), prompt=JudgePrompt(("clarity",)))
    with pytest.raises(InputError, match="holds another run: its fingerprint.ours is"):
        evaluate_preference(THEIRS, OURS, output=tmp_path, teacher=Judge())


def test_texts_from_data_are_shown_letter_by_letter(tmp_path):
    """What a model or a file says must not become part of the page, nor of a figure."""
    evil = "<script>alert(1)</script><b>{{x}}</b>\ud800"
    ours = [ModelOutput(f"{evil} good?", f"good {evil}", evil, evil), ModelOutput("b", "good", evil, "b")]
    theirs = [ModelOutput(f"{evil} good?", f"bad {evil}", "base", evil), ModelOutput("b", "bad", "base", "b")]
    page = evaluate_preference(ours, theirs, output=tmp_path, teacher=Judge()).report.read_text()
    assert "<script>alert" not in page
    assert "<b>{{x}}" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_805_real_answers_by_a_biased_judge(tmp_path, real_data):
    """All of AlpacaEval is accounted for, and a judge that favours the first place moves no win rate."""
    import random

    path = real_data / "alpaca_eval_outputs.parquet"
    draw = random.Random(0)

    def say(body):
        first, second = (len(text) for _, _, text in ROW.findall(body["messages"][-1]["content"]))
        return "[1]" if first >= second or draw.random() < 0.3 else "[2]"

    found = evaluate_preference(
        path, path, our_model="vicuna-13b", their_model="alpaca-7b", output=tmp_path, teacher=Judge(say)
    )
    metrics = found.metrics
    assert sum(metrics["pairs"].values()) == metrics["questions"] == 805
    assert metrics["position"]["first_place_share"] > 0.6
    position = metrics["position"]
    assert position["win_rate_ours_first"] > metrics["win_rate"]["share"] > position["win_rate_theirs_first"]
    rows = json.loads(found.annotations.read_text())
    counts = Counter(row["preference"] for row in rows)
    assert (counts[2] + counts[1.5] / 2) / 805 == pytest.approx(metrics["win_rate"]["share"])
    assert read_outputs(path, model="vicuna-13b")[0].output == rows[0]["output_2"]
    assert Path(found.report).stat().st_size < 8_000_000
