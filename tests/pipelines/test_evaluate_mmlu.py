"""A tiny Llama answers MMLU questions through lm-eval, against log-likelihoods that are computed one by one."""

import csv
import json
import re
import socket

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goodgrain.errors import InputError, UnknownName
from goodgrain.models.chat_model import load_causal
from goodgrain.pipelines.evaluate_mmlu import evaluate_mmlu, mmlu_metrics
from goodgrain.pipelines.mmlu_questions import read_mmlu

pytest.importorskip("lm_eval")

import lm_eval

import oracles_finetune as oracle
import tiny_llama

SUBJECTS = ("abstract_algebra", "law", "{{ 7 * 7 }} {% raise %}")  # the last would be a template, if it were one
ASKED = {"device": "cpu", "shots": 2, "batch_size": 3}
WORDS = ("Paris", "A", "the capital", "{{ question }}", "France is", "B C", "2020-01-01", "is", "Name", "7", "None")


def questions(asked=12, shown=3, seed=0):
    """Rows of a file, in no order of subjects; some of their texts look like dates, numbers or templates."""
    rng = np.random.default_rng(seed)
    rows = []
    for split, count in (("test", asked), ("dev", shown), ("validation", 2)):
        for subject in SUBJECTS:
            for _ in range(count):
                text = " ".join(rng.choice(WORDS, rng.integers(3, 9)))
                row = {"split": split, "subject": subject, "question": f" {text}? "}
                choices = rng.choice(WORDS, 4, replace=False)
                row |= dict(zip("ABCD", map(str, choices), strict=True))
                rows.append(row | {"answer": str(rng.choice(list("ABCD")))})
    rows.append({**rows[0], "subject": "dates", **dict.fromkeys("ABCD", "2020-01-01")})
    rows += [{**rows[-1], "split": "dev"}] * shown
    rng.shuffle(rows)
    return rows


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def expected(folder, rows, shots):
    """Of each question, by subject and in the file's order: log-likelihoods, and tokens of the prompt."""
    network, tokenizer = load_causal(str(folder))
    found = []
    for subject in sorted({row["subject"] for row in rows}):
        own = {
            split: [
                (row["question"], [row[letter] for letter in "ABCD"], "ABCD".index(row["answer"]))
                for row in rows
                if (row["split"], row["subject"]) == (split, subject)
            ]
            for split in ("test", "dev")
        }
        for question in own["test"]:
            said, size = oracle.mmlu_log_likelihoods(network, tokenizer, subject, question, own["dev"][:shots])
            found.append((subject, said, question[2], size))
    return found


def check(result, folder, rows, shots):
    truth = expected(folder, rows, shots)
    answers = pq.read_table(result.folder / "answers.parquet").to_pylist()
    assert [row["subject"] for row in answers] == [subject for subject, *_ in truth]
    said = [[row[f"log_likelihood_{letter}"] for letter in "ABCD"] for row in answers]
    np.testing.assert_allclose(said, [one for _, one, *_ in truth], rtol=1e-4)
    right = [int(np.argmax(one)) == answer for _, one, answer, _ in truth]
    assert [row["correct"] for row in answers] == right
    assert result.accuracy == pytest.approx(np.mean(right), abs=1e-12)
    assert result.standard_error == pytest.approx(np.std(right, ddof=1) / np.sqrt(len(right)), rel=1e-9)
    for subject, told in result.metrics["subjects"].items():
        own = [one for one, (name, *_) in zip(right, truth, strict=True) if name == subject]
        assert (told["accuracy"], told["questions"]) == (pytest.approx(np.mean(own)), len(own))
    assert result.metrics["questions"] == len(truth)
    return truth


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_llama.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def rows():
    return questions()


@pytest.fixture(scope="module")
def data(tmp_path_factory, rows):
    return write(tmp_path_factory.mktemp("data") / "questions.parquet", rows)


@pytest.fixture(scope="module")
def whole(base, data, tmp_path_factory):
    return evaluate_mmlu(base, questions=data, output=tmp_path_factory.mktemp("runs") / "whole", **ASKED)


