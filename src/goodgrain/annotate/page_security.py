"""Who may talk to the page's server: its own page in a browser that was given the token, and nobody else."""

from __future__ import annotations

import hmac
import json
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

PROOF_HEADER: Final = "X-Goodgrain-Token"
MOST_BYTES: Final = 64 * 1024  # of a request's body; an answer has a few hundred

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: refuses what does not come from the page itself, and tells browsers to be strict.

    Args:
        app: what is guarded.
        token: needed by everything under /api.
        host_names: names under which the server may be called.
    """

    def __init__(self, app: App, *, token: str, host_names: Sequence[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            body = await _read(receive)
            refusal = (413, f"the request is too large: {MOST_BYTES} bytes are the most.") if body is None else None
            receive = _replay(body or b"", receive)
        if refusal is None:
            await self._app(scope, receive, strictly)
        else:
            await _refuse(strictly, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence, judged by the head of a request alone."""
        hosts, origins = _header(scope, "host"), _header(scope, "origin")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return 403, f"this server is not called so. Open it as {' or '.join(sorted(self._hosts))}."
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            return 403, "the request comes from another site. Use the page that this server shows."
        if scope["path"].startswith("/api/"):
            tokens = _header(scope, PROOF_HEADER)
            if len(tokens) != 1 or not hmac.compare_digest(tokens[0], self._token):
                return 401, "the token is missing or wrong. Open the address that the server printed when it started."
        if scope["method"] == "POST":
            kinds = _header(scope, "content-type")
            if [kind.split(b";")[0].strip().lower() for kind in kinds] != [b"application/json"]:
                return 400, "the body should be JSON. Send it with Content-Type: application/json."
        return None


def _header(scope: Scope, name: str) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name.lower().encode()]


def _name(host: bytes) -> str:
    """The name in a Host header, without the port."""
    text = host.decode("latin-1").lower()
    return text.partition("]")[0][1:] if text.startswith("[") else text.partition(":")[0]


async def _read(receive: Receive) -> bytes | None:
    """The body; None where it is too large, whatever length was announced."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give what was read already once more."""
    waiting: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return waiting.popleft() if waiting else await receive()

    return again


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
