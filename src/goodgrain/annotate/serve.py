"""Serve the labelling page to this machine's browsers, and to nobody else."""

from __future__ import annotations

import importlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from goodgrain.annotate.page import Backing, make_app
from goodgrain.checks import check_count
from goodgrain.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"


def serve(backing: Backing, *, port: int = 0, token: str | None = None, announce: Callable[[str], Any] = print) -> None:
    """Serve the page until Ctrl-C, which ends it as a KeyboardInterrupt for the caller to catch.

    Args:
        backing: what stands behind the page.
        port: of 127.0.0.1; 0 takes any that is free.
        token: the page's secret; a new one by default. With the same port and token a page that is open goes on after
            a restart.
        announce: is given the page's address, token included, as soon as it can be opened.

    Raises:
        InputError: the port is taken, or the token is too short.
        MissingExtra: FastAPI or uvicorn is not installed.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import Session
        >>> with Session.create(tempfile.mkdtemp(), ["a", "b"], ["cat", "dog"], budget=2) as session:
        ...     serve(Backing(session, image=lambda id: b"..."), token="short")
        Traceback (most recent call last):
        goodgrain.errors.InputError: the token should be at least 16 characters of ASCII. Take one from ...
    """
    server, listening, address = _prepare(backing, port, token)
    with listening:
        announce(address)
        server.run(sockets=[listening])


@contextmanager
def serving(backing: Backing, *, port: int = 0, token: str | None = None) -> Iterator[str]:
    """Serve the page in a thread for as long as the block runs, in a notebook for instance.

    Args:
        backing: what stands behind the page.
        port: of 127.0.0.1; 0 takes any that is free.
        token: the page's secret; a new one by default.

    Yields:
        The page's address, token included.

    Raises:
        InputError: the port is taken, or the token is too short.
        MissingExtra: FastAPI or uvicorn is not installed.

    Example:
        >>> import tempfile
        >>> from goodgrain.annotate import Session
        >>> with Session.create(tempfile.mkdtemp(), ["a", "b"], ["cat", "dog"], budget=2) as session:
        ...     with serving(Backing(session, image=lambda id: b"...")) as address:
        ...         address.startswith("http://127.0.0.1:")
        True
    """
    server, listening, address = _prepare(backing, port, token)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="labelling page", daemon=True)
    with listening:
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _prepare(backing: Backing, port: int, token: str | None) -> tuple[uvicorn.Server, socket.socket, str]:
    """A server, the socket that it will listen on, and the page's address; requests wait from now on."""
    secret = secrets.token_urlsafe() if token is None else token
    app = make_app(backing, token=secret)
    try:
        uvicorn = importlib.import_module("uvicorn")
    except ImportError as reason:
        raise MissingExtra("uvicorn", "label") from reason
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # the page's address holds the token
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        loop="asyncio",
        http="h11",
        ws="none",
        timeout_graceful_shutdown=5,
    )
    listening = _listen(check_count("port", port, least=0, most=65535))
    return uvicorn.Server(config), listening, f"http://{LOOPBACK}:{listening.getsockname()[1]}/?token={quote(secret)}"


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
    try:
        listening.bind((LOOPBACK, port))
        listening.listen(128)
    except OSError as reason:
        listening.close()
        raise InputError(f"port {port} of {LOOPBACK} cannot be used: {reason.strerror}. Give another one.") from reason
    return listening