def test_equals_log_likelihoods_one_by_one(base, rows, whole):
    truth = check(whole, base, rows, 2)
    assert whole.metrics["questions"] == len(truth) == 37
    assert 0.1 < whole.accuracy < 0.6
    assert whole.metrics["prompts_cut"] == sum(size > 513 for *_, size in truth)
    assert {path.name for path in whole.folder.iterdir()} == {
        ".lock", "answers.parquet", "config.toml", "log.jsonl", "metrics.json", "tasks",
    }  # fmt: skip


def test_prompts_that_are_too_long_lose_their_beginning(tmp_path, rows, data):
    small = tiny_llama.build(tmp_path / "small", positions=100, seed=3)
    found = evaluate_mmlu(small, questions=data, output=tmp_path / "run", shots=1, limit=4, device="cpu")
    first = {subject: [] for subject in sorted({row["subject"] for row in rows})}
    for row in rows:
        if row["split"] == "test" and len(first[row["subject"]]) < 4:
            first[row["subject"]].append(row)
    kept = [row for group in first.values() for row in group]
    truth = check(found, small, [*kept, *(row for row in rows if row["split"] == "dev")], 1)
    assert found.metrics["prompts_cut"] == sum(size > 101 for *_, size in truth) > 3


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_other_files_hold_the_same_questions(tmp_path, rows, data, suffix):
    assert read_mmlu(write(tmp_path / f"questions{suffix}", rows)) == read_mmlu(data)


def test_answers_may_be_numbers_and_choices_too(tmp_path):
    row = {"split": "test", "subject": "sums", "question": "1 + 1?", "A": 1, "B": 2, "C": 3.5, "D": "4", "answer": 1}
    (subject,) = read_mmlu(write(tmp_path / "sums.jsonl", [row]))
    assert subject.asked == [{"question": "1 + 1?", "A": "1", "B": "2", "C": "3.5", "D": "4", "answer": 1}]


def test_no_examples_at_all(tmp_path, base, rows):
    asked = [row for row in rows if row["split"] == "test"]
    found = evaluate_mmlu(
        base, questions=write(tmp_path / "asked.parquet", asked), output=tmp_path / "run", shots=0, device="cpu"
    )
    check(found, base, asked, 0)


