"""A tiny Llama on disk that answers: as transformers does one by one, in its format, and only from safe files."""

import re
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodgrain.errors import InputError
from goodgrain.models.chat_model import load_chat_model

pytest.importorskip("transformers")

import tiny_llama

REQUESTS = ["Name the capital of France.", "Rank", "A B C D " * 8, "Who are you?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llama.build(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder):
    return load_chat_model(str(folder))


def one_by_one(folder, text, tokens):
    """What the network's likeliest next token is, again and again, without cache, padding or batch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(f"<|user|>\n{text}</s>\n<|assistant|>\n", add_special_tokens=False)["input_ids"]
    start = len(ids)
    with torch.inference_mode():
        for _ in range(tokens):
            best = int(network(torch.tensor([ids])).logits[0, -1].argmax())
            if best == tokenizer.eos_token_id:
                break
            ids.append(best)
    return tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_greedy_answers_equal_the_slow_ones(folder, model):
    prompts = [model.prompt(request) for request in REQUESTS]
    said = model.answer(prompts, max_new_tokens=12)
    assert [one.text for one in said] == [one_by_one(folder, request, 12) for request in REQUESTS]


def test_what_stands_beside_a_prompt_does_not_matter(model):
    prompts = [model.prompt(request) for request in REQUESTS]
    together = model.answer(prompts, max_new_tokens=10)
    assert [model.answer([prompt], max_new_tokens=10)[0] for prompt in prompts] == together


def test_an_answer_ends_with_the_end_token(folder, model, monkeypatch):
    prompt = model.prompt(REQUESTS[0])
    whole = model.answer([prompt], max_new_tokens=8)[0]
    assert (whole.tokens, whole.cut) == (8, True)
    made = model._network.generate(input_ids=torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[
        0, len(prompt) :
    ]
    monkeypatch.setattr(model._network.generation_config, "eos_token_id", [int(made[3]), 1])
    short = model.answer([prompt], max_new_tokens=8)[0]
    assert short.cut is False
    assert short.tokens == made.tolist().index(int(made[3]))
    assert whole.text.startswith(short.text)


def test_sampling_depends_on_the_seed_only(model):
    prompts = [model.prompt(request) for request in REQUESTS]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = [model.answer(prompts, max_new_tokens=10, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), before)  # the caller's own draws go on as if nothing was


def test_too_little_room_cuts_the_answer_of_that_prompt_alone(tmp_path):
    model = load_chat_model(str(tiny_llama.build(tmp_path, positions=64)))
    short, long, huge = (model.prompt(text) for text in ("A", "A B C D " * 4, "A B C D " * 40))
    assert len(long) < 64 < len(huge)
    said = model.answer([short, long, huge], max_new_tokens=30)
    assert said[:2] == [model.answer([short], max_new_tokens=30)[0], model.answer([long], max_new_tokens=30)[0]]
    assert (said[1].tokens, said[1].cut) == (64 - len(long), True)
    assert (said[2].text, said[2].tokens, said[2].cut) == ("", 0, True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(alphabet="</s>pad<|user|>\n ab", max_size=40))
def test_a_request_cannot_end_its_turn(model, text):
    ids = model.prompt(text)
    assert ids.count(1) == 1  # the template's own </s>
    assert not {0, 2} & set(ids)


def test_a_template_instead_of_the_chat_format(folder, tmp_path):
    model = load_chat_model(str(folder), template="Q: {instruction}\nA:")
    assert model._tokenizer.decode(model.prompt("why {instruction}?")) == "Q: why {instruction}?\nA:"
    bare = str(tiny_llama.build(tmp_path, chat=False))
    with pytest.raises(InputError, match=re.escape("has no chat template, so that it is not known how to put")):
        load_chat_model(bare)
    assert load_chat_model(bare, template="{instruction}").prompt("a")
    with pytest.raises(InputError, match=re.escape("the template should have the field {instruction}; 'Q:' has not.")):
        load_chat_model(bare, template="Q:")


def test_weights_come_from_safetensors_only(folder, tmp_path):
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"the language model .*pickled cannot be loaded: .*model.safetensors"):
        load_chat_model(str(pickled))


def test_weights_that_are_missing_are_not_made_up(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    holed = tmp_path / "holed"
    shutil.copytree(folder, holed)
    weights = load_file(holed / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, holed / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack 1 of the network's, such as model.layers.1.mlp.up_proj.weight, which"):
        load_chat_model(str(holed))


def test_no_model_at_all(tmp_path):
    with pytest.raises(InputError, match=r"cannot be loaded: .* A folder needs config.json, model.safetensors"):
        load_chat_model(str(tmp_path))
