"""Conversations as tokens of a chat format, and which of them a fine-tuning learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import library

Conversation = Sequence[Mapping[str, str]]
"""Turns, each with role and content; the last is the response."""

PLAIN_FORMAT = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '### Instruction:\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Response:\\n' }}"
    "{% else %}{{ '### ' + message['role'] | capitalize + ':\\n' }}{% endif %}"
    "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% if not loop.last or add_generation_prompt %}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)
"""The chat format of a base model that has none, after Alpaca's: "### Instruction:", "### Response:", the end mark."""

IGNORED = -100
"""The label of a token that the loss leaves out."""

WHOLE, CUT, TOO_LONG, REWRITTEN = "whole", "cut", "too_long", "rewritten"
"""What became of a conversation: all of it is there; its end is cut off; it has no tokens, since its response would
begin too late; or none, since the chat format refuses it or does not repeat its response word by word."""


@dataclass(frozen=True)
class ChatTokens:
    """A conversation as a model learns it.

    Args:
        input_ids: t tokens; none where the conversation cannot be learned.
        labels: t tokens that should be said; IGNORED before the response.
        outcome: WHOLE, CUT, TOO_LONG or REWRITTEN.
    """

    input_ids: list[int]
    labels: list[int]
    outcome: str


def with_format(tokenizer: Any, name: str) -> Any:
    """A tokenizer that has a chat format: its own, or the plain one.

    Raises:
        InputError: the tokenizer has no end mark, so that a model would never learn to stop.
    """
    if tokenizer.eos_token is None:
        raise InputError(f"the tokenizer of {name} has no end-of-text token (eos_token). Set one in its configuration.")
    if not tokenizer.chat_template:
        begin = "" if tokenizer.bos_token is None else "{{ bos_token }}"
        tokenizer.chat_template = PLAIN_FORMAT.replace("{{ bos_token }}", begin)
    return tokenizer


def chat_tokens(conversations: Sequence[Conversation], tokenizer: Any, max_length: int) -> list[ChatTokens]:
    """The tokens of conversations in the tokenizer's chat format, and which of them are the response's.

    The response is all that follows what a model is shown when it is asked: the last turn, and its end mark. A special
    token that a text spells out, such as "</s>", is broken by a space: it would end the turn and could open another.

    Args:
        conversations: of any lengths.
        tokenizer: of transformers, with a chat template.
        max_length: most tokens of a conversation; the end of a longer one is cut off.

    Returns:
        One ChatTokens for each.
    """
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    texts = [_texts(conversation, tokenizer, special) for conversation in conversations]
    readable = [text for text in texts if text is not None]
    asked = iter(_ids(tokenizer, [before for before, _ in readable]))
    whole = iter(_ids(tokenizer, [text for _, text in readable]))
    return [
        ChatTokens([], [], REWRITTEN) if text is None else _labelled(next(asked), next(whole), max_length)
        for text in texts
    ]


def _texts(conversation: Conversation, tokenizer: Any, special: Sequence[str]) -> tuple[str, str] | None:
    """What comes before the response, and all of it; None where the format does not repeat the response."""
    turns = [{"role": turn["role"], "content": _broken(turn["content"], special)} for turn in conversation]
    try:
        before = tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True, tokenize=False)
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except library("jinja2", "finetune").TemplateError:  # such as a format that knows no system turn
        return None
    before = text[: _shared(before, text)]  # some formats open the answer differently when it is there
    if turns[-1]["content"].strip() not in text[len(before) :]:
        return None
    return before, text


def _broken(text: str, special: Sequence[str]) -> str:
    for token in special:
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """The format has brought the special tokens."""
    return list(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]) if texts else []


def _shared(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many first elements are the same."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))


def _labelled(before: list[int], tokens: list[int], max_length: int) -> ChatTokens:
    """A token that covers both sides of the border is the response's, so that none of the response is left out."""
    begins = _shared(before, tokens)
    if begins >= min(max_length, len(tokens)):
        return ChatTokens([], [], TOO_LONG)
    labels = [IGNORED] * begins + tokens[begins:]
    outcome = CUT if len(tokens) > max_length else WHOLE
    return ChatTokens(tokens[:max_length], labels[:max_length], outcome)