def test_a_run_that_was_stopped_asks_what_is_left(base, data, whole, tmp_path, monkeypatch):
    from goodgrain.pipelines import evaluate_mmlu as pipeline

    ask, asked = pipeline._ask, []

    def stopped(model, name, task, subject, *more):
        asked.append(subject)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return ask(model, name, task, subject, *more)

    monkeypatch.setattr(pipeline, "_ask", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate_mmlu(base, questions=data, output=tmp_path / "run", **ASKED)
    assert not (tmp_path / "run/metrics.json").exists()
    evaluate_mmlu(base, questions=data, output=tmp_path / "run", **ASKED)
    assert asked == [*sorted({*SUBJECTS, "dates"})[:3], *sorted({*SUBJECTS, "dates"})[2:]]
    for name in ("metrics.json", "answers.parquet", "config.toml"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_finished_run_needs_no_model(base, data, whole, monkeypatch):
    monkeypatch.setattr("goodgrain.pipelines.evaluate_mmlu.load_causal", None)
    assert evaluate_mmlu(base, questions=data, output=whole.folder, **ASKED).metrics == whole.metrics


def test_local_questions_ask_no_server(base, data, whole, tmp_path, monkeypatch):
    def connect(*_):
        raise AssertionError("a server was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    found = evaluate_mmlu(base, questions=data, output=tmp_path / "run", **{**ASKED, "limit": 1})
    assert found.metrics["questions"] == 4


def test_the_written_tasks_are_the_harness_own(base, whole, rows):
    """Anyone can run them: `lm_eval --include_path RUN/tasks`."""
    manager = lm_eval.tasks.TaskManager(include_path=str(whole.folder / "tasks"), include_defaults=False)
    names = [path.stem for path in sorted((whole.folder / "tasks").glob("*.yaml"))]
    found = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(base)}, device="cpu", tasks=names,
        task_manager=manager, bootstrap_iters=0,
    )  # fmt: skip
    told = [found["results"][name]["acc,none"] for name in names]
    assert told == pytest.approx([one["accuracy"] for one in whole.metrics["subjects"].values()])


def test_the_hubs_questions_are_had_as_its_task_says(base, whole, tmp_path, monkeypatch):
    """Without a hub: the harness's task `mmlu` is stood in for by tasks of two subjects."""
    manager = lm_eval.tasks.TaskManager
    tasks = manager(include_path=str(whole.folder / "tasks"), include_defaults=False)
    names = [path.stem for path in sorted((whole.folder / "tasks").glob("*.yaml"))][:2]

    class Hub:
        def load(self, asked):
            assert asked == ["mmlu"]
            return {"tasks": {f"mmlu_{name}": tasks.load([name])["tasks"][name] for name in names}}

    monkeypatch.setattr("lm_eval.tasks.TaskManager", Hub)
    found = evaluate_mmlu(base, output=tmp_path / "run", limit=2, **ASKED)
    assert list(found.metrics["subjects"]) == names
    answers = pq.read_table(found.folder / "answers.parquet").to_pylist()
    same = [row for row in pq.read_table(whole.folder / "answers.parquet").to_pylist() if row["row"] < 2]
    of_two = [row for row in same if row["subject"] in sorted({*SUBJECTS, "dates"})[:2]]
    assert [row["log_likelihood_A"] for row in answers] == pytest.approx([row["log_likelihood_A"] for row in of_two])


def test_a_hub_that_cannot_be_reached(base, tmp_path, monkeypatch):
    class Hub:
        def load(self, asked):
            raise ConnectionError("Couldn't reach the hub.\nmore")

    monkeypatch.setattr("lm_eval.tasks.TaskManager", Hub)
    sentence = "MMLU cannot be had from the hub: Couldn't reach the hub. Give questions, a local file with them."
    with pytest.raises(InputError, match=re.escape(sentence)):
        evaluate_mmlu(base, output=tmp_path / "run", device="cpu")


def test_one_question_has_no_standard_error():
    told = mmlu_metrics([{"subject": "law", "correct": 1, "cut": False}])
    assert (told["accuracy"], told["standard_error"]) == (1.0, None)


ROW = {"split": "test", "subject": "law", "question": "?", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "A"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "none.csv cannot be read: "),
        ("some.txt", [ROW], "questions should be a .parquet, .csv or .jsonl file; "),
        (
            "few.jsonl",
            [{"split": "test", "A": "1"}],
            "lacks the columns subject, question, B, C, D, answer. Its columns",
        ),
        ("empty.jsonl", [], "lacks the columns split, subject, "),
        ("list.jsonl", [[1]], "should hold a JSON object in each line."),
        ("dev.jsonl", [{**ROW, "split": "dev"}], "has no row whose split is 'test'."),
        ("e.jsonl", [ROW, {**ROW, "answer": "E"}], "row 2: answer should be A, B, C or D, or 0 to 3; 'E' came."),
        ("e.jsonl", [{**ROW, "answer": 12}], "row 1: answer should be A, B, C or D, or 0 to 3; 12 came."),
        ("e.jsonl", [{**ROW, "answer": ""}], "row 1: answer should be A, B, C or D, or 0 to 3; '' came."),
        ("n.jsonl", [{**ROW, "C": None}], "row 1: C should be text; None came."),
        ("s.jsonl", [ROW], "subject 'law' has 0 rows of split 'dev', and shots=2 are shown before each question."),
    ],
)
def test_files_that_are_refused(base, tmp_path, name, content, sentence):
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        evaluate_mmlu(base, questions=tmp_path / name, output=tmp_path / "run", **ASKED)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        ({"shots": -1}, InputError, "shots should be a whole number, at least 0; -1 came."),
        ({"limit": 0}, InputError, "limit should be a whole number, at least 1; 0 came."),
        ({"batch_size": 0}, InputError, "batch_size should be a whole number, at least 1; 0 came."),
        ({"precision": "half"}, UnknownName, "no precision 'half'."),
    ],
)
def test_arguments_that_are_refused(base, data, tmp_path, asked, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        evaluate_mmlu(base, questions=data, output=tmp_path / "run", **asked)


def test_the_real_questions(real_data):
    subjects = read_mmlu(real_data / "mmlu.parquet")
    assert len(subjects) == 57
    assert sum(len(subject.asked) for subject in subjects) == 14_042
    assert {len(subject.shown) for subject in subjects} == {5}
