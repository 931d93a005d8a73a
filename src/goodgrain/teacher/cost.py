"""What calls cost: prices, token counts before sending, and a cap that concurrent calls cannot overspend."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from goodgrain.errors import GoodgrainError, InputError
from goodgrain.teacher.messages import ChatRequest

_PER = 1_000_000
_MESSAGE_OVERHEAD = 16  # role names and separators of chat templates
_PROMPT_OVERHEAD = 64  # begin marks, and the default system text that some templates put first


def usd(name: str, amount: Any) -> Decimal:
    """An amount of money, exact as written; negative or not finite is refused."""
    try:
        value = Decimal(str(amount))
    except ArithmeticError:
        value = Decimal("NaN")
    if isinstance(amount, bool) or not value.is_finite() or value < 0:
        raise InputError(f"{name} should be a number of US dollars, 0 or more; {amount!r} came.")
    return value


@dataclass(frozen=True)
class Prices:
    """What a server charges, in US dollars per million tokens; as its price list says, nothing is known here.

    Args:
        input_usd: per million tokens of the prompt.
        output_usd: per million tokens of the answer.

    Raises:
        InputError: an amount that is negative or no number.

    Example:
        >>> Prices(0.5, 1.5).of(2_000_000, 1000)
        Decimal('1.0015')
    """

    input_usd: float
    output_usd: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        usd("input_usd", self.input_usd)
        usd("output_usd", self.output_usd)

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """What so many tokens cost, exactly."""
        total = usd("input_usd", self.input_usd) * input_tokens + usd("output_usd", self.output_usd) * output_tokens
        return total / _PER


def token_bound(request: ChatRequest) -> int:
    """An upper bound on the tokens of a prompt: its UTF-8 bytes, and room for what chat templates add.

    Byte-level tokenizers (BPE, SentencePiece with byte fallback) never make more tokens than bytes.

    Example:
        >>> token_bound(ChatRequest.of("user", "two words"))
        93
    """
    size = sum(text_bound(message.role) + text_bound(message.content) for message in request.messages)
    return size + _MESSAGE_OVERHEAD * len(request.messages) + _PROMPT_OVERHEAD


def text_bound(text: str) -> int:
    """An upper bound on the tokens of a text: its UTF-8 bytes."""
    return len(text.encode("utf-8", "replace"))


def token_estimate(text: str) -> int:
    """About how many tokens a text has: four ASCII characters a token, one token for each other character.

    Example:
        >>> token_estimate("ranking instructions"), token_estimate("\u4f60\u597d")
        (5, 2)
    """
    ascii_characters = len(text.encode("ascii", "ignore"))
    return math.ceil(ascii_characters / 4) + len(text) - ascii_characters


@dataclass(frozen=True)
class Estimate:
    """What requests would take; nothing was sent.

    Args:
        requests: how many there are.
        cached: how many have an answer already and cost nothing.
        input_tokens: of the prompts of the others, about: four ASCII characters a token, one for each other character.
        output_tokens: of their answers, by their `likely_tokens`.
        most_input_tokens: at most, by UTF-8 bytes.
        most_output_tokens: at most, by their `max_tokens`.
        likely_usd: the price of the former; None where prices are not known.
        most_usd: the price of the latter, if no call has to be repeated.
    """

    requests: int
    cached: int
    input_tokens: int
    output_tokens: int
    most_input_tokens: int
    most_output_tokens: int
    likely_usd: float | None
    most_usd: float | None


class NothingLeft(GoodgrainError):
    """A reservation does not fit and no call is under way that could free some of the money."""


class CostCap:
    """A budget from which every call reserves its worst case before it is sent.

    What is spent, what may have been spent on calls that broke off, and what calls under way have reserved never
    exceed the budget together, however many threads share the cap. A reservation that does not fit waits while calls
    are under way, as most of them free a part of what they reserved.

    Args:
        budget_usd: US dollars, answers of earlier runs in the same cache included.

    Raises:
        InputError: the budget is negative or no number.

    Example:
        >>> cap = CostCap(1)
        >>> call = cap.reserve(Decimal("0.6"))
        >>> call.settle(Decimal("0.2"))
        >>> cap.spent_usd, cap.left_usd
        (Decimal('0.2'), Decimal('0.8'))
    """

    def __init__(self, budget_usd: float) -> None:
        self.budget_usd = usd("budget_usd", budget_usd)
        self._turn = threading.Condition()
        self._earlier: dict[object, tuple[Decimal, Decimal]] = {}
        self._spent = self._lost = self._reserved = Decimal(0)
        self._open = 0  # calls under way

    @classmethod
    def unlimited(cls) -> CostCap:
        """A cap that only counts."""
        cap = cls(0)
        cap.budget_usd = Decimal("Infinity")
        return cap

    def carry(self, source: object, spent: Decimal, lost: Decimal) -> None:
        """Count what one source (a model in a cache) has cost in earlier runs; a second time changes nothing."""
        with self._turn:
            self._earlier.setdefault(source, (spent, lost))

    @property
    def spent_usd(self) -> Decimal:
        """What has been paid, earlier runs included."""
        with self._turn:
            return self._spent + sum((spent for spent, _ in self._earlier.values()), Decimal(0))

    @property
    def lost_usd(self) -> Decimal:
        """At most what was paid for calls whose end nobody knows."""
        with self._turn:
            return self._lost + sum((lost for _, lost in self._earlier.values()), Decimal(0))

    @property
    def reserved_usd(self) -> Decimal:
        """What calls under way may still cost."""
        with self._turn:
            return self._reserved

    @property
    def left_usd(self) -> Decimal:
        """What may still be reserved."""
        with self._turn:
            return self._left()

    def _left(self) -> Decimal:
        earlier = sum((spent + lost for spent, lost in self._earlier.values()), Decimal(0))
        return self.budget_usd - earlier - self._spent - self._lost - self._reserved

    def reserve(self, most: Decimal) -> Reservation:
        """Set money aside for one call.

        Args:
            most: what the call can cost at worst.

        Raises:
            NothingLeft: it does not fit, with no call under way.
        """
        with self._turn:
            while most > self._left():
                if not self._open:
                    raise NothingLeft(f"${most} do not fit into the ${self._left()} that are left.")
                self._turn.wait()
            self._reserved += most
            self._open += 1
        return Reservation(self, most)

    def _close(self, reserved: Decimal, *, spent: Decimal, lost: Decimal) -> None:
        with self._turn:
            self._reserved -= reserved
            self._open -= 1
            self._spent += spent
            self._lost += lost
            self._turn.notify_all()


class Reservation:
    """Money set aside for one call, until exactly one of settle, release and lose is called."""

    def __init__(self, cap: CostCap, most: Decimal) -> None:
        self._cap, self._most = cap, most

    def settle(self, spent: Decimal) -> None:
        """The call is over and cost this much."""
        self._cap._close(self._most, spent=spent, lost=Decimal(0))

    def release(self) -> None:
        """The call was not billed."""
        self._cap._close(self._most, spent=Decimal(0), lost=Decimal(0))

    def lose(self) -> None:
        """The call broke off: it may have cost all that was set aside."""
        self._cap._close(self._most, spent=Decimal(0), lost=self._most)
