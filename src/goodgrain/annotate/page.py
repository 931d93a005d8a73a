"""The page on which people label: what stands behind it, and the application that serves it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodgrain.annotate.session import Session
from goodgrain.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from fastapi import FastAPI

LEAST_TOKEN = 16  # characters; `secrets.token_urlsafe()` gives 43


def _no_guess(id: str) -> None:  # noqa: A002
    """Without a model."""


def _no_pictures() -> Mapping[str, Any]:
    return {"rounds": [], "plane": None, "hint": ""}


@dataclass(frozen=True, eq=False)
class Backing:
    """What stands behind the page: a session, its images, and what a pipeline knows. Several threads call at once.

    Args:
        session: whom the page asks and tells; it has to stay open as long as the page is served.
        image: id -> bytes of a PNG; only ids of the session are ever passed.
        guess: id -> the model's guess (a class name or OOD), None where there is none; hidden on the page until wanted.
        advance: closes the round, trains, and proposes the next one, which may take minutes; it is given a function to
            report (stage, share of it that is done) to. None: the page ends with the round.
        pictures: what is shown between rounds. "rounds": one dict a round with "round", "strategy", "accuracy" and
            "in_share" (both in [0, 1] or None), "answered", "spent". "plane": None, or "purity" (m,),
            "informativeness" (m,), "answer" (m,) ("" where nobody answered, a class, or OOD), "grid_purity" (g,),
            "grid_informativeness" (g,), "score" (g, g) of the meta-model, one row for each grid_informativeness.
            "hint": whether to go on, in a sentence, or "".

    Example:
        >>> import tempfile
        >>> with Session.create(tempfile.mkdtemp(), ["a", "b"], ["cat", "dog"], budget=2) as session:
        ...     Backing(session, image=lambda id: b"...").advance is None
        True
    """

    session: Session
    image: Callable[[str], bytes]
    guess: Callable[[str], str | None] = _no_guess
    advance: Callable[[Callable[[str, float], None]], None] | None = None
    pictures: Callable[[], Mapping[str, Any]] = _no_pictures


def make_app(backing: Backing, *, token: str, host_names: Sequence[str] = ("127.0.0.1", "localhost")) -> FastAPI:
    """The application that serves the page and its API; `goodgrain.annotate.serve.serve` runs it.

    Every call of the API needs the token in the header X-Goodgrain-Token. What is refused comes back as JSON,
    {"error": a sentence}; 507 says that the disk is full and that the same may be sent again.

    Args:
        backing: what stands behind the page.
        token: the secret that the page's address carries, at least 16 characters of ASCII.
        host_names: names under which the server may be called; any other Host is refused (DNS rebinding).

    Returns:
        An ASGI application. It should listen on the loopback interface only.

    Raises:
        InputError: a token that is too short.
        MissingExtra: FastAPI is not installed.

    Example:
        >>> import secrets, tempfile
        >>> with Session.create(tempfile.mkdtemp(), ["a", "b"], ["cat", "dog"], budget=2) as session:
        ...     app = make_app(Backing(session, image=lambda id: b"..."), token=secrets.token_urlsafe())
        >>> sorted(app.openapi()["paths"])[:3]
        ['/api/advance', '/api/ask', '/api/guess']
    """
    if not isinstance(token, str) or not token.isascii() or len(token) < LEAST_TOKEN:
        raise InputError(
            f"the token should be at least {LEAST_TOKEN} characters of ASCII. Take one from secrets.token_urlsafe()."
        )
    try:
        importlib.import_module("fastapi")
    except ImportError as reason:
        raise MissingExtra("fastapi", "label") from reason
    from goodgrain.annotate.page_api import build  # needs FastAPI, which not everyone has

    return build(backing, token, host_names)
