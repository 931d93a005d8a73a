"""What goes to a teacher and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

from goodgrain.checks import check_count
from goodgrain.errors import InputError

_CUT_OFF = ("length", "content_filter")


@dataclass(frozen=True)
class Message:
    """One message of a chat.

    Args:
        role: "system", "user" or "assistant".
        content: its text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One prompt and how it is to be answered.

    Args:
        messages: the chat so far.
        max_tokens: the most that the answer may have, reasoning included.
        temperature: None leaves it to the server, as some models take no other than their own.
        seed: of the server's sampling, where it knows one.
        likely_tokens: how long the answer will probably be, for the estimate of a dry run; None: max_tokens.

    Raises:
        InputError: no message, or max_tokens below 1.

    Example:
        >>> ChatRequest.of("user", "Rank these.", max_tokens=64).messages[0].content
        'Rank these.'
    """

    messages: tuple[Message, ...]
    max_tokens: int = 512
    temperature: float | None = 0.0
    seed: int | None = None
    likely_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no server could answer."""
        check_count("max_tokens", self.max_tokens)
        if not self.messages:
            raise InputError("a request needs at least one message.")

    @classmethod
    def of(cls, role: str, content: str, *, max_tokens: int = 512) -> ChatRequest:
        """A request of one message."""
        return cls((Message(role, content),), max_tokens=max_tokens)


class Requests(Sequence[ChatRequest]):
    """Requests that are made when they are asked for: many thousands of prompts need no memory.

    Args:
        n: how many.
        make: the request at each position, the same each time; called from several threads.

    Example:
        >>> Requests(3, lambda i: ChatRequest.of("user", f"Question {i}"))[2].messages[0].content
        'Question 2'
    """

    def __init__(self, n: int, make: Callable[[int], ChatRequest]) -> None:
        self._places, self._make = range(n), make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> ChatRequest: ...
    @overload
    def __getitem__(self, place: slice) -> list[ChatRequest]: ...
    def __getitem__(self, place: int | slice) -> ChatRequest | list[ChatRequest]:
        if isinstance(place, slice):
            return [self._make(one) for one in self._places[place]]
        return self._make(self._places[place])


@dataclass(frozen=True)
class Answer:
    """What a teacher said.

    Args:
        text: its words; "" where it said nothing.
        finish_reason: why it stopped, in the server's words ("stop", "length").
        input_tokens: of the prompt, as the server counted; None where it did not.
        output_tokens: of the answer.
        from_cache: paid for earlier.
    """

    text: str
    finish_reason: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    from_cache: bool = False

    @property
    def truncated(self) -> bool:
        """Whether the server cut the answer."""
        return self.finish_reason in _CUT_OFF


@dataclass(frozen=True)
class Failure:
    """Why one request has no answer; it is not in the cache and will be asked again by the next run.

    Args:
        reason: a sentence.
    """

    reason: str


OnAnswer = Callable[[int, Answer | Failure], None]


class Teacher(Protocol):
    """Whatever answers chat requests, in their order."""

    def ask(self, requests: Sequence[ChatRequest], on_answer: OnAnswer | None = None) -> list[Answer | Failure]:
        """One Answer or Failure per request."""


def chat_body(request: ChatRequest, model: str, length_field: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent to `/chat/completions`: the request's fields over the options; a field that is None is left out.

    Example:
        >>> chat_body(ChatRequest.of("user", "Rank."), "tiny", "max_tokens", {"top_p": 1})["top_p"]
        1
    """
    body: dict[str, Any] = {
        **options,
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        length_field: request.max_tokens,
    }
    given = {"temperature": request.temperature, "seed": request.seed}
    return body | {name: value for name, value in given.items() if value is not None}
