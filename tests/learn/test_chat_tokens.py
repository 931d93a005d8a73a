"""Which tokens of a conversation a model learns."""

import pytest

from goodgrain.errors import InputError
from goodgrain.learn.chat_tokens import CUT, IGNORED, REWRITTEN, TOO_LONG, WHOLE, chat_tokens, with_format

pytest.importorskip("transformers")

import tiny_llama

ASKED = [{"role": "user", "content": "Name A."}, {"role": "assistant", "content": "The capital is B."}]
LONG = [
    {"role": "system", "content": "Rank."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Hello."},
    *ASKED,
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return loaded(tiny_llama.build(tmp_path_factory.mktemp("models") / "chat"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tiny_llama.build(tmp_path_factory.mktemp("models") / "plain", chat=False)
    return with_format(loaded(folder), str(folder))


def loaded(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def learned(tokenizer, one):
    """The text that is learned, and the text before it."""
    first = len(one.labels) - len([label for label in one.labels if label != IGNORED])
    assert one.labels == [IGNORED] * first + one.input_ids[first:]
    return tokenizer.decode(one.input_ids[first:]), tokenizer.decode(one.input_ids[:first])


def test_a_chat_format_by_hand(tokenizer):
    short, long = chat_tokens([ASKED, LONG], tokenizer, 500)
    response = "The capital is B.</s>\n"
    assert learned(tokenizer, short) == (response, "<|user|>\nName A.</s>\n<|assistant|>\n")
    before = "<|system|>\nRank.</s>\n<|user|>\nHi.</s>\n<|assistant|>\nHello.</s>\n"
    assert learned(tokenizer, long) == (response, f"{before}<|user|>\nName A.</s>\n<|assistant|>\n")
    assert short.outcome == long.outcome == WHOLE


def test_the_plain_format_by_hand(plain):
    short, long = chat_tokens([ASKED, LONG], plain, 500)
    response = "The capital is B.</s>"
    assert learned(plain, short) == (response, "<s>### Instruction:\nName A.\n\n### Response:\n")
    before = "<s>### System:\nRank.\n\n### Instruction:\nHi.\n\n### Response:\nHello.</s>\n\n"
    assert learned(plain, long) == (response, f"{before}### Instruction:\nName A.\n\n### Response:\n")
    assert short.input_ids[-1] == plain.eos_token_id


def test_what_is_asked_is_what_was_learned(plain, tokenizer):
    for one in (plain, tokenizer):
        tokens = chat_tokens([ASKED], one, 500)[0]
        text = one.apply_chat_template(ASKED[:1], add_generation_prompt=True, tokenize=False)
        asked = one(text, add_special_tokens=False)["input_ids"]
        assert tokens.input_ids[: tokens.labels.count(IGNORED)] == asked


def test_a_tokenizer_without_a_first_mark_or_an_end_mark(tmp_path):
    one = loaded(tiny_llama.build(tmp_path / "plain", chat=False))
    one.bos_token = None
    assert with_format(one, "x").apply_chat_template(ASKED, tokenize=False).startswith("### Instruction:")
    one.eos_token = None
    with pytest.raises(InputError, match="the tokenizer of x has no end-of-text token"):
        with_format(one, "x")


def test_the_end_is_cut_and_a_response_that_begins_too_late_is_left_out(tokenizer):
    whole = chat_tokens([ASKED], tokenizer, 500)[0]
    begins, size = whole.labels.count(IGNORED), len(whole.input_ids)
    assert [chat_tokens([ASKED], tokenizer, most)[0].outcome for most in (begins, begins + 1, size - 1, size)] == [
        TOO_LONG, CUT, CUT, WHOLE,
    ]  # fmt: skip
    cut = chat_tokens([ASKED], tokenizer, begins + 1)[0]
    assert (cut.input_ids, cut.labels) == (whole.input_ids[: begins + 1], whole.labels[: begins + 1])
    late = chat_tokens([ASKED], tokenizer, begins)[0]
    assert (late.input_ids, late.labels) == ([], [])


def test_a_text_cannot_end_its_turn_nor_open_another(tokenizer):
    posing = [{"role": "user", "content": "Hi.</s>\n<s>"}, {"role": "assistant", "content": "A</s> B"}]
    one = chat_tokens([posing], tokenizer, 500)[0]
    assert one.input_ids.count(tokenizer.eos_token_id) == 2  # the ends of the two turns
    assert tokenizer.bos_token_id not in one.input_ids
    assert learned(tokenizer, one)[0] == "A< /s> B</s>\n"


def test_rows_that_do_not_fit_a_format_are_told(tokenizer, tmp_path):
    strict = loaded(tiny_llama.build(tmp_path / "strict"))
    strict.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.role }}: {{ m.content | replace('secret', '') }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    hidden = [ASKED[0], {"role": "assistant", "content": "a secret word"}]
    found = chat_tokens([LONG, hidden, ASKED], strict, 500)
    assert [one.outcome for one in found] == [REWRITTEN, REWRITTEN, WHOLE]
    assert learned(strict, found[2])[0] == " The capital is B.\n"  # " The" is one token, over the border


def test_no_conversations(tokenizer):
    assert chat_tokens([], tokenizer, 10) == []
