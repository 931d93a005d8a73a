"""The client against a server that nobody here wrote: protocol, usage, concurrency, the cache, errors, a kill."""

import importlib.util
import os
from dataclasses import replace

import pytest

from goodgrain.errors import CostCapReached, TeacherUnavailable
from goodgrain.teacher import Answer, AnswerCache, ChatRequest, Client, CostCap, Prices, rank_clusters
from goodgrain.teacher.cost import token_bound

NEEDED = ("transformers", "fastapi", "uvicorn", "openai", "pydantic", "httpx")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
PRICES = Prices(1.0, 10.0)
CLUSTERS = [[(f"request {i}", f"response {i}{j}") for j in range(1 + i % 4)] for i in range(12)]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if MISSING:
        sentence = f"transformers serve needs {', '.join(MISSING)}: pip install 'transformers[serving]'"
        pytest.fail(sentence) if os.environ.get("CI") == "true" else pytest.skip(sentence)
    from real_server import RealServer

    real = RealServer(tmp_path_factory.mktemp("serve") / "log")
    try:
        yield real.start()
    finally:
        real.kill()


@pytest.fixture(scope="session")
def models(server, tmp_path_factory):
    """A model that babbles without end, one that says [1], and one that says what is no ranking."""
    from real_server import taught
    from tiny_llama import build

    folder = tmp_path_factory.mktemp("models")
    babbling, ranking, mumbling = (build(folder / name, positions=4096) for name in ("babbling", "ranking", "mumbling"))
    return str(babbling), str(taught(ranking, "[1]")), str(taught(mumbling, "D"))


def client(server, model, **more):
    return Client(server.url, model, api_key_env=None, **{"attempts": 3, **more})


def requests(n, **more):
    return [replace(ChatRequest.of("user", f"question {i}", max_tokens=12), seed=1, **more) for i in range(n)]


def body(request, model):
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {"model": model, "messages": messages, "max_tokens": request.max_tokens, "temperature": 0, "seed": 1}


def words(said):
    return said["choices"][0]["message"]["content"]


def test_what_comes_back_is_what_the_server_says_and_the_ledger_is_its_own_count(server, models):
    plain = [server.ask(body(request, models[0])) for request in requests(5)]
    before = server.calls()
    with client(server, models[0]) as teacher:
        answers = teacher.ask(requests(5))
        book = teacher.ledger
    assert [answer.text for answer in answers] == [words(said) for said in plain]
    assert book.paid_calls == server.calls() - before == 5
    assert book.input_tokens == sum(said["usage"]["prompt_tokens"] for said in plain)
    assert book.output_tokens == sum(said["usage"]["completion_tokens"] for said in plain)
    assert book.lost_calls == 0


def test_an_answer_ends_where_it_was_told_to(server, models):
    with client(server, models[0]) as teacher:
        short, long = teacher.ask([requests(1)[0], *requests(1, max_tokens=30)])
    with client(server, models[0], length_field="max_completion_tokens") as teacher:
        assert teacher.ask(requests(1))[0].output_tokens == 12
    assert (short.output_tokens, long.output_tokens) == (12, 30)
    assert (short.finish_reason, short.truncated) == ("length", True)
    with client(server, models[1]) as teacher:
        done = teacher.ask(requests(1, max_tokens=30))[0]
    assert (done.text, done.finish_reason, done.truncated) == ("[1]", "stop", False)
    assert done.output_tokens < 30


def test_eight_at_a_time_say_what_one_after_the_other_say_and_nothing_is_sent_twice(server, models, tmp_path):
    with client(server, models[0], concurrency=1) as teacher:
        one_by_one = teacher.ask(requests(40))
    before = server.calls()
    for run in range(2):
        with (
            AnswerCache(tmp_path / "cache.db") as cache,
            client(server, models[0], cache=cache, concurrency=8) as teacher,
        ):
            answers = teacher.ask(requests(40))
        assert [answer.text for answer in answers] == [answer.text for answer in one_by_one]
        assert all(answer.from_cache == bool(run) for answer in answers)
        assert server.calls() - before == 40
    assert len({answer.text for answer in answers}) > 1


def test_the_bound_on_prompts_holds_for_what_the_server_counts(server, models):
    texts = ["", "word " * 400, "[3] > [1]", "\u4f60\u597d \U0001f389 \u00e9\ufb03", "\x00\x07</s><|user|>\n" * 20]
    asked = [ChatRequest.of("user", text, max_tokens=1) for text in texts]
    with client(server, models[0]) as teacher:
        answers = teacher.ask(asked)
    for request, answer in zip(asked, answers, strict=True):
        assert 0 < answer.input_tokens <= token_bound(request)


