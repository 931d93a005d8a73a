"""Embeddings of instructions: once, in any order, the same after a kill."""

import json

import numpy as np
import pytest

from goodgrain.data.instructions import read_instructions
from goodgrain.errors import InputError
from goodgrain.pipelines.instruct_embedders import ServerEmbedder, WordEmbedder, column_vectors, find_embedder
from goodgrain.pipelines.instruct_space import VectorCache, embed_instructions, embed_texts, text_of
from goodgrain.pipelines.instruct_teacher import Access
from goodgrain.pipelines.monitor import Silent
from goodgrain.run import RunFolder


class Counting:
    """A vector of a text's length and letters, rounded as its batch has it: like a network with padding."""

    alone, identity = True, "counting"

    def __init__(self, most=10**9):
        self.seen, self.most = [], most

    def embed(self, texts):
        if len(self.seen) >= self.most:
            raise KeyboardInterrupt
        self.seen.append(list(texts))
        pad = max(map(len, texts))
        return np.array([[len(text) + 1e-3 * pad, text.count("a"), 1] for text in texts], dtype=np.float32)


def rows(tmp_path, texts):
    path = tmp_path / "set.json"
    path.write_text(json.dumps([{"prompt": text, "response": f"r{i}"} for i, text in enumerate(texts)]))
    return read_instructions(path)


TEXTS = ["a" * (i % 37 + 1) + "b" * (i % 5) for i in range(300)]


def embedded(folder, data, embedder, part="request", vectors=None):
    with RunFolder(folder, {"job": "test"}) as run:
        return np.array(embed_instructions(run, data, embedder, spec="x", part=part, vectors=vectors, watch=Silent()))


def test_each_text_once_in_batches_of_like_length(tmp_path):
    embedder = Counting()
    x = embedded(tmp_path / "run", rows(tmp_path, TEXTS), embedder)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    asked = [text for batch in embedder.seen for text in batch]
    assert sorted(asked) == sorted(set(TEXTS))
    assert [len(text) for text in asked] == sorted(len(text) for text in asked)
    for i, text in enumerate(TEXTS[:50]):
        raw = np.array([len(text), text.count("a"), 1.0])
        np.testing.assert_allclose(x[i], raw / np.linalg.norm(raw), atol=2e-2)
    again = Counting(most=0)
    np.testing.assert_array_equal(embedded(tmp_path / "run", rows(tmp_path, TEXTS), again), x)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_stopped_run_ends_with_the_same_bits(batches, tmp_path):
    data = rows(tmp_path, TEXTS)
    whole = embedded(tmp_path / "whole", data, Counting())
    with pytest.raises(KeyboardInterrupt):
        embedded(tmp_path / "run", data, Counting(most=batches))
    rest = Counting()
    np.testing.assert_array_equal(embedded(tmp_path / "run", data, rest), whole)
    assert len(rest.seen) == -(-len(set(TEXTS)) // 64) - batches


def test_vectors_are_shared_by_text_and_embedder(tmp_path):
    texts = [f"text {i}" for i in range(70)]
    with VectorCache(tmp_path / "v.sqlite", "one") as cache:
        first = Counting()
        x = embed_texts(texts, first, cache, Silent())
        again = Counting(most=0)
        np.testing.assert_array_equal(embed_texts(texts[::-1], again, cache, Silent()), x[::-1])
    with VectorCache(tmp_path / "v.sqlite", "other") as cache:
        assert cache.get([cache.key("text 1")]) == [None]


def test_request_or_both(tmp_path):
    assert text_of(("ask", "say"), "request") == "ask"
    assert text_of(("ask", "say"), "both") == "ask\n\nsay"
    assert len(text_of(("x" * 10**6, ""), "request")) == 100_000
    embedder = Counting()
    embedded(tmp_path / "run", rows(tmp_path, ["q"]), embedder, part="both")
    assert embedder.seen == [["q\n\nr0"]]


def test_vectors_that_are_no_numbers_or_of_two_lengths(tmp_path):
    class Broken(Counting):
        def embed(self, texts):
            return np.full((len(texts), 2), np.nan, dtype=np.float32)

    class Growing(Counting):
        def embed(self, texts):
            self.seen.append(texts)
            return np.ones((len(texts), 1 + len(self.seen)), dtype=np.float32)

    with pytest.raises(InputError, match="vectors of counting has NaN or infinite values in 1 of 1 rows"):
        embedded(tmp_path / "a", rows(tmp_path, ["q"]), Broken())
    with pytest.raises(InputError, match="counting gives vectors of different lengths"):
        embedded(tmp_path / "b", rows(tmp_path, TEXTS), Growing())
    (tmp_path / "no.sqlite").write_text("no base at all, but long enough to be looked at" * 10)
    with pytest.raises(InputError, match="cannot hold vectors"):
        VectorCache(tmp_path / "no.sqlite", "one")


def test_a_column_of_the_data(tmp_path):
    path = tmp_path / "set.json"
    told = [{"prompt": "p", "response": "r", "e": [3, 4], "odd": [1] * (i + 1), "bad": [None, 1]} for i in range(2)]
    path.write_text(json.dumps(told))
    data = read_instructions(path)
    assert column_vectors(data, "e").tolist() == [[3, 4], [3, 4]]
    for name, sentence in (("odd", r"lengths \[1, 2\] came"), ("prompt", r"lengths \[0\] came"), ("bad", "column bad")):
        with pytest.raises(InputError, match=sentence):
            column_vectors(data, name)
    with pytest.raises(InputError, match="there is no column 'x'"):
        column_vectors(data, "x")


def test_words_put_like_texts_side_by_side():
    texts = ["paint the red wall", "paint a red door", "sum of two numbers", "the sum of three numbers"]
    x = WordEmbedder().embed(texts)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert likeness[0, 1] > likeness[0, 2]
    assert likeness[2, 3] > likeness[2, 0]
    np.testing.assert_array_equal(WordEmbedder().embed(texts), x)
    assert WordEmbedder().embed(["one"]).shape == (1, 1)
    with pytest.raises(InputError, match="tfidf finds no words"):
        WordEmbedder().embed(["?!", "..."])


def test_embedders_by_name(tmp_path):
    assert find_embedder("column:e") is None
    server = find_embedder("api:http://localhost:1#small", access=Access(api_key_env=None), answers=tmp_path / "a")
    assert isinstance(server, ServerEmbedder)
    assert server.identity == "http://localhost:1 small"
    with pytest.raises(InputError, match="api:URL#MODEL; 'api:http://localhost' came"):
        find_embedder("api:http://localhost")
    with pytest.raises(InputError, match="there is no embedder 'minlm'. Give minilm, hf:NAME"):
        find_embedder("minlm")
    with pytest.raises(InputError, match="a budget needs the price of embeddings"):
        find_embedder("api:http://localhost#m", access=Access(budget_usd=1, input_usd=1), answers=tmp_path / "a")


def test_the_packaged_sentence_model_sees_meaning():
    embedder = find_embedder("minilm", device="cpu")
    x = embedder.embed(["How do I bake bread?", "Give me a recipe for a loaf.", "What is the capital of France?"])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert x.shape == (3, 384)
    assert unit[0] @ unit[1] > 0.4 > unit[0] @ unit[2]
    assert "model" in embedder.identity
