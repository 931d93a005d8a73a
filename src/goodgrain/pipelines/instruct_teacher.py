"""Who ranks: a server that is asked within a budget, or a score that costs nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goodgrain.errors import InputError
from goodgrain.pipelines.instruct_config import OFFLINE
from goodgrain.pipelines.monitor import Monitor
from goodgrain.pipelines.pace import Pace
from goodgrain.teacher import Answer, AnswerCache, Client, CostCap, Failure, Prices
from goodgrain.teacher.messages import OnAnswer
from goodgrain.teacher.server import DEFAULT_KEY, check_url, is_near


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a teacher is reached and what it may cost; none of it changes what comes out.

    Args:
        budget_usd: most that may be spent on the teacher, earlier tries of the same run included; None for no cap,
            which only a server on this machine or in a private network is asked without.
        input_usd: what the server charges per million tokens of prompts.
        output_usd: what it charges per million tokens of answers.
        embedding_usd: what the server of embeddings charges per million tokens.
        concurrency: calls at a time.
        requests_per_minute: None for no limit.
        tokens_per_minute: None for no limit.
        timeout: seconds that a call may take.
        attempts: how often a call is tried.
        api_key_env: the environment variable that holds the key; None for a server without one.
        cache: the file of answers that were paid for; None for one in the run folder.
        vectors: the file of embeddings by a local model; None for one in the run folder.
    """

    budget_usd: float | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    embedding_usd: float | None = None
    concurrency: int = 8
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout: float = 120.0
    attempts: int = 10
    api_key_env: str | None = DEFAULT_KEY
    cache: Path | None = None
    vectors: Path | None = None

    @property
    def prices(self) -> Prices | None:
        """What the server charges, if that is known."""
        if self.input_usd is None:
            return None
        return Prices(self.input_usd, self.output_usd or 0.0)


def check_teacher(teacher: Any, model: str | None, access: Access, *, needed: bool, dry_run: bool = False) -> None:
    """Refuse, before anything is read, a teacher that cannot be asked or might cost more than was meant.

    Raises:
        InputError: no teacher, no model, no prices, or a public server without a budget.
    """
    if teacher is None:
        if needed:
            offline = ", ".join(OFFLINE)
            raise InputError(
                "there is no teacher to rank the rows. Give the address of an OpenAI-compatible server and a model, "
                f"or one of the offline baselines: {offline}."
            )
        return
    if not isinstance(teacher, str) or teacher in OFFLINE:
        return
    host = check_url(teacher)[1]
    if not model:
        raise InputError(f"the teacher at {teacher} needs the name of a model.")
    if access.budget_usd is not None and access.prices is None:
        raise InputError("a budget needs prices: give input_usd and output_usd, per million tokens.")
    if access.budget_usd is None and not dry_run and not is_near(host):
        raise InputError(
            f"{host} may charge for its answers. Give budget_usd with input_usd and output_usd, or see with a dry run "
            "what it takes."
        )


def open_client(
    teacher: str, model: str, access: Access, answers: Path, *, cap: CostCap | None = None, prices: Prices | None = None
) -> Client:
    """The client of a server, with the answers of earlier tries.

    Args:
        teacher: its address.
        model: its name there.
        access: how it is reached.
        answers: the file of answers, unless the access names one.
        cap: what may be spent, together with others who share it; None for the access's budget.
        prices: None for those of the access.
    """
    own = None if access.budget_usd is None else CostCap(access.budget_usd)
    return Client(
        teacher,
        model,
        cache=AnswerCache(access.cache or answers),
        prices=prices or access.prices,
        cap=cap or own,
        concurrency=access.concurrency,
        requests_per_minute=access.requests_per_minute,
        tokens_per_minute=access.tokens_per_minute,
        attempts=access.attempts,
        timeout=access.timeout,
        api_key_env=access.api_key_env,
    )


def counter(what: str, total: int, watch: Monitor, client: Client | None, access: Access) -> OnAnswer:
    """Tells a monitor how far the teacher has come, and what was spent where prices are known."""

    def spent() -> str:
        return f", ${client.cap.spent_usd:.4f} spent" if client is not None and access.prices is not None else ""

    pace = Pace(what, total, watch, spent)

    def count(_: int, answer: Answer | Failure) -> None:
        pace.add(1, new=not (isinstance(answer, Answer) and answer.from_cache))

    return count


def cost_of(client: Client, access: Access) -> dict[str, Any]:
    """What a server took, of all runs that share the cache: calls, tokens, and money where prices are known."""
    priced = access.prices is not None
    return {
        **asdict(client.ledger),
        "budget_usd": access.budget_usd,
        "spent_usd": float(client.cap.spent_usd) if priced else None,
        "lost_usd": float(client.cap.lost_usd) if priced else None,
    }
