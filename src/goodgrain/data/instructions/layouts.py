"""What a row says: who says what, in the layouts that instruction sets come in."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goodgrain.errors import InputError

Turn = tuple[str, str]  # role, content

_CHATS = ("messages", "conversations", "conversation")
_REQUESTS = ("prompt", "question", "query", "user_query", "instruction", "request", "input")
_RESPONSES = ("response", "completion", "answer", "output", "chatgpt_response")
_ROLES = {"human": "user", "gpt": "assistant", "bing": "assistant", "chatgpt": "assistant", "model": "assistant"}
_KNOWN = ("system", "user", "assistant", "tool")


class Unusable(Exception):
    """Why a row cannot be used, in a sentence."""


@dataclass(frozen=True)
class Layout:
    """Which columns hold what.

    Args:
        name: "alpaca" (instruction, input, output), "chat" (messages) or "pair" (request and response).
        request: the column of requests, or of messages.
        response: the column of responses; "" for messages.
        context: the column of what the request is about; "" for none.
    """

    name: str
    request: str
    response: str = ""
    context: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(filter(None, (self.request, self.context, self.response)))

    def turns(self, record: Mapping[str, Any]) -> list[Turn]:
        """Who says what in a row, the assistant last.

        Raises:
            Unusable: a row without a request or a response, or of another form.
        """
        if self.name == "chat":
            return _chat(record.get(self.request))
        request = _text(record, self.request)
        context = _text(record, self.context, empty=True) if self.context else ""
        response = _text(record, self.response)
        return [("user", f"{request}\n\n{context}" if context.strip() else request), ("assistant", response)]


def find_layout(columns: Collection[str], request: str | None = None, response: str | None = None) -> Layout:
    """Which layout these columns have.

    Args:
        columns: names of the data's columns.
        request: the column of requests, where it has an unusual name.
        response: likewise of responses.

    Raises:
        InputError: no such column, or no layout that fits.

    Example:
        >>> find_layout({"user_query", "chatgpt_response", "ID"}).name
        'pair'
    """
    came = ", ".join(sorted(columns)) or "none"
    for name in (request, response):
        if name is not None and name not in columns:
            raise InputError(f"there is no column {name!r} in the data. Its columns: {came}.")
    if request is None and response is None:
        if {"instruction", "output"} <= set(columns):
            return Layout("alpaca", "instruction", "output", "input")  # which rows may lack
        chat = next((name for name in _CHATS if name in columns), None)
        if chat is not None:
            return Layout("chat", chat)
    if request in _CHATS and response is None:
        return Layout("chat", str(request))
    asked = request or next((name for name in _REQUESTS if name in columns and name != response), None)
    answered = response or next((name for name in _RESPONSES if name in columns and name != asked), None)
    if asked is None or answered is None:
        raise InputError(
            "the data has no known layout. Expected: instruction, input and output (Alpaca); messages (chat); or a "
            f"request and a response, such as prompt and response. Its columns: {came}. Name two with request and "
            "response."
        )
    return Layout("pair", asked, answered)


def _text(record: Mapping[str, Any], column: str, *, empty: bool = False) -> str:
    value = record.get(column)
    if value is None and empty:
        return ""
    if not isinstance(value, str):
        came = "nothing" if value is None else f"a value of type {type(value).__name__}"
        raise Unusable(f"{column} should be text; {came} came.")
    if not empty and not value.strip():
        raise Unusable(f"{column} is empty.")
    return value


def _chat(messages: Any) -> list[Turn]:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not len(messages):
        raise Unusable("there are no messages.")
    turns: list[Turn] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise Unusable(f"a message should be a table of role and content; {type(message).__name__} came.")
        role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
        if not isinstance(role, str) or not isinstance(content, str):
            raise Unusable("a message should have a role and a content, or from and value, both text.")
        turns.append((_ROLES.get(role, role), content))
    strange = next((role for role, _ in turns if role not in _KNOWN), None)
    if strange is not None:
        raise Unusable(f"a message has the role {strange!r}; known: {', '.join(_KNOWN)}.")
    while turns and turns[-1][0] != "assistant":
        turns.pop()
    if not turns:
        raise Unusable("no message is the assistant's.")
    if not turns[-1][1].strip():
        raise Unusable("the last message of the assistant is empty.")
    if not any(role == "user" and content.strip() for role, content in turns[:-1]):
        raise Unusable("the assistant answers nobody.")
    return turns


def request_of(turns: Sequence[Turn]) -> str:
    """What comes before the last answer; with role names where more than one turn does.

    Example:
        >>> print(request_of([("user", "Hi."), ("assistant", "Hello."), ("user", "Bye."), ("assistant", "Bye.")]))
        user: Hi.
        <BLANKLINE>
        assistant: Hello.
        <BLANKLINE>
        user: Bye.
    """
    before = turns[:-1]
    if len(before) == 1:
        return before[0][1]
    return "\n\n".join(f"{role}: {content}" for role, content in before)


def normal(text: str) -> str:
    r"""A text whose spaces, line ends and ways to write a character make no difference.

    Example:
        >>> normal("  two \n words ")
        'two words'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
