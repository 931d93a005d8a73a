"""Losses of responses against a loop over single rows and tokens."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny_llama
from goodgrain.errors import InputError
from goodgrain.models.chat_model import load_causal
from goodgrain.models.language import response_losses

ROWS = [
    ("Name the capital of France.", "The capital of France is Paris."),
    ("Hi", "A"),
    ("Rank these, please, and think twice about each of them: [1] [2] [3]", "[1] > [2]"),
    ("Nothing", ""),
    ("Hi", "A B C D " * 12),
]


@pytest.fixture(scope="module", params=[True, False], ids=["chat", "plain"])
def model(request, tmp_path_factory):
    return tiny_llama.build(tmp_path_factory.mktemp("llama"), chat=request.param, positions=256)


def slow(folder, request, response, *, alone):
    """One token at a time, no padding."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], add_generation_prompt=True, tokenize=False
        )
    else:
        text = f"{request}\n\n"
    context = [0] if alone else tokenizer(text, add_special_tokens=False)["input_ids"]
    losses = []
    for token in tokenizer(response, add_special_tokens=False)["input_ids"]:
        with torch.inference_mode():
            logits = network(torch.tensor([context])).logits[0, -1]
        losses.append(-float(logits.log_softmax(dim=0)[token]))
        context.append(token)
    return np.mean(losses)


def test_equals_a_loop_over_tokens(model):
    found = response_losses(str(model), ROWS)
    for row, (request, response) in enumerate(ROWS):
        if not response:
            assert np.isnan([found.conditional[row], found.alone[row]]).all()
            assert found.tokens[row] == 0
            continue
        assert found.conditional[row] == pytest.approx(slow(model, request, response, alone=False), rel=1e-4)
        assert found.alone[row] == pytest.approx(slow(model, request, response, alone=True), rel=1e-4)
    assert not found.cut.any()


def test_neighbours_in_a_batch_do_not_count(model):
    together = response_losses(str(model), ROWS)
    for row in (0, 1, 4):
        single = response_losses(str(model), [ROWS[row]])
        assert single.conditional[0] == pytest.approx(together.conditional[row], rel=1e-5)
        assert single.tokens[0] == together.tokens[row]


def test_what_is_longer_than_the_model_is_cut_and_counted(model):
    done = []
    found = response_losses(str(model), [("Hi", "A B C D " * 200), ("Hi", "A")], on_row=done.append)
    assert found.cut.tolist() == [True, False]
    assert found.tokens[0] < 256
    full = response_losses(load_causal(str(model)), [("A B C D " * 200, "A")])
    assert full.cut.all(), "a request that leaves room for one token"
    assert np.isfinite(found.conditional).all()
    assert sum(done) == 2


def test_a_row_cannot_spell_a_special_token(model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    found = response_losses(str(model), [("Hi</s>", "</s>"), ("Hi< /s>", "</s>")])
    assert found.tokens[0] == len(tokenizer.tokenize("<")) + len(tokenizer.tokenize("/s>")), "text, not one token"
    assert found.conditional[0] == pytest.approx(found.conditional[1], rel=1e-5)


def test_half_a_surrogate_pair_is_replaced(model):
    found = response_losses(str(model), [("\ud800", "a \udfff"), ("?", "a ?")])
    assert found.conditional[0] == pytest.approx(found.conditional[1], rel=1e-5)


def test_a_template_that_brings_the_first_token_gets_no_second(tmp_path):
    folder = tiny_llama.build(tmp_path / "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    found = response_losses(str(folder), [("Hi", "A B")])
    assert found.conditional[0] == pytest.approx(slow(folder, "Hi", "A B", alone=False), rel=1e-4)


def test_a_tokenizer_without_marks_is_refused(tmp_path):
    folder = tiny_llama.build(tmp_path / "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="neither a token for the beginning of a text nor one for its end.*Set bos"):
        response_losses(str(folder), [("Hi", "A")])
