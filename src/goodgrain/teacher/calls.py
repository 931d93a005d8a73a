"""Calls that cost money: reserved, written down, sent, tried again, settled; many at a time."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from goodgrain.errors import TeacherUnavailable
from goodgrain.teacher.cache import AnswerCache
from goodgrain.teacher.cost import CostCap, Prices
from goodgrain.teacher.limits import RateLimit, full_jitter
from goodgrain.teacher.messages import Failure
from goodgrain.teacher.replies import Then, Trouble, Unreadable
from goodgrain.teacher.server import Server

_FIRST_CONTACT = 3  # attempts at an address that has never answered
_LONGEST_WAIT = 900.0  # seconds that a server may ask for
_FAILED_IN_A_ROW = 3

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reply:
    """What a good reply brings.

    Args:
        answers: (key, body) pairs for the cache.
        input_tokens: as the server counted; None where it did not: then the worst case is charged.
        output_tokens: of the answers.
    """

    answers: Sequence[tuple[str, bytes]]
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True)
class Call:
    """One call.

    Args:
        path: below the server's address.
        body: what is sent.
        most_input_tokens: at most so many will be billed for the prompt.
        most_output_tokens: and for the answer.
        likely_tokens: of both, for the rate limit.
        read: turns the reply's text into a Reply, or raises Unreadable.
    """

    path: str
    body: dict[str, Any]
    most_input_tokens: int
    most_output_tokens: int
    likely_tokens: int
    read: Callable[[str], Reply]


class Stopped(Exception):
    """The batch ends; this call was not sent."""


class Caller:
    """Sends the calls of one batch to one model.

    Args:
        server: where to.
        model: as the ledger names it.
        cache: where answers and the ledger are kept.
        prices: of the model.
        cap: what may be spent.
        limit: how fast.
        attempts: how often a call is tried.
        draw: for the jitter.
        sleep: waits so many seconds; None: a wait that ends when the batch does.
    """

    def __init__(
        self,
        server: Server,
        model: str,
        *,
        cache: AnswerCache,
        prices: Prices,
        cap: CostCap,
        limit: RateLimit,
        attempts: int,
        draw: random.Random,
        sleep: Callable[[float], object] | None,
    ) -> None:
        self._server, self._model, self._cache = server, model, cache
        self._prices, self._cap, self._limit = prices, cap, limit
        self._attempts, self._draw = attempts, draw
        self._turn = threading.Lock()
        self._answered = False
        self._failed_in_a_row = 0
        self.stop = threading.Event()
        self._sleep = sleep or self.stop.wait

    def perform(self, call: Call) -> Failure | None:
        """Have a call answered and its answers in the cache, or say why that cannot be.

        Raises:
            NothingLeft: the cap leaves no money for it.
            TeacherUnavailable: no call can be answered.
            Stopped: the batch has ended.
        """
        failures = 0
        while True:
            trouble = self._send(call)
            if trouble is None:
                with self._turn:
                    self._answered, self._failed_in_a_row = True, 0
                return None
            failures += 1
            if trouble.then is Then.STOP:
                raise TeacherUnavailable(f"{trouble.reason}. Nothing more was sent; what was paid for is kept.")
            if trouble.then is Then.GIVE_UP:
                return Failure(f"{trouble.reason}.")
            most = self._attempts if self._answered or trouble.reached else min(self._attempts, _FIRST_CONTACT)
            if failures >= most:
                return self._give_up(trouble, failures)
            self._pause(self._wait_after(trouble, failures))

    def _send(self, call: Call) -> Trouble | None:
        """One attempt. The ledger knows of it before the server does, and says "sent" until its end is known."""
        most = self._prices.of(call.most_input_tokens, call.most_output_tokens)
        reservation = self._cap.reserve(most)
        try:
            while seconds := self._limit.take(call.likely_tokens):
                self._pause(seconds)
            self._check_stop()
            number = self._cache.begin(
                self._server.base_url, self._model, call.most_input_tokens, call.most_output_tokens
            )
        except BaseException:
            reservation.release()
            raise
        try:
            text = self._server.post(call.path, call.body)
            outcome = self._keep(number, call, text) if isinstance(text, str) else text
            if isinstance(outcome, Trouble) and not outcome.billed:
                self._cache.cancel(number)
        except BaseException:
            reservation.lose()
            raise
        if not isinstance(outcome, Trouble):
            reservation.settle(self._prices.of(*outcome))
            return None
        if outcome.billed:
            reservation.lose()
        else:
            reservation.release()
        return outcome

    def _keep(self, number: int, call: Call, text: str) -> tuple[int, int] | Trouble:
        """Put the answers into the cache; what they took."""
        try:
            reply = call.read(text)
        except Unreadable as reason:
            return Trouble(str(reason), billed=True)
        given = call.most_input_tokens if reply.input_tokens is None else reply.input_tokens
        made = call.most_output_tokens if reply.output_tokens is None else reply.output_tokens
        self._cache.commit(number, reply.answers, given, made)
        return given, made

    def _give_up(self, trouble: Trouble, failures: int) -> Failure:
        with self._turn:
            self._failed_in_a_row += 1
            silent = not self._answered
            nobody_there = silent and not trouble.reached
            hopeless = nobody_there or self._failed_in_a_row >= _FAILED_IN_A_ROW
        if hopeless:
            hint = f" It answered nothing: see its log, and check the model's name, {self._model}."
            hint = hint if silent and trouble.reached else ""
            raise TeacherUnavailable(
                f"{trouble.reason}, after {failures} attempts.{hint} What was paid for is kept; run again when the "
                "server answers."
            )
        return Failure(f"{trouble.reason}, after {failures} attempts.")

    def _wait_after(self, trouble: Trouble, failures: int) -> float:
        with self._turn:
            wait = full_jitter(failures, self._draw)
            spread = self._draw.uniform(0.0, 1.0)  # all that wait for the same moment should not come at it together
        if trouble.wait is None:
            return wait
        if trouble.wait > _LONGEST_WAIT:
            raise TeacherUnavailable(
                f"{trouble.reason}: the server asks to wait for {trouble.wait:.0f} seconds. What was paid for is "
                "kept; run again then."
            )
        self._limit.hold(trouble.wait)
        return trouble.wait + spread

    def _pause(self, seconds: float) -> None:
        self._check_stop()
        self._sleep(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Stopped


def each(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    done: Callable[[Job, Result], None],
    *,
    threads: int,
    stop: threading.Event,
) -> None:
    """Do jobs in threads and hand the results over, in the caller's thread, as they come.

    The first error, of a job or of `done`, or Ctrl-C ends it: jobs under way finish, no other begins, and the error
    is raised. A second Ctrl-C does not wait for them.

    Args:
        jobs: what to do, begun in this order.
        work: does one job.
        done: gets each job and its result.
        threads: how many jobs at a time.
        stop: set when it ends, for jobs that wait.

    Example:
        >>> each([1, 2, 3], lambda job: job * job, print, threads=1, stop=threading.Event())
        1 1
        2 4
        3 9
    """
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Job, Result] | BaseException] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)

    def worker() -> None:
        while not stop.is_set():
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            try:
                results.put((job, work(job)))
            except BaseException as error:
                results.put(error)
                return

    workers = [threading.Thread(target=worker, daemon=True) for _ in range(min(threads, len(jobs)))]
    try:
        for thread in workers:
            thread.start()
        for _ in jobs:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            done(*result)
    finally:
        stop.set()
        for thread in workers:
            if thread.is_alive():
                thread.join()
