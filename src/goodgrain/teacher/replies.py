"""What a server's reply means: an answer, or trouble of which some passes and some does not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodgrain.teacher.limits import retry_after
from goodgrain.teacher.messages import Answer

_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated")
_THIS_PROMPT = ("context_length_exceeded", "content_filter", "content_policy_violation", "string_above_max_length")
_TOO_LONG = re.compile(r"context (?:length|window)|too (?:long|many tokens|large)", re.IGNORECASE)
_PASSES = (408, 409, 425, 429)
_BEHIND_A_GATEWAY = (504, 524)  # it gave up waiting for a server that may have finished, and billed


class Then(Enum):
    """What to do after a call that brought no answer."""

    RETRY = "try again"
    GIVE_UP = "this request cannot be answered"
    STOP = "no request can be answered"


@dataclass(frozen=True)
class Trouble:
    """Why a call brought no answer.

    Args:
        reason: a sentence without the final stop.
        then: what to do about it.
        billed: False where it surely costs nothing.
        wait: seconds that the server asks to wait.
        reached: False where no server was met at all.
    """

    reason: str
    then: Then = Then.RETRY
    billed: bool = False
    wait: float | None = None
    reached: bool = True


class Unreadable(ValueError):
    """A reply that should be an answer and is none."""


def trouble_of(status: int, headers: Mapping[str, str], body: str, *, now: float) -> Trouble | None:
    """What is wrong with a reply, by its status; None for a good one.

    Args:
        status: of HTTP.
        headers: with names in lower case.
        body: its text.
        now: seconds since 1970.

    Example:
        >>> trouble_of(429, {"retry-after": "3"}, "", now=0).wait
        3.0
        >>> trouble_of(401, {}, '{"error": {"message": "no such key"}}', now=0)
        Trouble(reason='401: no such key', then=<Then.STOP: ...>, billed=False, wait=None, reached=True)
    """
    if status == 200:
        return None
    code, message = _error(body)
    reason = f"{status}: {message}" if message else str(status)
    if 300 <= status < 400:
        return Trouble(f"{status}: the address leads elsewhere; give the one where the server is", Then.STOP)
    if status == 402 or code in _NO_MONEY:
        return Trouble(f"{reason} (the account has no money or quota left)", Then.STOP)
    if status in _PASSES or status >= 500:
        return Trouble(reason, billed=status in _BEHIND_A_GATEWAY, wait=retry_after(headers, now=now))
    if code in _THIS_PROMPT or status == 413 or (status == 400 and _TOO_LONG.search(message)):
        return Trouble(reason, Then.GIVE_UP)
    return Trouble(reason, Then.STOP)


def _error(body: str) -> tuple[str, str]:
    """The code and message of an error's body, in the forms that servers use; a short piece of any other."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "", " ".join(body.split())[:200]
    said = said.get("error", said) if isinstance(said, dict) else said
    if not isinstance(said, dict):
        return "", str(said)[:500]
    code = next((str(said[name]) for name in ("code", "type") if said.get(name) in (*_NO_MONEY, *_THIS_PROMPT)), "")
    return code, " ".join(str(said.get("message") or said.get("detail") or "").split())[:500]


def _fields(body: str) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as reason:
        raise Unreadable("the reply is no whole JSON") from reason
    if not isinstance(fields, dict):
        raise Unreadable("the reply is no JSON object")
    return fields


def _tokens(fields: dict[str, Any], name: str) -> int | None:
    usage = fields.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def read_chat(body: str) -> Answer:
    """The answer in a reply of `/chat/completions`.

    Raises:
        Unreadable: the reply holds no choice with a message.

    Example:
        >>> read_chat('{"choices": [{"message": {"content": "[1]"}, "finish_reason": "stop"}]}').text
        '[1]'
    """
    fields = _fields(body)
    choices = fields.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Unreadable("the reply holds no message")
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return Answer(
        content if isinstance(content, str) else "",
        str(choice.get("finish_reason") or "stop"),
        _tokens(fields, "prompt_tokens"),
        _tokens(fields, "completion_tokens"),
    )


def read_embeddings(body: str, n: int) -> tuple[NDArray[np.float32], int | None]:
    """The (n, d) vectors in a reply of `/embeddings`, in the order asked, and the prompt tokens.

    Raises:
        Unreadable: the reply does not hold n finite vectors of one length.

    Example:
        >>> reply = '{"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]}'
        >>> read_embeddings(reply, 2)[0].tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    fields = _fields(body)
    try:
        places = {int(row["index"]): row["embedding"] for row in fields["data"]}
        vectors = np.asarray([places[place] for place in range(n)], dtype=np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as reason:
        raise Unreadable(f"the reply does not hold {n} vectors of one length") from reason
    if vectors.ndim != 2 or not vectors.shape[1] or len(places) != n or not np.isfinite(vectors).all():
        raise Unreadable(f"the reply does not hold {n} finite vectors")
    return vectors, _tokens(fields, "prompt_tokens")
