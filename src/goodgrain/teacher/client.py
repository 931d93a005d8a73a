"""A teacher behind an OpenAI-compatible address: asked at most once for the same thing, within limits and a budget."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goodgrain.checks import check_count
from goodgrain.errors import CostCapReached, InputError, TeacherUnavailable
from goodgrain.teacher.cache import AnswerCache, Ledger
from goodgrain.teacher.calls import Call, Caller, Reply, each
from goodgrain.teacher.cost import CostCap, Estimate, NothingLeft, Prices, text_bound, token_bound, token_estimate
from goodgrain.teacher.limits import RateLimit
from goodgrain.teacher.messages import Answer, ChatRequest, Failure, OnAnswer, chat_body
from goodgrain.teacher.replies import read_chat, read_embeddings
from goodgrain.teacher.server import DEFAULT_KEY, Server

_CHAT, _EMBED = "/chat/completions", "/embeddings"
_TEXT_OVERHEAD = 8  # begin and end marks of a text to be embedded


class Client:
    """Asks a model for answers and embeddings.

    Every answer is in the cache before it is handed over; a call that broke off may have been billed and counts so
    against the cap. What two processes ask at the same time, or what was answered but not yet written down when the
    process was killed, is asked again; nothing else is paid twice. Each process keeps to its own cap.

    Args:
        base_url: such as `https://api.example.org/v1`, or `http://localhost:8000` for a server of your own.
        model: its name there.
        cache: what was answered before; None keeps answers as long as the client lives.
        prices: of this model; needed for a cap.
        cap: what may be spent, earlier runs with this cache, server and model included.
        concurrency: calls at a time.
        requests_per_minute: None for no limit.
        tokens_per_minute: prompts by estimate, and the most that answers may have; None for no limit.
        attempts: how often a call is tried before its request fails.
        timeout: seconds that one call may take.
        api_key_env: the environment variable that holds the key; None for a server without one.
        options: further fields of every chat request, as the server knows them.
        length_field: how the server calls the limit of an answer.
        seed: of the jitter of waits.
        clock: seconds that never run backwards, for the limits.
        sleep: waits so many seconds; None waits for real.

    Raises:
        InputError: an argument that cannot be right; see Server for addresses and keys.
        MissingExtra: httpx is not installed.

    Example:
        >>> Client("http://localhost:8000", "tiny", api_key_env=None)
        Client('http://localhost:8000/v1', 'tiny')
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        cache: AnswerCache | None = None,
        prices: Prices | None = None,
        cap: CostCap | None = None,
        concurrency: int = 8,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        attempts: int = 10,
        timeout: float = 120.0,
        api_key_env: str | None = DEFAULT_KEY,
        options: Mapping[str, Any] | None = None,
        length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        if not model or not isinstance(model, str):
            raise InputError(f"model should be the name of a model; {model!r} came.")
        if cap is not None and prices is None:
            raise InputError("a cost cap needs prices: what the server charges per million tokens, in and out.")
        self._concurrency = check_count("concurrency", concurrency)
        self._attempts = check_count("attempts", attempts)
        self._limit = RateLimit(requests_per_minute, tokens_per_minute, clock=clock)
        self._server = Server(base_url, api_key_env=api_key_env, timeout=timeout, connections=concurrency)
        self._cache = cache or AnswerCache(":memory:")
        self._owns_cache = cache is None
        self.model, self.prices, self.cap = model, prices, cap or CostCap.unlimited()
        self._options, self._length_field = dict(options or {}), length_field
        self._draw, self._sleep = random.Random(seed), sleep  # noqa: S311 - waits need no secret
        self._billed = prices or Prices(0)
        book = self.ledger
        self.cap.carry(
            (self._cache, self._server.base_url, model),
            self._billed.of(book.input_tokens, book.output_tokens),
            self._billed.of(book.lost_input_tokens, book.lost_output_tokens),
        )

    def __repr__(self) -> str:
        return f"Client({self._server.base_url!r}, {self.model!r})"

    @property
    def ledger(self) -> Ledger:
        """What all calls to this model took, of every run that used the cache."""
        return self._cache.ledger(self._server.base_url, self.model)

    def ask(
        self,
        requests: Sequence[ChatRequest],
        on_answer: OnAnswer | None = None,
    ) -> list[Answer | Failure]:
        """Have requests answered; each that has an answer in the cache, or comes twice, is not sent again.

        Args:
            requests: in any number; a sequence may make them when they are asked for, in any thread (see Requests).
            on_answer: gets the position and answer of each request as it comes, in the caller's thread.

        Returns:
            One Answer or Failure per request, in the order of the requests. Failures are not cached.

        Raises:
            CostCapReached: the next call might have cost more than is left.
            TeacherUnavailable: the server cannot be reached, refuses all calls, or fails on and on.
            DiskFull: an answer could not be written down.
        """
        answers: list[Answer | Failure] = [Failure("not asked.") for _ in requests]
        waiting: dict[str, list[int]] = {}

        def tell(position: int, answer: Answer | Failure) -> None:
            answers[position] = answer
            if on_answer is not None:
                on_answer(position, answer)

        for position, key in enumerate(map(self._chat_key, requests)):
            kept = self._kept(key)
            if kept is not None:
                tell(position, kept)
            else:
                waiting.setdefault(key, []).append(position)

        def work(key: str) -> Answer | Failure:
            kept = self._kept(key)  # by another process, since
            if kept is not None:
                return kept
            failure = caller.perform(self._chat_call(key, requests[waiting[key][0]]))
            return failure or read_chat((self._cache.get(key) or b"").decode())

        def done(key: str, answer: Answer | Failure) -> None:
            for position in waiting[key]:
                tell(position, answer)

        caller = self._caller()
        try:
            each(list(waiting), work, done, threads=self._concurrency, stop=caller.stop)
        except NothingLeft as end:
            rest = self.estimate(requests)
            raise self._reached(rest.cached, len(requests), rest.likely_usd, rest.most_usd) from end
        return answers

    def estimate(self, requests: Iterable[ChatRequest]) -> Estimate:
        """What requests would take (a dry run): tokens and price, likely and at most; one at a time is looked at."""
        asked = cached = given = made = most_given = most_made = 0
        rest: set[str] = set()
        for request in requests:
            asked += 1
            key = self._chat_key(request)
            if self._cache.get(key) is not None:
                cached += 1
            elif key not in rest:
                rest.add(key)
                given += _likely_input(request)
                made += request.likely_tokens or request.max_tokens
                most_given += token_bound(request)
                most_made += request.max_tokens
        return Estimate(
            asked, cached, given, made, most_given, most_made,
            self._usd(given, made), self._usd(most_given, most_made),
        )  # fmt: skip

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch: int = 64,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Embeddings of texts; each text that was embedded before is not sent again.

        Args:
            texts: at least one, none of them empty.
            batch: texts per call.
            on_batch: gets how many texts are done, and how many there are.

        Returns:
            (n, d) float32, in the order of the texts.

        Raises:
            InputError: no text, or an empty one.
            CostCapReached, TeacherUnavailable, DiskFull: as for `ask`; also where single texts are refused.
        """
        empty = next((place for place, text in enumerate(texts) if not text.strip()), None)
        if not texts or empty is not None:
            came = "none came" if not texts else f"text {empty} is empty"
            raise InputError(f"texts should be at least one text, each with content; {came}.")
        keys = [self._key(_EMBED, {"model": self.model, "input": text}) for text in texts]
        times = Counter(keys)
        rest = [
            (key, text) for key, text in dict(zip(keys, texts, strict=True)).items() if self._cache.get(key) is None
        ]
        size = check_count("batch", batch)
        batches = [rest[start : start + size] for start in range(0, len(rest), size)]
        have = len(texts) - sum(times[key] for key, _ in rest)

        def work(place: int) -> Failure | None:
            return caller.perform(self._embedding_call(batches[place]))

        def done(place: int, failure: Failure | None) -> None:
            nonlocal have
            if failure is not None:
                first = batches[place][0][1][:60]
                raise TeacherUnavailable(f"{failure.reason} It came for {len(batches[place])} texts from {first!r} on.")
            have += sum(times[key] for key, _ in batches[place])
            if on_batch is not None:
                on_batch(have, len(texts))

        caller = self._caller()
        try:
            each(range(len(batches)), work, done, threads=self._concurrency, stop=caller.stop)
        except NothingLeft as end:
            left = {key: text for key, text in rest if self._cache.get(key) is None}
            likely = self._usd(sum(map(token_estimate, left.values())), 0)
            most = self._usd(sum(map(_most_input, left.values())), 0)
            raise self._reached(len(texts) - sum(times[key] for key in left), len(texts), likely, most) from end
        vectors = [np.frombuffer(self._cache.get(key) or b"", dtype="<f4") for key in keys]
        return np.stack(vectors).astype(np.float32)

    def close(self) -> None:
        """Close the connections, and the cache if it is the client's own."""
        self._server.close()
        if self._owns_cache:
            self._cache.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _kept(self, key: str) -> Answer | None:
        """The answer that was paid for earlier."""
        body = self._cache.get(key)
        return None if body is None else replace(read_chat(body.decode()), from_cache=True)

    def _caller(self) -> Caller:
        return Caller(
            self._server, self.model, cache=self._cache, prices=self._billed, cap=self.cap, limit=self._limit,
            attempts=self._attempts, draw=self._draw, sleep=self._sleep,
        )  # fmt: skip

    def _reached(self, done: int, asked: int, likely: float | None, most: float | None) -> CostCapReached:
        return CostCapReached(
            budget_usd=float(self.cap.budget_usd), spent_usd=float(self.cap.spent_usd),
            lost_usd=float(self.cap.lost_usd), done=done, asked=asked, likely_usd=likely or 0.0, most_usd=most or 0.0,
        )  # fmt: skip

    def _usd(self, given: int, made: int) -> float | None:
        return None if self.prices is None else float(self.prices.of(given, made))

    def _key(self, path: str, body: dict[str, Any]) -> str:
        """A digest of everything on which an answer depends."""
        asked = json.dumps([self._server.base_url, path, body], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    def _chat_key(self, request: ChatRequest) -> str:
        return self._key(_CHAT, chat_body(request, self.model, self._length_field, self._options))

    def _chat_call(self, key: str, request: ChatRequest) -> Call:
        def read(text: str) -> Reply:
            answer = read_chat(text)
            return Reply([(key, text.encode())], answer.input_tokens, answer.output_tokens)

        likely = _likely_input(request) + request.max_tokens
        return Call(
            _CHAT,
            chat_body(request, self.model, self._length_field, self._options),
            token_bound(request),
            request.max_tokens,
            likely,
            read,
        )

    def _embedding_call(self, items: Sequence[tuple[str, str]]) -> Call:
        keys, texts = [key for key, _ in items], [text for _, text in items]

        def read(text: str) -> Reply:
            vectors, tokens = read_embeddings(text, len(texts))
            rows = [vector.astype("<f4").tobytes() for vector in vectors]
            return Reply(list(zip(keys, rows, strict=True)), tokens, 0)

        body = {"model": self.model, "input": texts, "encoding_format": "float"}
        return Call(_EMBED, body, sum(map(_most_input, texts)), 0, sum(map(token_estimate, texts)), read)


def _likely_input(request: ChatRequest) -> int:
    return sum(token_estimate(message.content) + 4 for message in request.messages)


def _most_input(text: str) -> int:
    return text_bound(text) + _TEXT_OVERHEAD