def test_the_cap_holds_against_what_the_server_counts(server, models, tmp_path):
    cap = CostCap(0.004)
    with (
        AnswerCache(tmp_path / "cache.db") as cache,
        client(server, models[0], cache=cache, prices=PRICES, cap=cap) as teacher,
    ):
        with pytest.raises(CostCapReached) as caught:
            teacher.ask(requests(60))
        book = teacher.ledger
    assert 0 < book.paid_calls == caught.value.done < 60
    assert 0.003 < cap.spent_usd == PRICES.of(book.input_tokens, book.output_tokens) <= cap.budget_usd


def test_clusters_are_ranked_by_a_model_that_can_do_it(server, models):
    with client(server, models[1]) as teacher:
        found = rank_clusters(CLUSTERS, teacher)
    assert {one.state for one in found.clusters} == {"ranked"}
    assert [one.winner for one in found.clusters] == [one.shown[0][0] for one in found.clusters]  # [1] is its word
    assert found.winning_places.tolist() == [9, 0, 0, 0]
    assert (found.malformed_at_first, found.truncated) == (0, 0)


@pytest.mark.parametrize(("place", "cut"), [(0, True), (2, False)], ids=["babbling", "mumbling"])
def test_clusters_of_a_model_that_cannot_do_it_keep_their_medoids(server, models, place, cut):
    before = server.calls()
    medoids = [len(rows) - 1 for rows in CLUSTERS]
    with client(server, models[place]) as teacher:
        found = rank_clusters(CLUSTERS, teacher, malformed="medoid", medoids=medoids, max_tokens=10)
        assert server.calls() - before == 2 * len(CLUSTERS)  # each is asked once more
        again = rank_clusters(CLUSTERS, teacher, malformed="medoid", medoids=medoids, max_tokens=10)
        assert server.calls() - before == 2 * len(CLUSTERS)
        assert teacher.ledger.paid_calls == 2 * len(CLUSTERS)
    assert found.clusters == again.clusters
    assert [one.winner for one in found.clusters] == medoids
    assert {one.state for one in found.clusters} == {"medoid"}
    assert found.malformed_at_first == found.malformed == len(CLUSTERS)
    assert found.truncated == (2 * len(CLUSTERS) if cut else 0)


def test_a_model_that_is_not_there_is_named(server):
    sentence = r"^500: .*, after 2 attempts\. It answered nothing: see its log, and check the model's name, no/such"
    with client(server, "no/such", attempts=2) as teacher, pytest.raises(TeacherUnavailable, match=sentence):
        teacher.ask(requests(4))


def test_a_field_that_the_server_does_not_know_stops_at_once(server, models):
    before = server.calls()
    with (
        client(server, models[0], options={"colour": "red"}, concurrency=1) as teacher,
        pytest.raises(TeacherUnavailable, match=r"^422: Unexpected fields in the request: \{'colour'\}"),
    ):
        teacher.ask(requests(4))
    assert server.calls() - before == 1


def test_a_server_without_embeddings_says_so(server, models):
    sentence = r"/v1/embeddings answered 404: Not Found; check the address, .* whether this server offers /embeddings\."
    with client(server, models[0]) as teacher, pytest.raises(TeacherUnavailable, match=sentence):
        teacher.embed(["a text"])


def test_a_server_killed_in_the_middle_loses_nothing_that_was_answered(server, models, tmp_path):
    asked, kept = requests(60), []

    def kill_after_ten(place, answer):
        kept.append(place)
        if len(kept) == 10:
            server.kill()

    def ask(on_answer=None):
        with (
            AnswerCache(tmp_path / "cache.db") as cache,
            client(server, models[0], cache=cache, concurrency=4) as teacher,
        ):
            try:
                return teacher.ask(asked, on_answer), teacher.ledger
            except TeacherUnavailable as error:
                return str(error), teacher.ledger

    sentence, book = ask(kill_after_ten)
    assert "What was paid for is kept; run again when the server answers." in sentence
    assert 10 <= book.paid_calls <= 10 + 4 + 4  # what was under way at the kill may have come through
    server.start()
    before = server.calls()
    answers, after = ask()
    assert all(isinstance(answer, Answer) for answer in answers)
    assert sum(answer.from_cache for answer in answers) == book.paid_calls
    assert server.calls() - before == 60 - book.paid_calls
    assert after.paid_calls == 60
    assert [answer.text for answer in answers[:2]] == [words(server.ask(body(one, models[0]))) for one in asked[:2]]
